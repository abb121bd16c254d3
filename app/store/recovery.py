"""Sending again, by hand: replays of events, retries of deliveries, recovery of what failed or was missed.

Whoever calls these rings the sender's bell after the commit.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from app.store.errors import NotResendable, ReplayRefused
from app.store.ids import IdSource, first_id_at
from app.store.moves import MOVED_MAX, move
from app.store.tables import (
    CANCELLED,
    FAILED,
    HELD,
    NOT_ACTIVE,
    PENDING,
    SENDING,
    DeliveryRow,
    EndpointRow,
    EventRow,
    table_of,
)
from app.store.transactions import writing
from app.store.walks import ROWS_WALKED_MAX

_delivery, _event, _endpoint = table_of(DeliveryRow), table_of(EventRow), table_of(EndpointRow)


class MissedEvent(msgspec.Struct, frozen=True):
    """An event that an endpoint has no delivery of; `body` is there for its filter."""

    id: int
    type: str
    body: bytes


async def replay(
    connection: AsyncConnection,
    environment_id: int,
    event_id: int,
    endpoint_ids: Sequence[int],
    ids: IdSource,
    now: datetime,
) -> Sequence[int] | None:
    """New deliveries of the event, one to each endpoint, due now; their ids, or None when there is no such event.

    What goes to an endpoint that is not active is held. Raises ReplayRefused for endpoints that are not there.
    """
    event = sa.select(_event.c.id).where(_event.c.id == event_id, _event.c.environment_id == environment_id)
    if await connection.scalar(event) is None:
        return None
    active = await _are_active(connection, environment_id, endpoint_ids)
    rows = [_replayed(ids.next(), event_id, endpoint_id, active[endpoint_id], now) for endpoint_id in endpoint_ids]
    if rows:
        await connection.execute(sa.insert(_delivery), rows)
    return [row["id"] for row in rows]


async def retry(connection: AsyncConnection, environment_id: int, delivery_id: int, now: datetime) -> bool:
    """Makes the delivery due now, whatever became of it; attempts count on. False when there is no such delivery.

    Raises NotResendable when it is being sent, was cancelled, or its endpoint is not active.
    """
    query = (
        sa.select(_delivery.c.status, _delivery.c.endpoint_id, _endpoint.c.active)
        .join(_event, _event.c.id == _delivery.c.event_id)
        .outerjoin(_endpoint, _endpoint.c.id == _delivery.c.endpoint_id)
        .where(_delivery.c.id == delivery_id, _event.c.environment_id == environment_id)
    )
    row = (await connection.execute(query)).one_or_none()
    if row is None:
        return False
    if reason := _why_not(row):
        raise NotResendable(reason)
    if not await _make_due(connection, row.status, delivery_id, now):
        raise NotResendable("The delivery changed just now; look at it again.")
    return True


async def recover_failed(
    engine: AsyncEngine, environment_id: int, endpoint_id: int, since: datetime, until: datetime, now: datetime
) -> int:
    """Makes the endpoint's failed deliveries of that time due now; how many. Raises ReplayRefused."""
    which = sa.and_(_delivery.c.endpoint_id == endpoint_id, *_between(_delivery.c.id, since, until))
    recovered = 0
    while True:
        async with writing(engine) as connection:
            active = await _are_active(connection, environment_id, [endpoint_id])
            if not active[endpoint_id]:
                raise NotResendable(f"Endpoint {endpoint_id} is not active; enable it first.")
            moved = await move(connection, FAILED, PENDING, now, which, MOVED_MAX)
        recovered += len(moved)
        if len(moved) < MOVED_MAX:
            return recovered


async def missed_events(
    engine: AsyncEngine,
    environment_id: int,
    endpoint_id: int,
    types: Collection[str],
    since: datetime,
    until: datetime,
    *,
    after: int = 0,
    limit: int = 500,
) -> tuple[Sequence[MissedEvent], int | None]:
    """Events of that time and those types that the endpoint has no delivery of, oldest first, for `replay`.

    With them the number to give as `after` next, None at the end: like a page of the log, one walk ends after
    ROWS_WALKED_MAX events even if it found few.
    """
    ours = (_event.c.id > after, *_between(_event.c.id, since, until))
    ends = sa.select(_event.c.id).where(*ours).order_by(_event.c.id).offset(ROWS_WALKED_MAX - 1).limit(1)
    owed = sa.exists().where(_delivery.c.event_id == _event.c.id, _delivery.c.endpoint_id == endpoint_id)
    async with engine.connect() as connection:
        end = (await connection.execute(ends)).scalar_one_or_none()
        query = (
            sa.select(_event.c.id, _event.c.type, _event.c.body)
            .where(*ours, sa.true() if end is None else _event.c.id <= end)
            .where(_event.c.environment_id == environment_id, _event.c.type.in_(types), ~owed)
            .order_by(_event.c.id)
            .limit(limit)
        )
        found = [MissedEvent(*row) for row in await connection.execute(query)]
    return found, found[-1].id if len(found) == limit else end


async def _are_active(
    connection: AsyncConnection, environment_id: int, endpoint_ids: Collection[int]
) -> dict[int, bool]:
    query = sa.select(_endpoint.c.id, _endpoint.c.active).where(
        _endpoint.c.id.in_(endpoint_ids),
        _endpoint.c.environment_id == environment_id,
        _endpoint.c.deleted_at.is_(None),
    )
    found: dict[int, bool] = {row.id: row.active for row in await connection.execute(query)}
    if missing := set(endpoint_ids) - set(found):
        raise ReplayRefused(f"There is no endpoint {min(missing)}.")
    return found


def _replayed(number: int, event_id: int, endpoint_id: int, active: bool, now: datetime) -> dict[str, Any]:
    return {
        "id": number,
        "event_id": event_id,
        "endpoint_id": endpoint_id,
        "origin": "replay",
        "status": PENDING if active else HELD,
        "attempts": 0,
        "due_at": now,
        "error": None if active else NOT_ACTIVE,
    }


def _why_not(row: Any) -> str | None:
    if row.status == SENDING:
        return "The delivery is being sent just now; wait for its outcome."
    if row.status == CANCELLED:
        return "The delivery was cancelled; replay its event instead."
    if not row.active:
        return f"Endpoint {row.endpoint_id} is not active; enable it first."
    return None


async def _make_due(connection: AsyncConnection, status: str, delivery_id: int, now: datetime) -> bool:
    if status != PENDING:
        return bool(await move(connection, status, PENDING, now, _delivery.c.id == delivery_id, 1))
    sooner = sa.update(_delivery).where(_delivery.c.id == delivery_id, _delivery.c.status == PENDING)
    return (await connection.execute(sooner.values(due_at=now))).rowcount > 0


def _between(key: sa.Column[int], since: datetime, until: datetime) -> list[sa.ColumnElement[bool]]:
    return [
        key >= first_id_at(round(since.timestamp() * 1000)),
        key < first_id_at(round(until.timestamp() * 1000)),
    ]
