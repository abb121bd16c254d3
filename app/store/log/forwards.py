"""The log read forwards, for those who work their way through it: oldest first, a stretch at a time.

Like a page of the log, a stretch ends after ROWS_WALKED_MAX rows even if few of them fit.
"""

from collections.abc import Collection, Sequence

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from app.store.log.events import EventFilter, event_conditions
from app.store.log.lines import delivery, event, looked_up
from app.store.moves import has_status
from app.store.tables import FAILED, EndpointRow, table_of
from app.store.views import FollowedEvent
from app.store.walks import Condition, window_end

_endpoint = table_of(EndpointRow)


class Reach(msgspec.Struct, frozen=True):
    """Numbers after one and before another, and how many rows of them at once."""

    after: int
    before: int
    limit: int


class FailedFilter(msgspec.Struct, frozen=True):
    """Which failed deliveries; `status_code` is of the last attempt, `type` the event's."""

    status_code: int | None = None
    type: str | None = None


class Missing(msgspec.Struct, frozen=True):
    """Events of these types that the endpoint has no delivery of."""

    endpoint_id: int
    types: Collection[str]


async def events_forwards(
    engine: AsyncEngine, environment_id: int, wanted: EventFilter, reach: Reach, missing: Missing | None = None
) -> tuple[Sequence[FollowedEvent], int | None]:
    """Events, and the number to go on after; None at the end."""
    known, checked = event_conditions(wanted)
    along = [*known, event.c.id > reach.after, event.c.id < reach.before]
    checked += [] if missing is None else _missing(missing)
    query = sa.select(event.c.id, event.c.type, event.c.body).where(event.c.environment_id == environment_id, *checked)
    async with engine.connect() as connection:
        rows, end = await _stretch(connection, query, event.c.id, along, reach.limit)
    return [FollowedEvent(*row) for row in rows], end


async def failed_forwards(
    engine: AsyncEngine, environment_id: int, endpoint_id: int | None, wanted: FailedFilter, reach: Reach
) -> tuple[Sequence[int], int | None]:
    """Failed deliveries to the endpoint, None: to all that are active; and the number to go on after, None at the end.

    The endpoint must be one of the environment.
    """
    along = [has_status(FAILED), delivery.c.id > reach.after, delivery.c.id < reach.before]
    query = sa.select(delivery.c.id).where(*_of_endpoints(environment_id, endpoint_id))
    if wanted.status_code is not None:
        query = query.where(delivery.c.status_code == wanted.status_code)
    if wanted.type is not None:
        query = query.where(looked_up(event.c.type, delivery.c.event_id) == wanted.type)
    async with engine.connect() as connection:
        rows, end = await _stretch(connection, query, delivery.c.id, along, reach.limit)
    return [row.id for row in rows], end


async def _stretch(
    connection: AsyncConnection,
    query: sa.Select[*tuple[object, ...]],
    key: sa.Column[int],
    along: Sequence[Condition],
    limit: int,
) -> tuple[Sequence[sa.Row[*tuple[object, ...]]], int | None]:
    end = await window_end(connection, key, along)
    within = along if end is None else [*along, key <= end]
    rows = (await connection.execute(query.where(*within).order_by(key).limit(limit))).all()
    return rows, rows[-1].id if len(rows) == limit else end


def _missing(missing: Missing) -> list[Condition]:
    """In words that keep the planner on the numbers: by type it would have to sort."""
    owed = sa.exists().where(delivery.c.event_id == event.c.id, delivery.c.endpoint_id + 0 == missing.endpoint_id)
    return [event.c.type.concat("").in_(missing.types), ~owed]


def _of_endpoints(environment_id: int, endpoint_id: int | None) -> list[Condition]:
    """In words that lead SQLite, which knows no statistics, along what failed and past all that an endpoint had."""
    if endpoint_id is not None:
        return [delivery.c.endpoint_id + 0 == endpoint_id]
    active = sa.select(_endpoint.c.id).where(
        _endpoint.c.environment_id == environment_id, _endpoint.c.active, _endpoint.c.deleted_at.is_(None)
    )
    return [(delivery.c.endpoint_id + 0).in_(active)]
