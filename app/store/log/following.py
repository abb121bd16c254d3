"""The log of events read forwards: by those who follow it, and by those who catch up with it.

Numbers become visible out of order: they are given before the commit, and every node gives its own. So whoever follows
also looks back a little, with `count_between` and `ids_between`.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from app.store.log.events import EventFilter, event_conditions
from app.store.log.lines import event, source
from app.store.views import LiveEvent
from app.store.walks import window_end

_FOLLOWED = sa.select(
    event.c.id,
    event.c.environment_id,
    event.c.type,
    event.c.recipient,
    event.c.email_id,
    source.c.name,
    source.c.provider,
    event.c.body,
).outerjoin(source, source.c.id == event.c.source_id)


async def newest_event(engine: AsyncEngine) -> int:
    """The largest number of an event, over all environments; 0 when there is none."""
    async with engine.connect() as connection:
        return await connection.scalar(sa.select(sa.func.max(event.c.id))) or 0


async def events_after(engine: AsyncEngine, after: int, limit: int) -> Sequence[LiveEvent]:
    """The first events whose numbers are larger than `after`, of all environments, oldest first."""
    return await _read(engine, _FOLLOWED.where(event.c.id > after).order_by(event.c.id).limit(limit))


async def events_numbered(engine: AsyncEngine, numbers: Sequence[int]) -> Sequence[LiveEvent]:
    """The events of those numbers that are there, of all environments, oldest first."""
    return await _read(engine, _FOLLOWED.where(event.c.id.in_(numbers)).order_by(event.c.id))


async def count_between(engine: AsyncEngine, after: int, upto: int) -> int:
    """How many events have a number between `after`, exclusive, and `upto`, inclusive."""
    query = sa.select(sa.func.count()).where(event.c.id > after, event.c.id <= upto)
    async with engine.connect() as connection:
        return (await connection.execute(query)).scalar_one()


async def ids_between(engine: AsyncEngine, after: int, upto: int) -> Sequence[int]:
    """The numbers themselves, in order."""
    query = sa.select(event.c.id).where(event.c.id > after, event.c.id <= upto).order_by(event.c.id)
    async with engine.connect() as connection:
        return (await connection.scalars(query)).all()


async def events_onwards(
    engine: AsyncEngine, environment_id: int, wanted: EventFilter, after: int, limit: int
) -> tuple[Sequence[LiveEvent], int | None]:
    """At most `limit` events after the number `after`, oldest first, and from where to go on; None at the log's end.

    As pages backwards do, one forwards ends after ROWS_WALKED_MAX rows, so that it may be short and not the last.
    """
    along, checked = event_conditions(wanted)
    along = [*along, event.c.id > after]
    async with engine.connect() as connection:
        upto = await window_end(connection, event.c.id, along)
    within = [
        *along,
        *checked,
        event.c.environment_id == environment_id,
        *([] if upto is None else [event.c.id <= upto]),
    ]
    events = await _read(engine, _FOLLOWED.where(*within).order_by(event.c.id).limit(limit))
    return events, events[-1].id if len(events) == limit else upto


async def _read(engine: AsyncEngine, query: sa.Select[*tuple[object, ...]]) -> Sequence[LiveEvent]:
    async with engine.connect() as connection:
        return [LiveEvent(*row) for row in await connection.execute(query)]
