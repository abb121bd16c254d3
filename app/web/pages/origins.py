"""Where an event came from: the native item in its receipt, found by reading the receipt again."""

import asyncio
import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from adapters.adapter import Adapter
from adapters.events import iso_millis
from adapters.reader import MappedEvent
from adapters.request import NativeRequest
from app.gateway import Gateway
from app.registry import Source
from app.store.ids import RECEIPT, parse_id
from app.store.log import ReceiptFilter, Span, list_receipts
from app.store.receipts import StoredReceipt, load_receipt
from app.store.tables import DUPLICATE
from app.store.views import HIDDEN, ReceiptLine, as_text

Event = Mapping[str, Any]
REPEATS_LOOKED_AT = 20
_NOT_COPIED = {"host", "content-length", "connection", "accept-encoding", "transfer-encoding"}
"""Headers that a client writes itself."""


class Origin(NamedTuple):
    """The receipt of an event, and what of it became the event."""

    receipt: StoredReceipt
    source: Source | None
    """None when it was deleted."""
    item: Any
    """The native item, None where it cannot be told any more."""
    place: int
    """Of the item in its request, from 0."""
    items: int
    unmapped: Sequence[str]
    """Keys of the item that the mapping does not name."""

    @property
    def text(self) -> str:
        """The body as it arrived."""
        return as_text(self.receipt.body)


async def find_origin(gateway: Gateway, receipt_id: int, event: Event) -> Origin | None:
    """None when the receipt is gone."""
    stored = await load_receipt(gateway.engine, receipt_id)
    if stored is None:
        return None
    source = next((source for source in gateway.registry.sources() if source.id == stored.source_id), None)
    adapter = source.adapter if source else None
    if adapter is None:
        return Origin(stored, source, None, 0, 0, ())
    return await asyncio.to_thread(_origin, stored, source, adapter, event)


async def find_repeats(gateway: Gateway, environment_id: int, origin: Origin, event: Event) -> Sequence[ReceiptLine]:
    """The newest requests by which the provider sent the same event again, of the last REPEATS_LOOKED_AT repeats."""
    if origin.source is None or origin.source.adapter is None:
        return []
    repeats = ReceiptFilter(status=DUPLICATE, source=origin.source.name)
    page = await list_receipts(gateway.engine, environment_id, repeats, Span(), REPEATS_LOOKED_AT)
    found = list[ReceiptLine]()
    for line in page.rows:
        stored = await load_receipt(gateway.engine, parse_id(RECEIPT, line.id) or 0)
        if stored and await asyncio.to_thread(_tells, origin.source.adapter, stored, event):
            found.append(line)
    return found


def as_it_came(origin: Origin) -> str:
    """The body and nothing else."""
    return origin.text


def as_fixture(origin: Origin) -> str:
    """The request and the events in it as a case of a mapping's tests; without a mapping, the request alone."""
    adapter = origin.source.adapter if origin.source else None
    request = _native(origin.receipt)
    events = [] if adapter is None else adapter.read(request, None, None, origin.receipt.received_ms).events
    case = {
        "name": events[origin.place].data.provider.event_type if origin.place < len(events) else "",
        "headers": _shown_headers(origin.receipt),
        "body": _body(origin.text),
        "events": [_written(event) for event in events],
    }
    return json.dumps([case], ensure_ascii=False, indent=1) + "\n"


def as_curl(origin: Origin) -> str:
    """A command that posts the same body to the same source; what was hidden in the receipt is missing."""
    headers = [f"-H {shlex.quote(f'{name}: {value}')}" for name, value in _shown_headers(origin.receipt).items()]
    parts = [
        f"curl -X {origin.receipt.method} {shlex.quote(origin.receipt.url)}",
        *headers,
        f"--data-binary {shlex.quote(origin.text)}",
    ]
    return " \\\n  ".join(parts) + "\n"


def _origin(stored: StoredReceipt, source: Source | None, adapter: Adapter, event: Event) -> Origin:
    request = _native(stored)
    reading = adapter.read(request, None, None, stored.received_ms)
    items = adapter.items(request)
    mapped = next((one for one in reading.events if _is_same(one, event)), None)
    if mapped is None or mapped.index >= len(items):
        return Origin(stored, source, None, 0, len(items), ())
    unnamed = [key for found in reading.unnamed if found.index == mapped.index for key in found.keys]
    return Origin(stored, source, items[mapped.index], mapped.index, len(items), unnamed)


def _tells(adapter: Adapter, stored: StoredReceipt, event: Event) -> bool:
    reading = adapter.read(_native(stored), None, None, stored.received_ms)
    return any(_is_same(mapped, event) for mapped in reading.events)


def _is_same(mapped: MappedEvent, event: Event) -> bool:
    """Whether reading again gave this event; its type may be another, where the mapping was mended since."""
    data = event["data"]
    ours = mapped.data.recipient, mapped.data.email_id, mapped.data.provider.event_id, iso_millis(mapped.timestamp_ms)
    return ours == (data.get("recipient"), data.get("email_id"), data["provider"].get("event_id"), event["timestamp"])


def _native(stored: StoredReceipt) -> NativeRequest:
    return NativeRequest(method=stored.method, url=stored.url, headers=stored.headers, body=stored.body)


def _shown_headers(stored: StoredReceipt) -> dict[str, str]:
    return {
        name: value for name, value in stored.headers.items() if name.lower() not in _NOT_COPIED and HIDDEN not in value
    }


def _body(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return text


def _written(event: MappedEvent) -> dict[str, Any]:
    """An event as fixtures have it: without what is empty, and without what is the same for the whole provider."""
    data = msgspec.to_builtins(event.data)
    provider = data.pop("provider")
    plain = {name: value for name, value in data.items() if value not in (None, "", [], {}, "exact")}
    return {
        "type": event.type,
        "timestamp": iso_millis(event.timestamp_ms),
        "event_id": provider["event_id"],
        "event_type": provider["event_type"],
        "data": plain,
    }
