"""What became of deliveries: the record of each attempt, and the status that follows from it."""

from collections.abc import Sequence
from operator import attrgetter
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from app.store.engine import storable
from app.store.health import Health, Result, by_endpoint, note_results
from app.store.ids import time_ms
from app.store.order import Line, let_next_go
from app.store.packing import packed
from app.store.prepared import Prepared, insert_into
from app.store.shortening import packed_answer, short_headers
from app.store.tables import (
    FINISHED,
    SENDING,
    AttemptRow,
    DeliveryRow,
    EndpointRow,
    EnvironmentRow,
    check_change,
    table_of,
)

_delivery, _attempt = table_of(DeliveryRow), table_of(AttemptRow)
_endpoint, _environment = table_of(EndpointRow), table_of(EnvironmentRow)

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


async def begun(engine: AsyncEngine, delivery_id: int) -> Begun | None:
    """How a delivery with attempts began; None when none of them is stored."""
    first = sa.select(sa.func.min(_attempt.c.id)).where(_attempt.c.delivery_id == _delivery.c.id).scalar_subquery()
    query = sa.select(first, sa.type_coerce(_delivery.c.due_at, sa.BigInteger)).where(_delivery.c.id == delivery_id)
    async with engine.connect() as connection:
        row = (await connection.execute(query)).one_or_none()
    return None if row is None or row[0] is None else Begun(time_ms(row[0]), row[1])


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
