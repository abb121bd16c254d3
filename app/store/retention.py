"""What is too old goes: receipts, and events with the deliveries and attempts that hang on them.

Strategy: numbers carry the time of their making, so that "older than" is a stretch of the primary key. A step walks a
little of that stretch, oldest first, and removes it in one short transaction; between two steps everybody else has the
database. An event goes whole, and only once nothing of it is to be sent any more: of one that still has a pending
delivery the others go, and the event with the rest after that has ended.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Protocol, TypeVar

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from app.store.engine import skip_locked
from app.store.tables import (
    PENDING,
    QUEUED,
    SENDING,
    AttemptRow,
    DeliveryRow,
    EndpointRow,
    EventRow,
    ReceiptRow,
    table_of,
)
from app.store.transactions import writing

T = TypeVar("T")

STEP_ROWS_MAX = 200
STEP_BYTES_MAX = 4 * 1024 * 1024
"""Of bodies; a single one may be larger."""
PAUSE_S = 0.02
PAUSE_SHARE = 2.0
"""After a step everybody else has the database for this many times as long as the step took."""

_receipt, _event = table_of(ReceiptRow), table_of(EventRow)
_delivery, _attempt, _endpoint = table_of(DeliveryRow), table_of(AttemptRow), table_of(EndpointRow)
_OPEN = (PENDING, SENDING, QUEUED)


class Removed(msgspec.Struct, frozen=True):
    """How many rows went, or would go."""

    receipts: int = 0
    events: int = 0
    deliveries: int = 0
    attempts: int = 0

    def __add__(self, other: "Removed") -> "Removed":
        mine, theirs = msgspec.structs.asdict(self), msgspec.structs.asdict(other)
        return Removed(**{name: number + theirs[name] for name, number in mine.items()})


class Step(msgspec.Struct, frozen=True):
    """What one transaction removed, and after which number the next goes on; None when there is nothing left."""

    removed: Removed
    after: int | None


class Write(Protocol):
    """Runs a whole transaction; `Ledger.run` is one, whose commits are shared with the hot path."""

    def __call__(self, task: Callable[[sa.Connection], T], /) -> Awaitable[T]: ...


def write_with(engine: AsyncEngine) -> Write:
    """For those who have no ledger: each task is a transaction of its own."""

    async def write(task: Callable[[sa.Connection], T]) -> T:
        async with writing(engine) as connection:
            return await connection.run_sync(task)

    return write


async def remove_older(write: Write, before: int, report: Callable[[Removed], object]) -> Removed:
    """Removes everything whose number is below `before`, step by step; each step is reported as it is done."""
    removed = Removed()
    for take_step in (remove_events, remove_receipts):
        after: int | None = 0
        while after is not None:
            step: Step = await unhurried(write, partial(take_step, before=before, after=after))
            report(step.removed)
            removed, after = removed + step.removed, step.after
    return removed


async def unhurried(write: Write, task: Callable[[sa.Connection], T]) -> T:
    """What the task returned, after a pause in which others write."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    result = await write(task)
    await asyncio.sleep(max(PAUSE_S, PAUSE_SHARE * (loop.time() - began)))
    return result


def remove_events(connection: sa.Connection, before: int, after: int) -> Step:
    """Removes some events between the two numbers, oldest first, with all that hangs on them.

    Where a held delivery goes that others are queued behind, the repair of lines lets the next one go.
    """
    ids = _oldest(connection, _event, before, after)
    if not ids:
        return Step(Removed(), None)
    query = sa.select(_delivery.c.id).where(_delivery.c.event_id.in_(ids), _has_ended()).limit(STEP_ROWS_MAX)
    ended = connection.scalars(skip_locked(connection.dialect, query)).all()
    attempts = connection.execute(sa.delete(_attempt).where(_attempt.c.delivery_id.in_(ended)))
    deliveries = connection.execute(sa.delete(_delivery).where(_delivery.c.id.in_(ended)))
    owed = sa.exists().where(_delivery.c.event_id == _event.c.id)
    events = connection.execute(sa.delete(_event).where(_event.c.id.in_(ids), ~owed))
    removed = Removed(events=events.rowcount, deliveries=deliveries.rowcount, attempts=attempts.rowcount)
    return Step(removed, after if len(ended) == STEP_ROWS_MAX else ids[-1])


def remove_receipts(connection: sa.Connection, before: int, after: int) -> Step:
    """Removes some receipts between the two numbers, oldest first."""
    ids = _oldest(connection, _receipt, before, after)
    if not ids:
        return Step(Removed(), None)
    receipts = connection.execute(sa.delete(_receipt).where(_receipt.c.id.in_(ids)))
    return Step(Removed(receipts=receipts.rowcount), ids[-1])


async def count_older(engine: AsyncEngine, before: int) -> Removed:
    """What `remove_older` would remove now."""
    ended = sa.and_(_delivery.c.event_id < before, _has_ended())
    owed = sa.exists().where(_delivery.c.event_id == _event.c.id, ~_has_ended())
    attempts = (
        sa.select(sa.func.count()).select_from(_attempt).join(_delivery, _delivery.c.id == _attempt.c.delivery_id)
    )
    async with engine.connect() as connection:
        return Removed(
            receipts=await _count(connection, _receipt, _receipt.c.id < before),
            events=await _count(connection, _event, sa.and_(_event.c.id < before, ~owed)),
            deliveries=await _count(connection, _delivery, ended),
            attempts=(await connection.execute(attempts.where(ended))).scalar_one(),
        )


def _has_ended() -> sa.ColumnElement[bool]:
    """What is queued for an endpoint that is not active is held, in effect."""
    active = sa.exists().where(_endpoint.c.id == _delivery.c.endpoint_id, _endpoint.c.active)
    queued_in_vain = sa.and_(_delivery.c.status == QUEUED, ~active)
    return sa.or_(_delivery.c.status.not_in(_OPEN), queued_in_vain)


def _oldest(connection: sa.Connection, table: sa.Table, before: int, after: int) -> Sequence[int]:
    """The next numbers, as many as one step takes; on PostgreSQL nobody adds a delivery to such an event meanwhile."""
    query = (
        sa.select(table.c.id, sa.func.length(table.c.body))
        .where(table.c.id > after, table.c.id < before)
        .order_by(table.c.id)
        .limit(STEP_ROWS_MAX)
    )
    taken, size = list[int](), 0
    for number, length in connection.execute(skip_locked(connection.dialect, query)):
        size += length
        if taken and size > STEP_BYTES_MAX:
            break
        taken.append(number)
    return taken


async def _count(connection: AsyncConnection, table: sa.Table, which: sa.ColumnElement[bool]) -> int:
    query: sa.Select[Any] = sa.select(sa.func.count()).select_from(table).where(which)
    return (await connection.execute(query)).scalar_one()
