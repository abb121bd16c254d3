"""A mapping's own samples: native items from which requests are built as the provider would send them.

In a sample's texts `$recipient`, `$unique` (other each time, the same within one item), `$message` (the same for all
events of one message), `$unix`, `$unix_ms` and `$iso` stand for what their names say; a text that is only `$unix` or
`$unix_ms` becomes a number. In the envelope `$item` and `$items` stand for the native items.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, cast
from urllib.parse import urlencode

import msgspec

from adapters.events import iso_millis
from adapters.request import NativeRequest

_PLACEHOLDER = re.compile(r"\$(unix_ms|unix|iso|unique|message|recipient)\b")

MEDIA_TYPES = {
    "json": "application/json",
    "text": "text/plain; charset=UTF-8",
    "form": "application/x-www-form-urlencoded",
}


class Samples(NamedTuple):
    """What `samples:` declares."""

    events: Mapping[str, Any]
    """Native items by native type, or "type/detail" where one type has several."""
    envelope: Any
    """What goes around the items; None sends the item as it is, or the list of items where `batches`."""
    batches: bool
    """Whether one request may carry several items."""
    body: str
    """One of MEDIA_TYPES."""
    headers: Mapping[str, str]

    def item(self, name: str) -> Any:
        """The sample called `name`, or the first of that native type. Raises ValueError when there is none."""
        for sample, item in self.events.items():
            if name in (sample, native_name(sample, ())):
                return item
        raise ValueError(f"there is no sample of '{name:.80}'; there are {', '.join(self.events)}")


def native_name(sample: str, native_types: Sequence[str]) -> str:
    """The native type that a sample is named after: "bounce" for "bounce/blocked"."""
    return sample if sample in native_types else sample.rpartition("/")[0] or sample


def unsigned_request(
    samples: Samples,
    items: Sequence[Any],
    *,
    url: str,
    at: float,
    recipient: str,
    unique: Callable[[], str],
    message: str | None = None,
) -> NativeRequest:
    """One request that carries the native items `items`, their placeholders filled in, still without a signature.

    All are about the message `message`; without one, each is about a message of its own.
    """
    if len(items) != 1 and not samples.batches:
        raise ValueError("this provider sends one event a request")
    filled = [_filled(item, _values(at, recipient, unique(), message)) for item in items]
    around = {"$item": filled[0], "$items": filled}
    envelope = samples.envelope if samples.envelope is not None else "$items" if samples.batches else "$item"
    body = _enclosed(_filled(envelope, _values(at, recipient, unique(), message)), around)
    headers = {
        "content-type": MEDIA_TYPES[samples.body],
        **{name.lower(): text for name, text in samples.headers.items()},
    }
    return NativeRequest(url=url, headers=headers, body=_encoded(body, samples.body))


def _values(at: float, recipient: str, unique: str, message: str | None) -> dict[str, Any]:
    unix_ms = round(at * 1000)
    return {
        "recipient": recipient,
        "unique": unique,
        "message": message or unique,
        "unix": unix_ms // 1000,
        "unix_ms": unix_ms,
        "iso": iso_millis(unix_ms),
    }


def _filled(value: Any, values: Mapping[str, Any]) -> Any:
    return _with_texts(value, lambda text: _text_filled(text, values))


def _text_filled(text: str, values: Mapping[str, Any]) -> Any:
    whole = _PLACEHOLDER.fullmatch(text)
    return values[whole[1]] if whole else _PLACEHOLDER.sub(lambda found: str(values[found[1]]), text)


def _enclosed(value: Any, around: Mapping[str, Any]) -> Any:
    return _with_texts(value, lambda text: around.get(text, text))


def _with_texts(value: Any, replace: Callable[[str], Any]) -> Any:
    """`value` with every text in it replaced, keys left as they are."""
    if isinstance(value, dict):
        return {key: _with_texts(inner, replace) for key, inner in cast("dict[str, Any]", value).items()}
    if isinstance(value, list):
        return [_with_texts(inner, replace) for inner in cast("list[Any]", value)]
    return replace(value) if isinstance(value, str) else value


def _encoded(body: Any, form: str) -> bytes:
    if form != "form":
        return msgspec.json.encode(body)
    return urlencode(
        {key: value if isinstance(value, str | int) else _json(value) for key, value in body.items()}
    ).encode()


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
