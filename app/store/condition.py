"""In what condition a database is."""

from collections.abc import Mapping
from datetime import datetime

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from app.store.engine import is_sqlite
from app.store.health import Health, read_health
from app.store.ids import time_ms
from app.store.readiness import leave_no_trace
from app.store.roster import Roster, read_roster
from app.store.tables import EventRow, ReceiptRow, SourceRow, table_of
from app.store.transactions import writing

_receipt, _event, _source = table_of(ReceiptRow), table_of(EventRow), table_of(SourceRow)


class Condition(msgspec.Struct, frozen=True):
    """What the database says of itself."""

    journal: str | None
    """How SQLite keeps its log; None for PostgreSQL."""
    now: datetime | None
    """By the clock of PostgreSQL's machine; None for SQLite, which has none of its own."""
    newest_ms: int | None
    """When the newest receipt or event was made, milliseconds since 1970; None when there is none."""


async def read_condition(engine: AsyncEngine) -> Condition:
    """Looks at it, and commits something that leaves no trace."""
    async with engine.connect() as connection:
        newest = [await connection.scalar(sa.select(sa.func.max(table.c.id))) for table in (_receipt, _event)]
        sqlite = is_sqlite(engine)
        condition = Condition(
            journal=(await connection.exec_driver_sql("PRAGMA journal_mode")).scalar_one() if sqlite else None,
            now=None if sqlite else await connection.scalar(sa.select(sa.func.clock_timestamp())),
            newest_ms=max((time_ms(number) for number in newest if number is not None), default=None),
        )
    async with writing(engine) as connection:
        await connection.run_sync(leave_no_trace)
    return condition


async def last_heard(engine: AsyncEngine) -> Mapping[int, int]:
    """Of every source that something came from, when that last was, milliseconds since 1970."""
    newest = sa.select(sa.func.max(_receipt.c.id)).where(_receipt.c.source_id == _source.c.id).scalar_subquery()
    async with engine.connect() as connection:
        rows = await connection.execute(sa.select(_source.c.id, newest))
        return {source_id: time_ms(number) for source_id, number in rows if number is not None}


async def registered(engine: AsyncEngine) -> tuple[Roster, Mapping[int, Health]]:
    """All sources and endpoints, and the health of the endpoints that are not well."""
    async with engine.connect() as connection:
        return await connection.run_sync(read_roster), await connection.run_sync(read_health)
