"""What a changed mapping would make of the requests that came lately, beside what the one in force makes of them."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast
from urllib.parse import urlsplit

import msgspec
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.adapter import Adapter
from app.sandbox import try_all_apart
from app.store.ids import RECEIPT, public_id
from app.store.receipts import StoredReceipt, recent_requests
from app.trial import Attempted, Trial, Tried, WireRequest

RECEIPTS_MAX = 200
BYTES_MAX = 4 * 1024**2
"""Of their bodies together."""
SHOWN_MAX = 10
DIFFERENCES_SHOWN_MAX = 12
VALUE_CHARACTERS_MAX = 200

_EVERY_TIME_OTHER = {"id", "data.received_at"}


class Difference(msgspec.Struct, frozen=True):
    """One field that would have another value; None where it is not there."""

    path: str
    before: str | None
    after: str | None


class Changed(msgspec.Struct, frozen=True):
    """One receipt of which something else would come."""

    receipt_id: str
    before: str
    """What comes of it now, in a few words."""
    after: str
    differences: Sequence[Difference]


class Comparison(msgspec.Struct, frozen=True):
    """All of it in numbers, and the first receipts that differ."""

    receipts: int
    same: int
    changed: int
    mended: int
    """Of the changed ones, those of which something could not be read and now can."""
    broken: int
    """Those of which something cannot be read any more."""
    first: Sequence[Changed]


async def compare_on_recent(
    engine: AsyncEngine, environment_id: int, adapter: Adapter, mapping: str, *, body_bytes_max: int
) -> Comparison:
    """The mapping (YAML) against the adapter in force. Raises `MappingInvalid` and `TrialTooLarge`."""
    stored = await recent_requests(engine, environment_id, adapter.name, RECEIPTS_MAX, BYTES_MAX)
    attempts = [_attempt(receipt) for receipt in stored]
    after = await try_all_apart(mapping, attempts, body_bytes_max=body_bytes_max)
    before = await asyncio.to_thread(_read_all, Trial(adapter, body_bytes_max=body_bytes_max), attempts)
    return compare([public_id(RECEIPT, receipt.id) for receipt in stored], before, after)


def compare(receipt_ids: Sequence[str], before: Sequence[Tried], after: Sequence[Tried]) -> Comparison:
    """What differs between the two readings of each receipt."""
    changed = list[Changed]()
    mended = broken = 0
    for receipt_id, old, new in zip(receipt_ids, before, after, strict=True):
        differences = list(_differences(_substance(old), _substance(new)))
        if differences:
            changed.append(Changed(receipt_id, _said(old), _said(new), differences[:DIFFERENCES_SHOWN_MAX]))
            mended += _unread(new) < _unread(old)
            broken += _unread(new) > _unread(old)
    return Comparison(
        receipts=len(receipt_ids),
        same=len(receipt_ids) - len(changed),
        changed=len(changed),
        mended=mended,
        broken=broken,
        first=changed[:SHOWN_MAX],
    )


def _attempt(receipt: StoredReceipt) -> Attempted:
    url = urlsplit(receipt.url)
    request = WireRequest(
        method=receipt.method,
        scheme=url.scheme,
        host=url.netloc,
        path=url.path,
        query=url.query or None,
        headers=receipt.headers,
        body_b64=receipt.body,
    )
    return Attempted(request=request, at=receipt.received_ms / 1000)


def _read_all(trial: Trial, attempts: Sequence[Attempted]) -> list[Tried]:
    return [trial.read(attempted) for attempted in attempts]


def _substance(tried: Tried) -> dict[str, Any]:
    """Everything that a mapping decides, by its path: "events.0.data.recipient"."""
    found: dict[str, Any] = {"status": tried.status, "error": tried.error}
    for at, event in enumerate(tried.events):
        fields = dict(_flat(msgspec.to_builtins(event), ""))
        found |= {f"events.{at}.{path}": value for path, value in fields.items() if path not in _EVERY_TIME_OTHER}
    for at, item in enumerate(tried.quarantined):
        found[f"quarantined.{at}"] = item.reason
    return found


def _flat(value: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, inner in value.items():
        if isinstance(inner, dict) and inner:
            yield from _flat(cast("dict[str, Any]", inner), f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", inner


def _differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Difference]:
    for path in dict.fromkeys((*old, *new)):
        if old.get(path) != new.get(path):
            yield Difference(path, _text(old.get(path)), _text(new.get(path)))


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value if value is None else value[:VALUE_CHARACTERS_MAX]
    return msgspec.json.encode(value).decode()[:VALUE_CHARACTERS_MAX]


def _unread(tried: Tried) -> int:
    return len(tried.quarantined) + (tried.error is not None)


def _said(tried: Tried) -> str:
    types = [event.type for event in tried.events]
    parts = [f"{types.count(name)} × {name}" if types.count(name) > 1 else name for name in dict.fromkeys(types)]  # noqa: RUF001 - a times sign
    if tried.quarantined:
        parts.append(f"{len(tried.quarantined)} quarantined")
    return tried.error or ", ".join(parts) or "no event"
