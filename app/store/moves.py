"""How deliveries change their status outside the sender: only as DELIVERY_LIFE allows, and many at once."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from app.store.engine import skip_locked
from app.store.order import behind_others, let_next_go_in_reach
from app.store.tables import (
    CANCELLED,
    FAILED,
    FINISHED,
    HELD,
    LEADING,
    NOT_ACTIVE,
    PENDING,
    QUEUED,
    DeliveryRow,
    check_change,
    table_of,
)

_delivery = table_of(DeliveryRow)

MOVED_MAX = 2_000
"""How many deliveries change in one transaction, so that nobody else waits long for the database."""
RARE_STATUSES = (FAILED, HELD, CANCELLED)
"""Those that the index ix_delivery_odd lists."""


async def move(
    connection: AsyncConnection,
    start: str,
    target: str,
    now: datetime,
    which: sa.ColumnElement[bool],
    limit: int,
    *,
    why: str | None = None,
) -> Sequence[int]:
    """`move_now`, for those whose connection is asynchronous."""
    return await connection.run_sync(move_now, start, target, now, which, limit, why=why)


def move_now(
    connection: sa.Connection,
    start: str,
    target: str,
    now: datetime,
    which: sa.ColumnElement[bool],
    limit: int,
    *,
    why: str | None = None,
) -> Sequence[int]:
    """Moves up to `limit` deliveries from `start` to `target`; the ids of those it moved.

    What becomes pending is due at `now` and keeps its count of attempts; what is cancelled is finished; what is held
    says that its endpoint is not active. `why` is what the deliveries say instead. One that is sent again while others
    of its recipient stand in line is queued; where one is finished, the next in line goes. Raises ChangeForbidden where
    the state table has no such change.
    """
    check_change(start, {target})
    columns = (_delivery.c.id, _delivery.c.endpoint_id, _delivery.c.order_key)
    found = sa.select(*columns).where(has_status(start), which).limit(limit)
    rows = connection.execute(skip_locked(connection.dialect, found)).all()
    lines = {number: (endpoint_id, key) for number, endpoint_id, key in rows if key is not None}
    behind = behind_others(connection, lines) if start in FINISHED and target == PENDING else set[int]()
    ahead = [row.id for row in rows if row.id not in behind]
    moved = [
        *_change(connection, start, target, now, ahead, why),
        *_change(connection, start, QUEUED, now, behind, why),
    ]
    if start in LEADING and target in FINISHED:
        let_next_go_in_reach(connection, set(lines.values()), now)
    return moved


def _change(
    connection: sa.Connection, start: str, target: str, now: datetime, ids: Collection[int], why: str | None
) -> Sequence[int]:
    if not ids:
        return ()
    also = _also(start, target, now) | ({} if why is None else {"error": why})
    moved = (
        sa.update(_delivery)
        .where(_delivery.c.id.in_(ids), _delivery.c.status == start)
        .values(status=target, lease_node=None, lease_until=None, **also)
        .returning(_delivery.c.id)
    )
    return connection.scalars(moved).all()


def has_status(status: str) -> sa.ColumnElement[bool]:
    """`status = …` in the words of the partial indexes, so that the planner sees that it may use them."""
    equal = _delivery.c.status == sa.literal(status, literal_execute=True)
    if status not in RARE_STATUSES:
        return equal
    return sa.and_(
        equal, _delivery.c.status.in_(sa.bindparam(None, RARE_STATUSES, expanding=True, literal_execute=True))
    )


def _also(start: str, target: str, now: datetime) -> dict[str, Any]:
    """What changes with the status; `error` stays that of the last attempt unless it says why a delivery is held."""
    if start == QUEUED and target == PENDING:
        return {"due_at": now, "order_key": None}  # its endpoint asks for no order any more
    if target in (PENDING, QUEUED):
        return {"due_at": now, "finished_at": None} | ({"error": None} if start == HELD else {})
    return {"finished_at": now} if target == CANCELLED else {"error": NOT_ACTIVE}
