"""Sending again, by hand: replays of events, retries of deliveries, and the deliveries that bulk jobs make.

Whoever calls these rings the sender's bell after the commit.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from app.store.engine import lock_rows
from app.store.errors import NotResendable, ReplayRefused
from app.store.health import probe_soon
from app.store.ids import IdSource
from app.store.moves import move
from app.store.order import Line, behind_others, line_of
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
    EventRow,
    table_of,
)

_delivery, _event, _endpoint = table_of(DeliveryRow), table_of(EventRow), table_of(EndpointRow)


class Addressee(NamedTuple):
    """What a new delivery has to know of its endpoint."""

    active: bool
    ordered: bool


class Owed(msgspec.Struct, frozen=True):
    """A new delivery, by its own number, of an event to an endpoint."""

    id: int
    event_id: int
    endpoint_id: int


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
    known = await connection.run_sync(_addressees, environment_id, endpoint_ids)
    if missing := set(endpoint_ids) - set(known):
        raise ReplayRefused(f"There is no endpoint {min(missing)}.")
    owed = [Owed(ids.next(), event_id, endpoint_id) for endpoint_id in endpoint_ids]
    await connection.run_sync(owe, environment_id, owed, now)
    await connection.run_sync(probe_soon, endpoint_ids, now)
    return [delivery.id for delivery in owed]


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
    await connection.run_sync(probe_soon, [row.endpoint_id], now)
    return True


def owe(connection: sa.Connection, environment_id: int, owed: Sequence[Owed], now: datetime) -> int:
    """Adds the deliveries, due now or queued behind others of their recipient; how many.

    What goes to an endpoint that is not active is held. What would go to one that was deleted, or is of an event that
    was removed for its age, is left out.
    """
    addressees = _addressees(connection, environment_id, {delivery.endpoint_id for delivery in owed})
    recipients = _held_events(connection, {delivery.event_id for delivery in owed})
    kept = [delivery for delivery in owed if delivery.endpoint_id in addressees and delivery.event_id in recipients]
    lines = {
        delivery.id: line
        for delivery in kept
        if addressees[delivery.endpoint_id].ordered
        and (line := line_of(delivery.endpoint_id, recipients[delivery.event_id]))
    }
    behind = behind_others(connection, lines)
    if kept:
        rows = [
            _replayed(one, addressees[one.endpoint_id].active, now, lines.get(one.id), queued=one.id in behind)
            for one in kept
        ]
        connection.execute(sa.insert(_delivery), rows)
    return len(kept)


def owe_missing(connection: sa.Connection, environment_id: int, owed: Sequence[Owed], now: datetime) -> int:
    """The same, for those of the deliveries that are not there by now; how many. All are to one endpoint.

    Its row is locked first, so that two who look for what is missing take turns.
    """
    if not owed:
        return 0
    endpoint_id = owed[0].endpoint_id
    connection.execute(lock_rows(connection.dialect, _endpoint_row(endpoint_id), shared=False))
    there = sa.select(_delivery.c.event_id).where(
        _delivery.c.event_id.in_([delivery.event_id for delivery in owed]), _delivery.c.endpoint_id + 0 == endpoint_id
    )
    known = set(connection.scalars(there))
    missing = [delivery for delivery in owed if delivery.event_id not in known]
    return owe(connection, environment_id, missing, now)


def _endpoint_row(endpoint_id: int) -> sa.Select[int]:
    return sa.select(_endpoint.c.id).where(_endpoint.c.id == endpoint_id)


def _addressees(connection: sa.Connection, environment_id: int, endpoint_ids: Collection[int]) -> dict[int, Addressee]:
    """Those of the endpoints that are there."""
    query = sa.select(_endpoint.c.id, _endpoint.c.active, _endpoint.c.ordering).where(
        _endpoint.c.id.in_(endpoint_ids),
        _endpoint.c.environment_id == environment_id,
        _endpoint.c.deleted_at.is_(None),
    )
    return {row.id: Addressee(row.active, row.ordering == RECIPIENT) for row in connection.execute(query)}


def _held_events(connection: sa.Connection, event_ids: Collection[int]) -> dict[int, str | None]:
    """The recipients of those of the events that are there; they stay until the transaction ends."""
    query = sa.select(_event.c.id, _event.c.recipient).where(_event.c.id.in_(event_ids)).order_by(_event.c.id)
    rows = connection.execute(lock_rows(connection.dialect, query, shared=True))
    return {row.id: row.recipient for row in rows}


def _replayed(delivery: Owed, active: bool, now: datetime, line: Line | None, *, queued: bool) -> dict[str, Any]:
    return {
        "id": delivery.id,
        "event_id": delivery.event_id,
        "endpoint_id": delivery.endpoint_id,
        "origin": "replay",
        "status": QUEUED if queued else PENDING if active else HELD,
        "attempts": 0,
        "due_at": now,
        "error": None if active or queued else NOT_ACTIVE,
        "order_key": line and line[1],
    }


def _why_not(row: Any) -> str | None:
    if row.status == SENDING:
        return "The delivery is being sent just now; wait for its outcome."
    if row.status == QUEUED:
        return "The delivery waits for an earlier one of its recipient; see to that one."
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
