"""What the state of an endpoint means for the deliveries it is owed: to be sent, held or cancelled."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from app.store.ids import first_id_at
from app.store.moves import MOVED_MAX, has_status, move
from app.store.tables import (
    CANCELLED,
    HELD,
    NOT_ACTIVE,
    PENDING,
    QUEUED,
    RECIPIENT,
    SENDING,
    DeliveryRow,
    EndpointRow,
    table_of,
)
from app.store.transactions import writing

DROPPED = "dropped when the endpoint was enabled"
"""The `error` of deliveries that were held, and that nobody wanted any more."""

_endpoint, _delivery = table_of(EndpointRow), table_of(DeliveryRow)
_living = _endpoint.c.deleted_at.is_(None)
_any_reason = sa.true()
_not_active = _delivery.c.error == NOT_ACTIVE


async def settle_endpoints(engine: AsyncEngine, now: datetime) -> int:
    """Finishes, at a start, the changes that a crash cut short; the number of deliveries it moved."""
    return sum([await settle(engine, row, now) for row in await _unsettled(engine)])


async def settle_changed(engine: AsyncEngine, since: datetime, now: datetime) -> int:
    """Moves deliveries that were missed when an endpoint was changed after `since`; how many.

    A node that had not heard of the change yet may have held some, or left some to be sent. What is held for a reason
    of its own, such as a transform that fails, stays.
    """
    found = await _unsettled(engine, _endpoint.c.updated_at >= since, why_held=_not_active)
    return sum([await settle(engine, row, now, why_held=_not_active) for row in found])


async def settle(
    engine: AsyncEngine, endpoint: sa.Row[Any], now: datetime, *, why_held: sa.ColumnElement[bool] = _any_reason
) -> int:
    """Moves the endpoint's open deliveries to where its state wants them, a commit's worth at a time."""
    if endpoint.deleted_at is not None:
        starts = (QUEUED, PENDING, SENDING, HELD)  # the queued ones first, so that none of them goes next
        return sum([await _move_all(engine, start, CANCELLED, now, _owed(endpoint.id, start)) for start in starts])
    if endpoint.active:
        freed = 0
        if endpoint.ordering != RECIPIENT:
            freed = await _move_all(engine, QUEUED, PENDING, now, _owed(endpoint.id, QUEUED))
        return freed + await _move_all(engine, HELD, PENDING, now, sa.and_(_owed(endpoint.id, HELD), why_held))
    return await _move_all(engine, PENDING, HELD, now, _owed(endpoint.id, PENDING))


async def drop_held(engine: AsyncEngine, endpoint: sa.Row[Any], now: datetime) -> int:
    """Cancels what was held for the endpoint until now, or was about to be because it is not active; how many."""
    starts = (HELD,) if endpoint.active else (QUEUED, HELD, PENDING)
    before = _delivery.c.id < first_id_at(round(now.timestamp() * 1000) + 1)
    dropped = [
        await _move_all(engine, start, CANCELLED, now, sa.and_(_owed(endpoint.id, start), before), why=DROPPED)
        for start in starts
    ]
    return sum(dropped)


async def _unsettled(
    engine: AsyncEngine, *which: sa.ColumnElement[bool], why_held: sa.ColumnElement[bool] = _any_reason
) -> Sequence[sa.Row[Any]]:
    """Endpoints with deliveries that do not fit their state, by a look or two into partial indexes for each."""
    sending = sa.select(_delivery.c.endpoint_id).where(has_status(SENDING))  # one short walk for all
    query = sa.select(_endpoint).where(
        *which,
        sa.or_(
            sa.and_(_living, _endpoint.c.active, _owes(HELD, why_held)),
            sa.and_(_living, _endpoint.c.active, _endpoint.c.ordering != RECIPIENT, _owes(QUEUED)),
            sa.and_(_living, ~_endpoint.c.active, _owes(PENDING)),
            sa.and_(~_living, sa.or_(_owes(PENDING), _owes(HELD), _owes(QUEUED), _endpoint.c.id.in_(sending))),
        ),
    )
    async with engine.connect() as connection:
        return (await connection.execute(query.order_by(_endpoint.c.id))).all()


def _owes(status: str, *which: sa.ColumnElement[bool]) -> sa.ColumnElement[bool]:
    return sa.exists().where(_owed(_endpoint.c.id, status), *which)


def _owed(endpoint_id: Any, status: str) -> sa.ColumnElement[bool]:
    """In words that lead SQLite, which knows no statistics, to the partial index and past that of all deliveries."""
    if status == SENDING:
        return sa.and_(_delivery.c.endpoint_id + 0 == endpoint_id, has_status(status))
    behind = _delivery.c.order_key if status == QUEUED else _delivery.c.due_at
    return sa.and_(_delivery.c.endpoint_id == endpoint_id, has_status(status), behind >= 0)


async def _move_all(
    engine: AsyncEngine,
    start: str,
    target: str,
    now: datetime,
    which: sa.ColumnElement[bool],
    *,
    why: str | None = None,
) -> int:
    moved = 0
    while True:
        async with writing(engine) as connection:
            batch = await move(connection, start, target, now, which, MOVED_MAX, why=why)
        moved += len(batch)
        if len(batch) < MOVED_MAX:
            return moved
