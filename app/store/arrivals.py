"""What a provider request leaves behind: its receipt, its events and the deliveries they are owed."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from app.erasure import FORGOTTEN
from app.store.engine import findable, insert_new, storable
from app.store.order import Line, which_queue
from app.store.packing import packed
from app.store.prepared import Lookup, Prepared, insert_into
from app.store.requests import REQUEST_COLUMNS, KeptRequest, request_of, stored_request
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

_receipt, _event, _delivery = table_of(ReceiptRow), table_of(EventRow), table_of(DeliveryRow)

_EVENTS_BETWEEN = sa.select(_event.c.id).where(_event.c.id.between(sa.bindparam("low"), sa.bindparam("high")))
_RECEIPT_AGAIN = (
    sa.update(_receipt)
    .where(_receipt.c.id == sa.bindparam("receipt_id"))
    .values(status=sa.bindparam("new_status"), reason=sa.bindparam("new_reason"), problems=sa.bindparam("new_problems"))
)
_SPENT_TOKENS = Lookup(
    sa.select(_receipt.c.once_digest, *REQUEST_COLUMNS), of=_receipt.c.source_id, among=_receipt.c.once_digest
)
_COUNT_KNOWN = sa.select(sa.func.count()).where(
    _event.c.source_id == sa.bindparam("source"), _event.c.dedup_key.in_(sa.bindparam("keys", expanding=True))
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
REUSED = "the single-use token was accepted before, with another event"


class NewEvent(msgspec.Struct):
    """An event to be stored unless its source has it already; the times are milliseconds since 1970."""

    id: int
    environment_id: int
    source_id: int | None
    receipt_id: int | None
    type: str
    recipient: str | None
    email_id: str | None
    occurred_at: int
    dedup_key: bytes
    body: bytes
    message_id: str | None = None
    """The Message-ID, where it is another than `email_id`."""
    bounce_class: str | None = None
    endpoint_id: int | None = None
    """The one endpoint it is for; None: all that asked for its type."""
    _document: Any = None

    def document(self) -> Any:
        """The body decoded, for filters; decoded once."""
        if self._document is None:
            self._document = msgspec.json.decode(self.body)
        return self._document


class NewDelivery(msgspec.Struct):
    """A delivery to be stored: pending, held, or already in the sender's hands (`sending`, with a lease).

    One that stands in a `line` may turn out to be queued when it is stored.
    """

    id: int
    event: NewEvent
    endpoint_id: int
    status: str
    due_at: int
    origin: str = "event"
    lease_node: int | None = None
    lease_until: int | None = None
    error: str | None = None
    line: Line | None = None


class NewReceipt(msgspec.Struct):
    """A provider request to be kept; `headers` and `problems` are JSON."""

    id: int
    environment_id: int
    source_id: int
    method: str
    url: str
    headers: bytes
    body: bytes
    reason: str | None = None
    problems: bytes | None = None
    once_digest: bytes | None = None
    withheld: str | None = None
    """Why it is not as it arrived, where it is not."""
    again: bool = False
    """True when a stored receipt was read again: it is changed instead of added."""


class Arrival(msgspec.Struct):
    """Everything one request brings. An event of the gateway itself, such as a test, has no receipt."""

    receipt: NewReceipt | None
    events: list[NewEvent]
    rejected: bool = False
    """True when the request did not verify."""

    condition: Callable[[sa.Connection], bool] | None = None
    """Asked in the transaction, before anything is written; when it says no, nothing of the arrival is stored.

    What it changes there is durable together with the events, or not at all: a compare-and-set makes sure that, of
    several nodes, one tells the news once. It may be asked again when the transaction failed.
    """

    deliveries: list[NewDelivery] = []
    """What its events are owed, should they be new."""

    @property
    def size(self) -> int:
        """Bytes that it holds in memory, roughly."""
        return (len(self.receipt.body) if self.receipt else 0) + sum(len(event.body) for event in self.events)

    # Filled in when it is stored.
    status: str = ""
    """Stays empty when its condition said no."""
    reason: str | None = None
    spends_token: bool = False
    stored: list[NewEvent] = []
    """The events that were new."""


def store_arrivals(connection: sa.Connection, arrivals: Sequence[Arrival]) -> None:
    """Stores them all and fills in what became of each; may be called again when the transaction failed."""
    arrivals = [arrival for arrival in arrivals if _is_to_be_stored(connection, arrival)]
    refused = _with_used_tokens(connection, arrivals)
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
        return REJECTED, REUSED if reused else receipt.reason
    known = bool(arrival.events) and not arrival.stored
    repeated = receipt.once_digest is not None and not arrival.spends_token and not arrival.stored
    if repeated or (known and not receipt.again and not receipt.problems):
        return DUPLICATE, receipt.reason
    return QUARANTINED if receipt.problems else ACCEPTED, receipt.reason


def _with_used_tokens(connection: sa.Connection, arrivals: Sequence[Arrival]) -> set[int]:
    """Those (by identity) whose token was accepted before, with something else.

    These signatures cover the token and not the body. So a token may come again only with the very body it came with,
    or with events that are all known: the provider repeats itself. Anything else under it is a forgery.
    """
    tokens = {id(arrival): token for arrival in arrivals if (token := _token(arrival)) is not None}
    used = _used_tokens(connection, set(tokens.values()))
    refused = set[int]()
    for arrival in arrivals:
        token = tokens.get(id(arrival))
        if token is None or arrival.receipt is None:
            continue
        arrival.spends_token = token not in used
        first_body = used.setdefault(token, arrival.receipt.body)
        if arrival.receipt.body != first_body and not _brings_nothing_new(connection, arrival, arrivals):
            refused.add(id(arrival))
    return refused


def _brings_nothing_new(connection: sa.Connection, arrival: Arrival, beside: Sequence[Arrival]) -> bool:
    """Whether it consists of events that are stored, or about to be by the arrivals before it."""
    receipt = arrival.receipt
    if receipt is None or receipt.problems or not arrival.events:
        return False
    earlier = beside[: next(place for place, other in enumerate(beside) if other is arrival)]
    of_source = [other for other in earlier if other.receipt and other.receipt.source_id == receipt.source_id]
    coming = {event.dedup_key for other in of_source if other.spends_token for event in other.events}
    keys = {event.dedup_key for event in arrival.events} - coming
    if not keys:
        return True
    known = connection.execute(_COUNT_KNOWN, {"source": receipt.source_id, "keys": [*keys]})
    return known.scalar_one() == len(keys)


Token = tuple[int, bytes]
"""The source, and the digest of what it may send once."""


def _token(arrival: Arrival) -> Token | None:
    receipt = arrival.receipt
    if arrival.rejected or receipt is None or receipt.once_digest is None or receipt.again:
        return None
    return receipt.source_id, receipt.once_digest


def _used_tokens(connection: sa.Connection, tokens: set[Token]) -> dict[Token, bytes]:
    """Those of the tokens that a stored receipt spent, with its body."""
    if not tokens:
        return {}
    by_source = defaultdict[int, list[bytes]](list)
    for source_id, digest in tokens:
        by_source[source_id].append(digest)
    return {
        (source_id, row.once_digest): request_of(row).body
        for source_id, digests in by_source.items()
        for row in _SPENT_TOKENS.run(connection, source_id, digests)
    }


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
