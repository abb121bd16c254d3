"""What a source does not want to be kept: taken out of what it brings before anything is stored.

The words that a source may list are those of `FIELDS`, and `metadata.KEY` for one key of its metadata. An address is
replaced by a pseudonym: an address of no domain, equal for equal addresses of one environment, and not to be traced
back without the environment's key. Of the request itself nothing is kept but a digest, because what stands in it may
stand there in any form.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Any

import msgspec
from msgspec import UNSET

from adapters.events import EventData
from adapters.reader import Quarantined, Unnamed
from app.erasure import Eraser

RECIPIENT, SENDER = "recipient", "from"
METADATA_KEY = "metadata."
WORDS_MAX = 50
HEADERS_KEPT = frozenset({"content-type", "content-length", "user-agent"})
REDACTED_TEXT = "(redacted)"
PSEUDONYM_DOMAIN = "redacted.invalid"
ERASERS_KEPT = 512

_PSEUDONYM_BYTES, _DIGEST_BYTES, _DEDUP_BYTES = 10, 16, 16
_ADDRESS = re.compile(r"[^\s<>\"(),;:]+@[^\s<>\"(),;:]+")
_QUOTED = re.compile(r"['\"].*", re.DOTALL)
_RUNS = re.compile(r"[a-z0-9]+")

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(EventData).decode


def _without(block: str, *fields: str) -> Callable[[EventData], None]:
    def take_out(data: EventData) -> None:
        present = getattr(data, block)
        if present is not UNSET:
            setattr(data, block, msgspec.structs.replace(present, **dict.fromkeys(fields)))

    return take_out


def _as(field: str, nothing: Callable[[], Any]) -> Callable[[EventData], None]:
    return lambda data: setattr(data, field, nothing())


FIELDS: dict[str, tuple[str, Callable[[EventData], None]]] = {
    RECIPIENT: (
        "`recipient` and `to` become pseudonyms, wherever the addresses stand in the event",
        lambda _data: None,
    ),
    SENDER: ("`from` becomes a pseudonym", lambda _data: None),
    "subject": ("`subject` becomes null", _as("subject", lambda: None)),
    "ip": ("`client.ip` becomes null", _without("client", "ip")),
    "user_agent": ("`client.user_agent` becomes null; what was read from it stays", _without("client", "user_agent")),
    "geo": ("the block `geo` is left out", _as("geo", lambda: UNSET)),
    "url": ("`click.url` becomes null", _without("click", "url")),
    "tags": ("`tags` becomes empty", _as("tags", list)),
    "metadata": ("`metadata` becomes empty", _as("metadata", dict)),
}
"""The words, and what becomes of an event's data."""


def unknown_words(words: Iterable[str]) -> list[str]:
    """Those that are no word of the list."""
    return [
        word for word in words if word not in FIELDS and not (word.startswith(METADATA_KEY) and word != METADATA_KEY)
    ]


class Redaction:
    """What one source leaves out; `key` is its environment's."""

    def __init__(self, words: Sequence[str], key: bytes) -> None:
        self._key = key
        self._recipient, self._sender = RECIPIENT in words, SENDER in words
        self._steps = [FIELDS[word][1] for word in words if word in FIELDS]
        self._metadata_keys = [word.removeprefix(METADATA_KEY) for word in words if word.startswith(METADATA_KEY)]

    def of_event(self, data: EventData) -> EventData:
        """The data without what is not to be kept."""
        for step in self._steps:
            step(data)
        if self._metadata_keys:
            data.metadata = {name: value for name, value in data.metadata.items() if name not in self._metadata_keys}
        addresses = self._addresses(data)
        if self._recipient:
            data.recipient = data.recipient and pseudonym(data.recipient, self._key)
            data.to = [pseudonym(text, self._key) for text in data.to]
        if self._sender:
            data.from_ = data.from_ and pseudonym(data.from_, self._key)
        return _with_pseudonyms(data, {address: pseudonym(address, self._key) for address in addresses})

    def of_body(self, body: bytes) -> bytes:
        """What is kept of a request's body: by it two requests can be told apart, and nothing else."""
        digest = blake2b(body, key=self._key, digest_size=_DIGEST_BYTES).hexdigest()
        return f"{REDACTED_TEXT} {digest}".encode()

    def of_dedup_key(self, dedup_key: bytes) -> bytes:
        """The digest by which the event is known again, so that nobody without the key can try addresses on it."""
        return blake2b(dedup_key, key=self._key, digest_size=_DEDUP_BYTES).digest()

    def of_quarantined(self, quarantined: Sequence[Quarantined]) -> list[Quarantined]:
        """Reasons without the values that they quote."""
        return [msgspec.structs.replace(item, reason=_QUOTED.sub("…", item.reason)) for item in quarantined]

    def of_unnamed(self, unnamed: Sequence[Unnamed]) -> list[Unnamed]:
        """The names without their samples."""
        return [msgspec.structs.replace(found, item=dict.fromkeys(found.keys, REDACTED_TEXT)) for found in unnamed]

    def _addresses(self, data: EventData) -> set[str]:
        texts = [data.recipient or "", *data.to] if self._recipient else []
        if self._sender:
            texts.append(data.from_ or "")
        return {found.lower() for text in texts for found in _ADDRESS.findall(text)}


def pseudonym(text: str, key: bytes) -> str:
    """What stands in place of the address in the text; of a name beside it nothing stays."""
    found = _ADDRESS.search(text)
    address = (found.group() if found else text).strip().lower()
    digest = blake2b(address.encode("utf-8", "replace"), key=key, digest_size=_PSEUDONYM_BYTES).hexdigest()
    return f"anon-{digest}@{PSEUDONYM_DOMAIN}"


def _with_pseudonyms(data: EventData, pseudonyms: dict[str, str]) -> EventData:
    """Also where the addresses stand in other fields: what a server said, a link, a tag."""
    encoded = _encode(data)
    lowered = encoded.lower()
    erased = encoded
    for address, instead in pseudonyms.items():
        if all(run.encode() in lowered for run in _RUNS.findall(address)):  # else it stands nowhere
            erased = _eraser(address, instead).erase(erased)
    return data if erased is encoded else _decode(erased)


@lru_cache(ERASERS_KEPT)
def _eraser(address: str, instead: str) -> Eraser:
    return Eraser({address: instead})
