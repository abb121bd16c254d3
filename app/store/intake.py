"""Stores what provider requests bring: their receipts, their events as far as they are new, and the deliveries owed."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from app.erasure import FORGOTTEN
from app.store.arrivals import Arrival, NewDelivery, NewEvent, NewReceipt
from app.store.engine import findable, insert_new, storable
from app.store.order import which_queue
from app.store.packing import packed
from app.store.prepared import Prepared, insert_into
from app.store.requests import KeptRequest, stored_request
from app.store.tables import (
    ACCEPTED,
    DUPLICATE,
    FORGOTTEN_IN_PART,
    QUARANTINED,
    QUEUED,
    REJECTED,
    DeliveryRow,
    EventRow,
    ReceiptRow,
    table_of,
)
from app.store.tokens import with_used_tokens

_receipt, _event, _delivery = table_of(ReceiptRow), table_of(EventRow), table_of(DeliveryRow)

_EVENTS_BETWEEN = sa.select(_event.c.id).where(_event.c.id.between(sa.bindparam("low"), sa.bindparam("high")))
_RECEIPT_AGAIN = (
    sa.update(_receipt)
    .where(_receipt.c.id == sa.bindparam("receipt_id"))
    .values(status=sa.bindparam("new_status"), reason=sa.bindparam("new_reason"), problems=sa.bindparam("new_problems"))
)
_KNOWN_BODIES = sa.select(_event.c.source_id, _event.c.dedup_key, _event.c.body).where(
    _event.c.source_id.in_(sa.bindparam("sources", expanding=True)),
    _event.c.dedup_key.in_(sa.bindparam("keys", expanding=True)),
)
_INSERT_EVENTS = Prepared(
    (
        "id",
        "environment_id",
        "source_id",
        "receipt_id",
        "type",
        "recipient",
        "email_id",
        "message_id",
        "occurred_at",
        "dedup_key",
        "body",
    ),
    lambda dialect: insert_new(dialect, _event, ("source_id", "dedup_key")),
)
_INSERT_RECEIPTS = insert_into(
    _receipt,
    ("id", "source_id", "status", "reason", "problems", "method", "url", "headers", "body", "once_digest", "withheld"),
)
_INSERT_DELIVERIES = insert_into(
    _delivery,
    (
        "id",
        "event_id",
        "endpoint_id",
        "origin",
        "status",
        "attempts",
        "due_at",
        "lease_node",
        "lease_until",
        "error",
        "order_key",
    ),
)
KEYS_ASKED_MAX = 10_000
_FORGOTTEN = FORGOTTEN.encode()
_REUSED = "the single-use token was accepted before, with another event"


def store_arrivals(connection: sa.Connection, arrivals: Sequence[Arrival]) -> None:
    """Stores them all and fills in what became of each; may be called again when the transaction failed."""
    arrivals = [arrival for arrival in arrivals if _is_to_be_stored(connection, arrival)]
    refused = with_used_tokens(connection, arrivals)
    welcome = [arrival for arrival in arrivals if not arrival.rejected and id(arrival) not in refused]
    stored = _store_events(connection, [event for arrival in welcome for event in arrival.events])
    for arrival in arrivals:
        arrival.stored = [event for event in arrival.events if event.id in stored]
        arrival.status, arrival.reason = _verdict(arrival, reused=id(arrival) in refused)
    if repeating := [arrival for arrival in welcome if len(arrival.stored) < len(arrival.events)]:
        _withhold_what_was_forgotten(connection, repeating)
    _store_receipts(connection, arrivals)
    owed = [delivery for arrival in arrivals for delivery in arrival.deliveries if delivery.event.id in stored]
    if in_lines := [delivery for delivery in owed if delivery.line is not None]:
        _queue_up(connection, in_lines)
    _INSERT_DELIVERIES.run(connection, [_delivery_row(delivery) for delivery in owed])


def _is_to_be_stored(connection: sa.Connection, arrival: Arrival) -> bool:
    if arrival.condition is None or arrival.condition(connection):
        return True
    arrival.status, arrival.stored = "", []
    return False


def _store_events(connection: sa.Connection, events: Sequence[NewEvent]) -> set[int]:
    """The ids of those that were new."""
    if not events:
        return set()
    ids = [event.id for event in events]
    if _INSERT_EVENTS.run(connection, [_event_row(event) for event in events]) == len(events):
        return set(ids)
    present = connection.execute(_EVENTS_BETWEEN, {"low": min(ids), "high": max(ids)})
    return set(present.scalars())


def _queue_up(connection: sa.Connection, deliveries: Sequence[NewDelivery]) -> None:
    lines = [delivery.line for delivery in deliveries if delivery.line is not None]
    for delivery, queues in zip(deliveries, which_queue(connection, lines), strict=True):
        if queues:
            delivery.status, delivery.error = QUEUED, None


def _withhold_what_was_forgotten(connection: sa.Connection, repeating: Sequence[Arrival]) -> None:
    """Who was taken out of an event does not come back with the body of its repetition."""
    keys = {(event.source_id, event.dedup_key) for arrival in repeating for event in arrival.events}
    forgotten = _events_with_somebody_forgotten(connection, keys)
    for arrival in repeating if forgotten else ():
        if arrival.receipt and any((event.source_id, event.dedup_key) in forgotten for event in arrival.events):
            receipt = arrival.receipt
            receipt.url, receipt.headers, receipt.body = receipt.url.partition("?")[0], b"{}", b""
            receipt.withheld = FORGOTTEN_IN_PART


def _events_with_somebody_forgotten(
    connection: sa.Connection, keys: set[tuple[int | None, bytes]]
) -> set[tuple[int | None, bytes]]:
    sources, digests = [*{source_id for source_id, _ in keys}], [*{key for _, key in keys}]
    found = set[tuple[int | None, bytes]]()
    for start in range(0, len(digests), KEYS_ASKED_MAX):
        some = {"sources": sources, "keys": digests[start : start + KEYS_ASKED_MAX]}
        rows = connection.execute(_KNOWN_BODIES, some)
        found |= {(source_id, key) for source_id, key, body in rows if _FORGOTTEN in body}
    return found


def _verdict(arrival: Arrival, *, reused: bool) -> tuple[str, str | None]:
    """The status and reason that the receipt is kept with."""
    receipt = arrival.receipt
    if receipt is None:
        return ACCEPTED, None
    if arrival.rejected or reused:
        return REJECTED, _REUSED if reused else receipt.reason
    known = bool(arrival.events) and not arrival.stored
    repeated = receipt.once_digest is not None and not arrival.spends_token and not arrival.stored
    if repeated or (known and not receipt.again and not receipt.problems):
        return DUPLICATE, receipt.reason
    return QUARANTINED if receipt.problems else ACCEPTED, receipt.reason


def _store_receipts(connection: sa.Connection, arrivals: Sequence[Arrival]) -> None:
    kept = [(arrival.receipt, arrival) for arrival in arrivals if arrival.receipt is not None]
    _INSERT_RECEIPTS.run(connection, [_receipt_row(*pair) for pair in kept if not pair[0].again])
    if again := [_receipt_change(*pair) for pair in kept if pair[0].again]:
        connection.execute(_RECEIPT_AGAIN, again)


def _receipt_change(receipt: NewReceipt, arrival: Arrival) -> dict[str, Any]:
    return {
        "receipt_id": receipt.id,
        "new_status": arrival.status,
        "new_reason": storable(arrival.reason),
        "new_problems": receipt.problems,
    }


def _event_row(event: NewEvent) -> tuple[Any, ...]:
    return (
        event.id,
        event.environment_id,
        event.source_id,
        event.receipt_id,
        event.type,
        findable(event.recipient.lower() if event.recipient else None),
        findable(event.email_id),
        findable(event.message_id),
        event.occurred_at,
        event.dedup_key,
        packed(event.body),
    )


def _receipt_row(receipt: NewReceipt, arrival: Arrival) -> tuple[Any, ...]:
    return (
        receipt.id,
        receipt.source_id,
        arrival.status,
        storable(arrival.reason),
        receipt.problems and packed(receipt.problems),
        *stored_request(KeptRequest(receipt.method, receipt.url, receipt.headers, receipt.body)),
        receipt.once_digest if arrival.spends_token else None,
        receipt.withheld,
    )


def _delivery_row(delivery: NewDelivery) -> tuple[Any, ...]:
    return (
        delivery.id,
        delivery.event.id,
        delivery.endpoint_id,
        delivery.origin,
        delivery.status,
        0,
        delivery.due_at,
        delivery.lease_node,
        delivery.lease_until,
        storable(delivery.error),
        delivery.line[1] if delivery.line else None,
    )
