"""Deliveries in a node's hands: claimed by lease, settled with the record of the attempt, taken back when it dies."""

from collections.abc import Iterable, Sequence
from math import inf
from operator import attrgetter
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from app.store.engine import as_one_value, is_among, skip_locked, storable
from app.store.health import Health, Result, by_endpoint, note_results, read_health, take_probe
from app.store.ids import time_ms
from app.store.order import Line, let_next_go
from app.store.packing import packed
from app.store.prepared import Prepared, insert_into
from app.store.shortening import packed_answer, short_headers
from app.store.tables import (
    FINISHED,
    HELD,
    NOT_ACTIVE,
    PENDING,
    SENDING,
    AttemptRow,
    DeliveryRow,
    EndpointRow,
    EnvironmentRow,
    EventRow,
    check_change,
    table_of,
)

_delivery, _event, _attempt = table_of(DeliveryRow), table_of(EventRow), table_of(AttemptRow)
_endpoint, _environment = table_of(EndpointRow), table_of(EnvironmentRow)

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
_SETTLE = Prepared(
    (
        "new_status",
        "made",
        "new_due_at",
        "new_finished_at",
        "new_status_code",
        "new_error",
        "delivery_id",
        "node",
    ),
    lambda _dialect: (
        sa.update(_delivery)
        .where(
            _delivery.c.id == sa.bindparam("delivery_id"),
            _delivery.c.status == sa.literal_column(f"'{SENDING}'"),
            _delivery.c.lease_node == sa.bindparam("node"),
        )
        .values(
            status=sa.bindparam("new_status"),
            attempts=_delivery.c.attempts + sa.bindparam("made"),
            due_at=sa.bindparam("new_due_at"),
            lease_node=sa.null(),
            lease_until=sa.null(),
            finished_at=sa.bindparam("new_finished_at"),
            status_code=sa.bindparam("new_status_code"),
            error=sa.bindparam("new_error"),
        )
    ),
)
_INSERT_ATTEMPTS = insert_into(
    _attempt,
    (
        "delivery_id",
        "id",
        "number",
        "status_code",
        "error_kind",
        "error",
        "duration_ms",
        "timing",
        "request_headers",
        "request_body",
        "response_headers",
        "response_body",
        "response_truncated",
        "batch",
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


class AttemptRecord(msgspec.Struct, frozen=True):
    """One try as it went; headers are JSON, `request_body` is None where it was the event's body."""

    id: int
    number: int
    status_code: int | None
    error_kind: str | None
    error: str | None
    duration_ms: int
    timing: bytes
    """Written by `shortening.short_times`."""
    request_headers: bytes
    request_body: bytes | None
    response_headers: bytes
    response_body: bytes
    response_truncated: bool
    batch: bytes | None = None
    """JSON, where it was made for several deliveries at once."""


class Outcome(msgspec.Struct, frozen=True):
    """What became of a claimed delivery: its new status, and the attempt if one was made."""

    delivery_id: int
    node: int
    status: str
    due_at: int
    finished_at: int | None = None
    error: str | None = None
    attempt: AttemptRecord | None = None
    counted_for: tuple[int, int] | None = None
    """The environment and the endpoint for which the attempt counts."""
    latency_ms: int | None = None
    """Of a first attempt: from the arrival of its event to its end."""
    result: Result | None = None
    """What the attempt says of its endpoint; None where it says nothing new: one more success of one that is well."""
    line: Line | None = None
    """Where it stands in line: once it is finished, the next one of its recipient goes."""

    @property
    def size(self) -> int:
        """Bytes that it holds in memory, roughly."""
        if self.attempt is None:
            return 0
        return (
            len(self.attempt.response_body) + len(self.attempt.response_headers) + len(self.attempt.request_body or b"")
        )


class Begun(msgspec.Struct, frozen=True):
    """When a delivery was first attempted, and when it was due last; milliseconds since 1970."""

    first_attempt_at: int
    due_at: int


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


async def begun(engine: AsyncEngine, delivery_id: int) -> Begun | None:
    """How a delivery with attempts began; None when none of them is stored."""
    first = sa.select(sa.func.min(_attempt.c.id)).where(_attempt.c.delivery_id == _delivery.c.id).scalar_subquery()
    query = sa.select(first, sa.type_coerce(_delivery.c.due_at, sa.BigInteger)).where(_delivery.c.id == delivery_id)
    async with engine.connect() as connection:
        row = (await connection.execute(query)).one_or_none()
    return None if row is None or row[0] is None else Begun(time_ms(row[0]), row[1])


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


def finished_lines(outcomes: Sequence[Outcome]) -> set[Line]:
    """The lines in which the next one may go after these outcomes."""
    return {outcome.line for outcome in outcomes if outcome.line is not None and outcome.status in FINISHED}


def record_outcomes(connection: sa.Connection, outcomes: Sequence[Outcome]) -> dict[int, Health]:
    """Adds the attempts and settles the deliveries that are still this node's; a lost lease leaves the status alone.

    Gives the health of the endpoints that had something to note; those that must not be sent to any more are disabled.
    """
    check_change(SENDING, {outcome.status for outcome in outcomes})
    outcomes = sorted(outcomes, key=_delivery_id)  # rows that come in order fill their pages
    made = [(outcome.delivery_id, outcome.attempt) for outcome in outcomes if outcome.attempt is not None]
    _INSERT_ATTEMPTS.run(connection, [_attempt_row(*pair) for pair in made])
    _SETTLE.run(connection, [_settlement(outcome) for outcome in outcomes])
    if lines := finished_lines(outcomes):
        let_next_go(connection, lines, max(outcome.finished_at or 0 for outcome in outcomes))
    results = [
        (outcome.counted_for[1], outcome.result)
        for outcome in outcomes
        if outcome.result is not None and outcome.counted_for is not None
    ]
    noted = note_results(connection, by_endpoint(results)) if results else {}
    for endpoint_id, health in noted.items():
        if health.disabled:
            _disable(connection, endpoint_id, health)
    return noted


def _disable(connection: sa.Connection, endpoint_id: int, health: Health) -> None:
    """The environment first, as everybody does who changes an endpoint: two who lock in turn never wait in a circle."""
    active = sa.select(_endpoint.c.environment_id).where(_endpoint.c.id == endpoint_id, _endpoint.c.active)
    connection.execute(
        sa.update(_environment)
        .where(_environment.c.id == active.scalar_subquery())
        .values(config_version=_environment.c.config_version + 1)
    )
    connection.execute(
        sa.update(_endpoint)
        .where(_endpoint.c.id == endpoint_id, _endpoint.c.active)
        .values(active=False, disabled_reason=storable(health.why_disabled), updated_at=health.news_at)
    )


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


_delivery_id = attrgetter("delivery_id")


def _attempt_row(delivery_id: int, attempt: AttemptRecord) -> tuple[Any, ...]:
    return (
        delivery_id,
        attempt.id,
        attempt.number,
        attempt.status_code,
        attempt.error_kind,
        storable(attempt.error),
        attempt.duration_ms,
        attempt.timing,
        short_headers(attempt.request_headers),
        attempt.request_body and packed(attempt.request_body),
        packed_answer(attempt.response_headers),
        packed(attempt.response_body),
        attempt.response_truncated,
        attempt.batch,
    )


def _settlement(outcome: Outcome) -> tuple[Any, ...]:
    attempt = outcome.attempt
    return (
        outcome.status,
        1 if attempt else 0,
        0 if outcome.status in FINISHED else outcome.due_at,  # so that no row outgrows its page
        outcome.finished_at,
        attempt.status_code if attempt else None,
        storable(outcome.error),
        outcome.delivery_id,
        outcome.node,
    )
