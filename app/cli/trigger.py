"""`mailweir trigger`: plays a provider, with signed requests in its own form."""

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlsplit

import rich_click as click
from click import argument, option

from adapters.adapter import Adapter
from adapters.errors import AdapterError
from adapters.events import canonical_type
from adapters.request import NativeRequest
from adapters.samples import native_name
from app.cli.accounts import account_of
from app.cli.client import Answer, Client, with_keyless_client
from app.cli.configuration import settings_in_force
from app.cli.errors import GatewayRefused, Misconfigured
from app.cli.given import given_texts
from app.cli.mappings import find_adapter
from app.cli.output import say, show_json, show_list
from app.cli.samples import RECIPIENT, unified_type, unique

COUNT_MAX = 100_000

_INBOUND = "/api/webhooks"
_LISTED = {"Event": "event", "Becomes": "type"}
_SENT = {"Sent": "events", "To": "url", "Bytes": "bytes", "Answer": "status", "Body": "answer"}


@click.command()
@argument("provider")
@argument("event", required=False)
@option("--source", help="The source to post to; the one called like the provider unless given.")
@option("--recipient", default=RECIPIENT, show_default=True, help="Whom the events are about.")
@option("--count", type=click.IntRange(1, COUNT_MAX), default=1, help="How many times, each with ids of its own.")
@option(
    "--signing-secret",
    "signing",
    multiple=True,
    metavar="NAME=VALUE",
    help="Sign with this, not the account's own key.",
)
@option("--list", "list_only", is_flag=True, help="List the events that can be sent.")
@option("--secrets", "secrets_only", is_flag=True, help="Print the JSON to put under secrets when adding the source.")
@with_keyless_client
def trigger(
    client: Client,
    provider: str,
    event: str | None,
    source: str | None,
    recipient: str,
    count: int,
    signing: Sequence[str],
    list_only: bool,
    secrets_only: bool,
) -> None:
    """Play PROVIDER: send the gateway a signed EVENT in the provider's own form.

    EVENT is a native type ("bounce", "email.bounced") or a unified one ("click"); several, separated by commas, make
    one batch where the provider batches. The simulated account's keys are made once and kept in the data folder. The
    exit code is 0 only when the gateway answered 200.

    \b
    Examples:
        mailweir trigger sendgrid --list
        mailweir sources add sendgrid sendgrid --simulated
        mailweir trigger sendgrid bounce,click --recipient ann@example.com
        mailweir trigger resend click --source prod --signing-secret signing_secret=whsec_…
    """
    adapter = find_adapter(provider)
    if secrets_only:
        return show_json(account_of(adapter).secrets)
    if list_only:
        return show_list(_playable(adapter), _LISTED, empty=f"The mapping of {provider} has no samples.")
    if event is None:
        raise click.UsageError("name an EVENT; --list shows those there are")
    player = Player(adapter, {**account_of(adapter).signing, **_last_of(given_texts(signing))}, recipient)
    samples = [player.sample_for(word) for word in event.split(",") if word.strip()]
    path = f"{_INBOUND}/{quote(source or provider, safe='')}"
    answers = [answer for _ in range(count) for answer in _send(client, player, samples, path)]
    show_list(answers, _SENT)
    if refused := [answer for answer in answers if answer["status"] != 200]:
        _explain(provider, source or provider, refused)
    return None


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


def _playable(adapter: Adapter) -> Iterator[dict[str, Any]]:
    for sample in adapter.samples:
        yield {"event": sample, "type": unified_type(adapter, sample)}


def _last_of(texts: Mapping[str, str | list[str]]) -> dict[str, str]:
    return {name: text if isinstance(text, str) else text[-1] for name, text in texts.items()}


def _send(client: Client, player: Player, samples: Sequence[str], path: str) -> Iterator[dict[str, Any]]:
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


def _explain(provider: str, source: str, refused: Sequence[Mapping[str, Any]]) -> None:
    first = refused[0]
    if first["status"] == 404:
        say(f"Add the source with: mailweir sources add {source} {provider} --simulated")
    elif first["status"] in (401, 406):
        say("The source has other keys than this simulated account: see --secrets and --signing-secret.")
    raise GatewayRefused(f"{len(refused)} of the requests were not answered 200")
