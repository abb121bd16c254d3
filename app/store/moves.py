"""How deliveries change their status outside the sender: only as DELIVERY_LIFE allows, and many at once."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from app.store.engine import skip_locked
from app.store.tables import CANCELLED, FAILED, HELD, NOT_ACTIVE, PENDING, DeliveryRow, check_change, table_of

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
    says that its endpoint is not active. `why` is what the deliveries say instead. Raises ChangeForbidden where the
    state table has no such change.
    """
    check_change(start, {target})
    found = sa.select(_delivery.c.id).where(has_status(start), which).limit(limit)
    ids = connection.scalars(skip_locked(connection.dialect, found)).all()
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
    if target == PENDING:
        return {"due_at": now, "finished_at": None} | ({"error": None} if start == HELD else {})
    return {"finished_at": now} if target == CANCELLED else {"error": NOT_ACTIVE}
