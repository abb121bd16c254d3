"""One address taken out of what is stored: the statements.

What tells about the person is reduced to what can be counted; where others share a body, the address alone goes. The
rows stay, with their `dedup_key`, so that a provider that repeats itself brings nothing back. What the owner of the
address has not been told yet is not told any more: pending deliveries are cancelled, and those to be sent about others
go out without the address. A delivery in a node's hands has the old body; such an event is left for the next try.
"""

from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, NamedTuple, cast

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from app.erasure import FORGOTTEN, Eraser
from app.store.engine import lock_rows, skip_locked
from app.store.ids import DELIVERY, parse_id
from app.store.order import let_next_go_in_reach
from app.store.packing import plain_size, size_columns
from app.store.requests import REQUEST_COLUMNS, KeptRequest, request_of, stored_request
from app.store.tables import (
    CANCELLED,
    DUPLICATE,
    FAILED,
    FORGOTTEN_IN_PART,
    HELD,
    LEADING,
    PENDING,
    QUEUED,
    RUNNING,
    SENDING,
    AttemptRow,
    BulkJobRow,
    DeliveryRow,
    DriftRow,
    EventRow,
    ReceiptRow,
    SourceRow,
    check_change,
    table_of,
)

CHUNK_ROWS_MAX = 200
CHUNK_BYTES_MAX = 512 * 1024
EVENTS_LOOKED_AT_MAX = 1_000
"""Of one receipt, to see whether it tells of nobody else."""
WHY_CANCELLED = "the recipient was forgotten"

_receipt, _event, _drift, _source = map(table_of, (ReceiptRow, EventRow, DriftRow, SourceRow))
_delivery, _attempt, _job = map(table_of, (DeliveryRow, AttemptRow, BulkJobRow))
_UNDELIVERED = (PENDING, HELD, QUEUED, FAILED)
_INBOUND_TYPES = ("email.received", "email.replied")
_IN_RECEIPTS = (_receipt.c.reason, _receipt.c.problems, *REQUEST_COLUMNS)
_NAMES_OF_EVENT = ("recipient", "email_id", "message_id")
"""Columns beside the body in which an address may stand, which ids are made of at times."""
_GONE = FORGOTTEN.encode()

for _status in _UNDELIVERED:
    check_change(_status, [CANCELLED])


class Forgotten(msgspec.Struct, frozen=True):
    """How many rows an address was taken out of, and how many deliveries were cancelled."""

    receipts: int = 0
    events: int = 0
    deliveries: int = 0
    attempts: int = 0
    drift: int = 0
    jobs: int = 0

    def __add__(self, other: "Forgotten") -> "Forgotten":
        mine, theirs = msgspec.structs.asdict(self), msgspec.structs.asdict(other)
        return Forgotten(**{name: number + theirs[name] for name, number in mine.items()})


class Stored(NamedTuple):
    """Everything in a row in which an address may stand."""

    id: int
    texts: bytes


class Chunk(NamedTuple):
    """Receipts and events of one stretch of the log; the next begins after the number `upto`, None at the end."""

    receipts: Sequence[Stored]
    events: Sequence[Stored]
    upto: int | None


class Hits(NamedTuple):
    """The numbers of rows that an address stands in."""

    receipts: Sequence[int]
    events: Sequence[int]


async def read_chunk(engine: AsyncEngine, environment_id: int, after: int) -> Chunk:
    """The next stretch after that number."""
    ours = sa.select(_source.c.environment_id).where(_source.c.id == _receipt.c.source_id).scalar_subquery()
    of_receipts, of_events = ours == environment_id, _event.c.environment_id == environment_id
    async with engine.connect() as connection:
        ends = [
            await _end(connection, table, after, which)
            for table, which in ((_receipt, of_receipts), (_event, of_events))
        ]
        upto = min((end for end in ends if end is not None), default=None)
        receipts = await _rows(connection, _receipt, _IN_RECEIPTS, after, upto, of_receipts)
        events = await _rows(connection, _event, (_event.c.recipient, _event.c.body), after, upto, of_events)
    return Chunk(
        [Stored(row.id, _joined((row.reason, row.problems, *request_of(row)))) for row in receipts],
        [Stored(row.id, _joined((row.recipient, row.body))) for row in events],
        upto,
    )


async def _end(connection: AsyncConnection, table: sa.Table, after: int, ours: sa.ColumnElement[bool]) -> int | None:
    """The last row of the table that a chunk has room for; None when all that is left has."""
    query = (
        sa.select(table.c.id, *size_columns(table.c.body))
        .where(table.c.id > after, ours)
        .order_by(table.c.id)
        .limit(CHUNK_ROWS_MAX)
    )
    rows, size = (await connection.execute(query)).all(), 0
    for number, head, length in rows:
        size += plain_size(head, length)
        if size >= CHUNK_BYTES_MAX:
            return number
    return rows[-1][0] if len(rows) == CHUNK_ROWS_MAX else None


async def _rows(
    connection: AsyncConnection,
    table: sa.Table,
    columns: Iterable[sa.Column[Any]],
    after: int,
    upto: int | None,
    ours: sa.ColumnElement[bool],
) -> Sequence[sa.Row[Any]]:
    until = sa.true() if upto is None else table.c.id <= upto
    query = sa.select(table.c.id, *columns).where(table.c.id > after, until, ours).order_by(table.c.id)
    if upto is None:
        query = query.limit(CHUNK_ROWS_MAX)  # what came in since the end was looked for waits for the next time
    return (await connection.execute(query)).all()


def forget_in(connection: sa.Connection, hits: Hits, eraser: Eraser, now: datetime) -> tuple[Forgotten, int | None]:
    """Takes the person out of these rows; with the number of the first event that is just being sent, where one is."""
    with _shredding(connection):
        forgotten = Forgotten()
        for number in hits.receipts:
            forgotten += _forget_receipt(connection, number, eraser)
        for number in hits.events:
            if not _has_deliveries_at_rest(connection, number):
                return forgotten, number
            forgotten += _forget_event(connection, number, eraser, now)
    return forgotten, None


@contextmanager
def _shredding(connection: sa.Connection) -> Generator[None]:
    """SQLite overwrites with zeros, on the connection's pages, what it lets go of; PostgreSQL's vacuum comes by."""
    if connection.dialect.name != "sqlite":
        yield
        return
    before = connection.exec_driver_sql("PRAGMA secure_delete").scalar_one()
    connection.exec_driver_sql("PRAGMA secure_delete = ON")
    try:
        yield
    finally:
        connection.exec_driver_sql(f"PRAGMA secure_delete = {before}")


def forget_jobs(connection: sa.Connection, environment_id: int, eraser: Eraser, now: datetime) -> Forgotten:
    """Takes the addresses out of what jobs look for; a job that still looks for one is cancelled."""
    query = sa.select(_job.c.id, _job.c.filters, _job.c.state).where(_job.c.environment_id == environment_id)
    found = 0
    for row in connection.execute(query).all():
        filters = msgspec.json.encode(row.filters)
        if (erased := eraser.erase(filters)) is not filters:
            over = {"state": CANCELLED, "finished_at": now, "updated_at": now, "lease_node": None, "lease_until": None}
            values = {"filters": msgspec.json.decode(erased)} | (over if row.state == RUNNING else {})
            connection.execute(sa.update(_job).where(_job.c.id == row.id).values(values))
            found += 1
    return Forgotten(jobs=found)


def forget_drift(connection: sa.Connection, environment_id: int, eraser: Eraser) -> Forgotten:
    """Removes what no mapping names where its sample holds an address."""
    sources = sa.select(_source.c.id).where(_source.c.environment_id == environment_id)
    identity = (_drift.c.source_id, _drift.c.kind, _drift.c.name)
    rows = connection.execute(sa.select(*identity, _drift.c.sample).where(_drift.c.source_id.in_(sources))).all()
    found = [tuple(row[:3]) for row in rows if eraser.finds(f"{row.name}\n{row.sample}".encode())]
    with _shredding(connection):
        connection.execute(sa.delete(_drift).where(sa.tuple_(*identity).in_(found)))
    return Forgotten(drift=len(found))


def _forget_receipt(connection: sa.Connection, number: int, eraser: Eraser) -> Forgotten:
    query = sa.select(_receipt.c.status, *_IN_RECEIPTS).where(_receipt.c.id == number)
    row = connection.execute(lock_rows(connection.dialect, query, shared=False)).one_or_none()
    if row is None:
        return Forgotten()
    erase, erase_text = eraser.erase, eraser.erase_text
    of_nobody_else = row.status == DUPLICATE or _is_about_nobody_else(connection, number, eraser)
    request = request_of(row)
    rest = KeptRequest(
        method=request.method,
        url=erase_text(request.url.partition("?")[0] if of_nobody_else else request.url),
        headers=erase(request.headers),
        body=b"" if of_nobody_else else erase(request.body),
    )
    others = {
        _receipt.c.reason: row.reason and erase_text(row.reason),
        _receipt.c.problems: row.problems and erase(row.problems),
        _receipt.c.withheld: FORGOTTEN_IN_PART,
    }
    stored = dict(zip(REQUEST_COLUMNS, stored_request(rest), strict=True))
    connection.execute(sa.update(_receipt).where(_receipt.c.id == number).values({**stored, **others}))
    return Forgotten(receipts=1)


def _is_about_nobody_else(connection: sa.Connection, receipt_id: int, eraser: Eraser) -> bool:
    query = sa.select(_event.c.body).where(_event.c.receipt_id == receipt_id).limit(EVENTS_LOOKED_AT_MAX)
    bodies = connection.scalars(query).all()
    return 0 < len(bodies) < EVENTS_LOOKED_AT_MAX and all(
        _is_about(msgspec.json.decode(body), eraser) for body in bodies
    )


def _is_about(event: dict[str, Any], eraser: Eraser) -> bool:
    """Whether the event, decoded, tells of the person, or of one who was forgotten before."""
    data = cast("dict[str, Any]", event.get("data") or {})
    whom = data.get("from") if event.get("type") in _INBOUND_TYPES else data.get("recipient")
    return isinstance(whom, str) and (FORGOTTEN in whom or eraser.finds(whom.encode()))


def _has_deliveries_at_rest(connection: sa.Connection, event_id: int) -> bool:
    """Whether no node has one in its hands; none takes one either until this transaction ends."""
    dialect, of_event = connection.dialect, _delivery.c.event_id == event_id
    connection.execute(lock_rows(dialect, sa.select(_event.c.id).where(_event.c.id == event_id), shared=False))
    at_rest = sa.select(_delivery.c.id).where(of_event, _delivery.c.status != SENDING)
    locked = len(connection.execute(skip_locked(dialect, at_rest)).all())
    return locked == connection.execute(sa.select(sa.func.count()).where(of_event)).scalar_one()


def _forget_event(connection: sa.Connection, number: int, eraser: Eraser, now: datetime) -> Forgotten:
    columns = [_event.c[name] for name in _NAMES_OF_EVENT]
    row = connection.execute(sa.select(*columns, _event.c.body).where(_event.c.id == number)).one_or_none()
    if row is None:
        return Forgotten()
    event = msgspec.json.decode(row.body)
    own = _is_about(event, eraser)
    body = msgspec.json.encode(_reduced(event)) if own else row.body
    names = {name: value and eraser.erase_text(value) for name, value in zip(_NAMES_OF_EVENT, row, strict=False)}
    values = names | {"body": eraser.erase(body)}
    connection.execute(sa.update(_event).where(_event.c.id == number).values(values))
    cancelled = _cancel(connection, number, now) if own else 0
    _forget_errors(connection, number, eraser)
    erase = _emptied if own else eraser.erase
    return Forgotten(events=1, deliveries=cancelled, attempts=_forget_attempts(connection, number, eraser, erase))


def _reduced(event: dict[str, Any]) -> dict[str, Any]:
    """The event without what tells of the person: it can still be counted by type, provider, class, tag and message."""
    data: dict[str, Any] = {name: value for name, value in event["data"].items() if name not in ("client", "geo")}
    data |= {"subject": None, "to": [], "metadata": {}}
    data["from" if event["type"] in _INBOUND_TYPES else "recipient"] = FORGOTTEN
    for block, field in (
        ("delivery", "diagnostic"),
        ("bounce", "diagnostic"),
        ("deferral", "diagnostic"),
        ("click", "url"),
    ):
        if block in data:
            data[block] = data[block] | {field: None}
    return event | {"data": data}


def _cancel(connection: sa.Connection, event_id: int, now: datetime) -> int:
    """Cancels what is not delivered; how many. The next in their lines go, and nothing tells of their recipient."""
    of_event = _delivery.c.event_id == event_id
    places = sa.select(_delivery.c.endpoint_id, _delivery.c.order_key).where(of_event, _delivery.c.status.in_(LEADING))
    lines = {(endpoint_id, key) for endpoint_id, key in connection.execute(places) if key is not None}
    cancelled = sa.update(_delivery).where(of_event, _delivery.c.status.in_(_UNDELIVERED))
    count = connection.execute(cancelled.values(status=CANCELLED, finished_at=now, error=WHY_CANCELLED)).rowcount
    connection.execute(sa.update(_delivery).where(of_event, _delivery.c.order_key.is_not(None)).values(order_key=None))
    let_next_go_in_reach(connection, lines, now)
    return count


def _forget_errors(connection: sa.Connection, event_id: int, eraser: Eraser) -> None:
    with_error = sa.and_(_delivery.c.event_id == event_id, _delivery.c.error.is_not(None))
    for number, error in connection.execute(sa.select(_delivery.c.id, _delivery.c.error).where(with_error)).all():
        if (erased := eraser.erase_text(error)) != error:
            connection.execute(sa.update(_delivery).where(_delivery.c.id == number).values(error=erased))


def _forget_attempts(connection: sa.Connection, event_id: int, eraser: Eraser, erase: Callable[[bytes], bytes]) -> int:
    """Bodies by `erase`; of headers and errors the address alone goes."""
    deliveries = sa.select(_delivery.c.id).where(_delivery.c.event_id == event_id)
    changed = 0
    for row in connection.execute(sa.select(_attempt).where(_attempt.c.delivery_id.in_(deliveries))).all():
        values = {
            "request_body": row.request_body and erase(row.request_body),
            "response_body": row.response_body and erase(row.response_body),
            "request_headers": eraser.erase(row.request_headers),
            "response_headers": eraser.erase(row.response_headers),
            "error": row.error and eraser.erase_text(row.error),
        }
        if any(getattr(row, name) != value for name, value in values.items()):
            mine = sa.and_(_attempt.c.delivery_id == row.delivery_id, _attempt.c.id == row.id)
            connection.execute(sa.update(_attempt).where(mine).values(values))
            changed += 1
        if row.batch is not None:
            _forget_in_shared_answer(connection, row.batch, eraser)
    return changed


def _forget_in_shared_answer(connection: sa.Connection, batch: bytes, eraser: Eraser) -> None:
    """The answer to a batch is kept with the first of its deliveries, whose event may be about somebody else."""
    first = parse_id(DELIVERY, msgspec.json.decode(batch)["first"])
    mine = sa.and_(_attempt.c.delivery_id == first, _attempt.c.batch == batch)
    for number, body in connection.execute(sa.select(_attempt.c.id, _attempt.c.response_body).where(mine)).all():
        erased = sa.update(_attempt).where(mine, _attempt.c.id == number)
        connection.execute(erased.values(response_body=eraser.erase(body)))


def _emptied(_body: bytes) -> bytes:
    """For what was sent about the person, or answered to it: what a transform or a subscriber wrote may tell more."""
    return _GONE


def _joined(texts: Iterable[str | bytes | None]) -> bytes:
    return b"\n".join(text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text or b"" for text in texts)
