"""Deliveries in a node's hands: found when they are due, claimed by lease, taken back when it dies."""

from collections.abc import Iterable, Sequence
from math import inf
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from app.store.engine import as_one_value, is_among, skip_locked
from app.store.health import Health, read_health, take_probe
from app.store.prepared import Prepared
from app.store.tables import (
    HELD,
    NOT_ACTIVE,
    PENDING,
    SENDING,
    DeliveryRow,
    EndpointRow,
    EventRow,
    check_change,
    table_of,
)

_delivery, _event, _endpoint = table_of(DeliveryRow), table_of(EventRow), table_of(EndpointRow)

for _start, _end in ((PENDING, SENDING), (PENDING, HELD), (SENDING, PENDING)):
    check_change(_start, [_end])  # what the statements below do to whole ranges of rows

HOLD_ROWS_MAX = 1_000
LAPSED_ROWS_MAX = 1_000


def _earliest(moment: sa.ColumnElement[Any]) -> sa.ColumnElement[int | None]:
    """Milliseconds as they are stored, None where there is no row."""
    return sa.type_coerce(moment, sa.BigInteger)


_EARLIEST_DUE = (
    sa.select(sa.func.min(_delivery.c.due_at))
    .where(_delivery.c.endpoint_id == _endpoint.c.id, _delivery.c.status == PENDING)
    .scalar_subquery()
)
_FIRST_DUE = sa.select(_endpoint.c.id, _earliest(_EARLIEST_DUE)).where(_endpoint.c.deleted_at.is_(None))
_FIRST_LEASE_END = sa.select(_earliest(sa.func.min(_delivery.c.lease_until))).where(_delivery.c.status == SENDING)
_DUE = (
    sa.select(_delivery.c.id, _delivery.c.attempts, _event.c.id, _event.c.type, _event.c.body, _delivery.c.order_key)
    .join(_event, _event.c.id == _delivery.c.event_id)
    .where(
        _delivery.c.endpoint_id == sa.bindparam("endpoint"),
        _delivery.c.status == PENDING,
        _delivery.c.due_at <= sa.bindparam("now"),
    )
    .order_by(_delivery.c.due_at)
    .limit(sa.bindparam("limit"))
)
_DUE_AND_FREE = _DUE.with_for_update(of=_delivery, skip_locked=True)
_CLAIM = Prepared(
    ("node", "until", "ids"),
    lambda dialect: (
        sa.update(_delivery)
        .where(is_among(dialect, _delivery.c.id, "ids"), _delivery.c.status == sa.literal_column(f"'{PENDING}'"))
        .values(
            status=sa.literal_column(f"'{SENDING}'"),
            lease_node=sa.bindparam("node"),
            lease_until=sa.bindparam("until"),
        )
    ),
)


class Claim(msgspec.Struct, frozen=True):
    """A wish for up to `limit` deliveries of one endpoint, due by `now`; times are milliseconds since 1970."""

    endpoint_id: int
    limit: int
    node: int
    now: int
    lease_until: int
    probe: bool = False
    """One delivery of a failing endpoint, if no other node has taken its place."""
    bytes_max: float = inf
    """What their events may have together, but for the first one."""


class Claimed(msgspec.Struct, frozen=True):
    """A delivery in this node's hands until its lease ends."""

    delivery_id: int
    attempts: int
    event_id: int
    event_type: str
    body: bytes
    order_key: int | None = None


class Work(msgspec.Struct, frozen=True):
    """What there is to do, and which endpoints are not well; times are milliseconds since 1970."""

    first_due: dict[int, int]
    """Of every endpoint with pending deliveries, when the first of them is due."""
    first_lease_end: int | None
    """When the first lease of any node ends."""
    health: dict[int, Health]


async def find_work(engine: AsyncEngine) -> Work:
    """One look at the indexes; its cost grows with the endpoints, not with the backlog."""
    async with engine.connect() as connection:
        rows = await connection.execute(_FIRST_DUE)
        first_due = {endpoint_id: due_at for endpoint_id, due_at in rows if due_at is not None}
        first_lease_end = (await connection.execute(_FIRST_LEASE_END)).scalar()
        return Work(first_due, first_lease_end, await connection.run_sync(read_health))


def claim_due(connection: sa.Connection, claim: Claim) -> list[Claimed]:
    """Takes them in the order they are due; each is this node's alone until the lease ends."""
    due = _DUE if connection.dialect.name == "sqlite" else _DUE_AND_FREE
    found = connection.execute(due, {"endpoint": claim.endpoint_id, "now": claim.now, "limit": claim.limit})
    claimed = _as_fit(found, claim.bytes_max)
    found.close()
    if not claimed or (claim.probe and not take_probe(connection, claim.endpoint_id, claim.now, claim.lease_until)):
        return []
    ids = as_one_value(connection.dialect, [each.delivery_id for each in claimed])
    _CLAIM.run(connection, [(claim.node, claim.lease_until, ids)])
    return claimed


def _as_fit(found: Iterable[Sequence[Any]], bytes_max: float) -> list[Claimed]:
    """The first of the deliveries, and those behind it as far as their events fit; SQLite does not read the rest."""
    claimed = list[Claimed]()
    size = 0
    for row in found:
        one = Claimed(*row)
        size += len(one.body)
        if claimed and size > bytes_max:
            break
        claimed.append(one)
    return claimed


def hold_pending(connection: sa.Connection, endpoint_id: int) -> int:
    """Holds pending deliveries of an endpoint that is not active, a thousand at a time; how many it held."""
    some = (
        sa.select(_delivery.c.id)
        .where(_delivery.c.endpoint_id == endpoint_id, _delivery.c.status == PENDING)
        .limit(HOLD_ROWS_MAX)
    )
    held = connection.execute(
        sa.update(_delivery).where(_delivery.c.id.in_(some)).values(status=HELD, error=NOT_ACTIVE)
    )
    return held.rowcount


def return_lapsed(connection: sa.Connection, now: int) -> int:
    """Makes deliveries pending again whose lease ended before `now`; how many there were."""
    lapsed = (
        sa.select(_delivery.c.id)
        .where(_delivery.c.status == SENDING, _delivery.c.lease_until < sa.bindparam("now"))
        .limit(LAPSED_ROWS_MAX)
    )
    ids = (connection.execute(skip_locked(connection.dialect, lapsed), {"now": now})).scalars().all()
    return _return(connection, _delivery.c.id.in_(ids)) if ids else 0


def return_all_of(connection: sa.Connection, node: int | None) -> int:
    """Makes pending again what `node` had claimed; None: what any had, for a caller who is the only one alive."""
    return _return(connection, sa.true() if node is None else _delivery.c.lease_node == node)


def _return(connection: sa.Connection, which: sa.ColumnElement[bool]) -> int:
    returned = connection.execute(
        sa.update(_delivery)
        .where(_delivery.c.status == SENDING, which)
        .values(status=PENDING, lease_node=None, lease_until=None)
    )
    return returned.rowcount
