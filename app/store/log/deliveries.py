"""The log of deliveries and their attempts."""

from collections.abc import Sequence
from math import inf
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from adapters.events import iso_millis
from app.retry import DEFAULT_SCHEDULE_S, planned_times_ms
from app.store.ids import DELIVERY, EVENT, parse_id, public_id, time_ms
from app.store.log.lines import DELIVERY_LINES, LISTED_MAX, delivery, delivery_line, event, looked_up
from app.store.moves import RARE_STATUSES, has_status
from app.store.tables import PENDING, AttemptRow, EndpointRow, table_of
from app.store.views import (
    AttemptView,
    DeliveryDetail,
    DeliveryLine,
    DeliveryState,
    EventLine,
    Page,
    ReceivedResponse,
    SentRequest,
    as_text,
)
from app.store.walks import Condition, Span, Walk, read_page

STATES_MAX = 1_000

_attempt, _endpoint = table_of(AttemptRow), table_of(EndpointRow)
_environment_id = looked_up(event.c.environment_id, delivery.c.event_id)


DELIVERIES_LOOKED_AT_MAX = 100


class Tried(msgspec.Struct, frozen=True):
    """An attempt in the history of an endpoint."""

    delivery_id: str
    number: int
    started_at: str
    duration_ms: int
    status_code: int | None
    error: str | None
    error_kind: str | None


class DeliveryFilter(msgspec.Struct, frozen=True):
    """Which deliveries; `status_code` is of the last attempt, `type` the event's."""

    status: str | None = None
    status_code: int | None = None
    endpoint_id: int | None = None
    type: str | None = None


async def list_deliveries(
    engine: AsyncEngine, environment_id: int, wanted: DeliveryFilter, span: Span, limit: int
) -> Page[DeliveryLine]:
    """A page of deliveries, newest first."""
    walk = Walk(DELIVERY_LINES, delivery.c.id, *_conditions(wanted), _environment_id == environment_id)
    async with engine.connect() as connection:
        rows, cursor = await read_page(connection, walk, span, limit)
    return Page([delivery_line(row) for row in rows], cursor)


async def get_delivery(engine: AsyncEngine, environment_id: int, delivery_id: int) -> DeliveryDetail | None:
    """A delivery with its attempts; None when the environment has none of that number."""
    query = (
        DELIVERY_LINES.add_columns(
            event.c.body, _endpoint.c.url, _endpoint.c.retry_schedule_s, _endpoint.c.retry_max_age_s
        )
        .outerjoin(_endpoint, _endpoint.c.id == delivery.c.endpoint_id)
        .where(delivery.c.id == delivery_id, event.c.environment_id == environment_id)
    )
    async with engine.connect() as connection:
        row = (await connection.execute(query)).one_or_none()
        if row is None:
            return None
        attempts = await _attempts(connection, delivery_id)
    line = delivery_line(row)
    return DeliveryDetail(
        delivery=line,
        next_attempt_at=line.next_attempt_at,
        remaining_schedule=_remaining(row, attempts) if row.status == PENDING else [],
        attempts=[_shown(attempt, row.url or "", row.body) for attempt in attempts],
    )


async def list_states(engine: AsyncEngine, events: Sequence[EventLine]) -> dict[str, list[DeliveryState]]:
    """Where the deliveries of some listed events stand, the newest first, by the event's public id."""
    numbers = [number for event in events if (number := parse_id(EVENT, event.id)) is not None]
    async with engine.connect() as connection:
        found = await states_by_event(connection, numbers)
    return {public_id(EVENT, number): states for number, states in found.items()}


async def states_by_event(connection: AsyncConnection, event_ids: Sequence[int]) -> dict[int, list[DeliveryState]]:
    """The same by number; of all together no more than STATES_MAX."""
    query = sa.select(delivery).where(delivery.c.event_id.in_(event_ids)).order_by(delivery.c.id.desc())
    found: dict[int, list[DeliveryState]] = {}
    for row in await connection.execute(query.limit(STATES_MAX)):
        state = DeliveryState(
            public_id(DELIVERY, row.id), row.endpoint_id, row.status, row.attempts, row.status_code, row.error
        )
        found.setdefault(row.event_id, []).append(state)
    return found


async def recent_attempts(engine: AsyncEngine, endpoint_id: int, limit: int) -> Sequence[Tried]:
    """The last attempts to an endpoint, the oldest of them first.

    Those of its newest deliveries, and of the ones that wait for another attempt: behind a backlog these are older.
    """
    newest = _ids_of(endpoint_id).order_by(delivery.c.id.desc())
    again = _ids_of(endpoint_id).where(has_status(PENDING)).order_by(delivery.c.due_at.desc())
    async with engine.connect() as connection:
        ids = {*await connection.scalars(newest), *await connection.scalars(again)}
        query = sa.select(
            _attempt.c.delivery_id,
            _attempt.c.id,
            _attempt.c.number,
            _attempt.c.duration_ms,
            _attempt.c.status_code,
            _attempt.c.error,
            _attempt.c.error_kind,
        ).where(_attempt.c.delivery_id.in_(ids))
        rows = (await connection.execute(query.order_by(_attempt.c.id.desc()).limit(limit))).all()
    return [_tried(row) for row in reversed(rows)]


def _ids_of(endpoint_id: int) -> sa.Select[int]:
    return sa.select(delivery.c.id).where(delivery.c.endpoint_id == endpoint_id).limit(DELIVERIES_LOOKED_AT_MAX)


def _tried(row: Any) -> Tried:
    return Tried(
        delivery_id=public_id(DELIVERY, row.delivery_id),
        number=row.number,
        started_at=iso_millis(time_ms(row.id)),
        duration_ms=row.duration_ms,
        status_code=row.status_code,
        error=row.error,
        error_kind=row.error_kind,
    )


def _conditions(wanted: DeliveryFilter) -> tuple[list[Condition], list[Condition]]:
    """What the index of the walk knows, and what has to be checked."""
    known, checked = list[Condition](), list[Condition]()
    if wanted.status is not None:
        (known if wanted.status in RARE_STATUSES else checked).append(has_status(wanted.status))
    if wanted.endpoint_id is not None:
        (checked if known else known).append(delivery.c.endpoint_id == wanted.endpoint_id)
    if wanted.status_code is not None:
        checked.append(delivery.c.status_code == wanted.status_code)
    if wanted.type is not None:
        checked.append(looked_up(event.c.type, delivery.c.event_id) == wanted.type)
    return known, checked


async def _attempts(connection: AsyncConnection, delivery_id: int) -> list[sa.Row[Any]]:
    """The newest LISTED_MAX, the oldest of them first."""
    query = sa.select(_attempt).where(_attempt.c.delivery_id == delivery_id).order_by(_attempt.c.id.desc())
    rows = (await connection.execute(query.limit(LISTED_MAX))).all()
    return list(reversed(rows))


def _remaining(row: sa.Row[Any], attempts: Sequence[sa.Row[Any]]) -> list[str]:
    """The planned times of a pending delivery; the next attempt is made in any case."""
    next_ms = round(row.due_at.timestamp() * 1000)
    schedule_s = DEFAULT_SCHEDULE_S if row.retry_schedule_s is None else row.retry_schedule_s
    begun_ms = time_ms(attempts[0].id) if attempts else next_ms
    last_ms = inf if row.retry_max_age_s is None else max(next_ms, begun_ms + row.retry_max_age_s * 1000)
    return [iso_millis(planned) for planned in planned_times_ms(next_ms, row.attempts, schedule_s, last_ms=last_ms)]


def _shown(attempt: sa.Row[Any], url: str, event_body: bytes) -> AttemptView:
    request_body = event_body if attempt.request_body is None else attempt.request_body
    return AttemptView(
        number=attempt.number,
        started_at=iso_millis(time_ms(attempt.id)),
        duration_ms=attempt.duration_ms,
        status_code=attempt.status_code,
        error=attempt.error,
        error_kind=attempt.error_kind,
        timing=msgspec.Raw(attempt.timing),
        request=SentRequest(url=url, headers=msgspec.Raw(attempt.request_headers), body=as_text(request_body)),
        response=ReceivedResponse(
            headers=msgspec.Raw(attempt.response_headers),
            body=as_text(attempt.response_body),
            truncated=attempt.response_truncated,
        ),
        batch=None if attempt.batch is None else msgspec.Raw(attempt.batch),
    )
