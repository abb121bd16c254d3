"""Playing a provider: signed requests in its own form."""

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from adapters.adapter import Adapter
from adapters.errors import AdapterError
from adapters.events import canonical_type
from adapters.request import NativeRequest
from adapters.samples import native_name
from app.cli.client import Answer, Client
from app.cli.configuration import settings_in_force
from app.cli.errors import Misconfigured
from app.cli.samples import unified_type, unique


class Player:
    """A simulated provider account that can send events about `recipient`."""

    def __init__(self, adapter: Adapter, signing: Mapping[str, str], recipient: str) -> None:
        self._adapter = adapter
        self._signing = signing
        self._recipient = recipient

    def sample_for(self, word: str) -> str:
        """The sample that `word` means: by its own name, its native type, or the unified type it becomes."""
        word = word.strip()
        for sample in self._adapter.samples:
            if word in (sample, native_name(sample, self._adapter.native_types)):
                return sample
        wanted = canonical_type(word)
        if wanted is not None:
            for sample in self._adapter.samples:
                if unified_type(self._adapter, sample) == wanted:
                    return sample
        known = ", ".join(self._adapter.samples) or "none"
        raise Misconfigured(f"{self._adapter.name} has no sample of '{word}'; there are {known}")

    def requests(self, samples: Sequence[str], url: str) -> list[tuple[Sequence[str], NativeRequest]]:
        """One request with all of them where the provider batches, else one for each."""
        try:
            return [(samples, self._request(samples, url))]
        except ValueError:
            if len(samples) == 1:
                raise
        return [([sample], self._request([sample], url)) for sample in samples]

    def _request(self, samples: Sequence[str], url: str) -> NativeRequest:
        return self._adapter.sample_request(
            samples,
            signing=self._signing,
            url=url,
            at=time.time(),
            recipient=self._recipient,
            unique=unique,
        )


def playable(adapter: Adapter) -> Iterator[dict[str, Any]]:
    """The events that can be sent, as rows."""
    for sample in adapter.samples:
        yield {"event": sample, "type": unified_type(adapter, sample)}


def send(client: Client, player: Player, samples: Sequence[str], path: str) -> Iterator[dict[str, Any]]:
    """Posts the samples; what became of each request, as a row."""
    url = client.url + path
    signed_url = (settings_in_force().public_url.rstrip("/") or client.url) + path  # which some providers sign
    for sent, request in _signed(player, samples, signed_url):
        query = urlsplit(request.url).query
        answer = client.send(f"{path}?{query}" if query else path, request.headers, request.body)
        yield {
            "events": list(sent),
            "url": url,
            "bytes": len(request.body),
            "status": answer.status_code,
            "answer": _body(answer),
        }


def _signed(player: Player, samples: Sequence[str], url: str) -> list[tuple[Sequence[str], NativeRequest]]:
    try:
        return player.requests(samples, url)
    except (ValueError, AdapterError) as error:
        raise Misconfigured(f"cannot sign as the provider would: {error}; check --signing-secret") from error


def _body(answer: Answer) -> Any:
    try:
        return answer.json()
    except ValueError:
        return answer.text
