"""How much the database holds, for those who watch over it; cheap, whatever there is."""

from datetime import UTC, datetime
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from app.store.ids import time_ms
from app.store.space import room_in
from app.store.tables import AttemptRow, DeliveryRow, EventRow, ReceiptRow, table_of

_LOG_TABLES = tuple(table_of(row) for row in (ReceiptRow, EventRow, DeliveryRow, AttemptRow))


class TableSize(NamedTuple):
    """One of the log's tables with its indexes."""

    name: str
    bytes: int


class Sizes(NamedTuple):
    """The whole database; `free_bytes` of it are to be used again, `tables` only PostgreSQL tells."""

    bytes: int
    free_bytes: int
    tables: list[TableSize]
    oldest: datetime | None
    """When the oldest receipt came that is still there."""


async def read_sizes(engine: AsyncEngine) -> Sizes:
    """What the database says of itself."""
    async with engine.connect() as connection:
        return await connection.run_sync(_read)


def _read(connection: sa.Connection) -> Sizes:
    first = connection.execute(sa.select(sa.func.min(table_of(ReceiptRow).c.id))).scalar()
    oldest = None if first is None else datetime.fromtimestamp(time_ms(first) / 1000, UTC)
    room = room_in(connection)
    if room is not None:
        return Sizes(room.pages * room.page_bytes, room.free_bytes, [], oldest)
    whole = connection.execute(sa.select(sa.func.pg_database_size(sa.func.current_database()))).scalar_one()
    sizes = [sa.func.pg_total_relation_size(table.name) for table in _LOG_TABLES]
    measured = connection.execute(sa.select(*sizes)).one()
    tables = [TableSize(table.name, number) for table, number in zip(_LOG_TABLES, measured, strict=True)]
    return Sizes(whole, 0, tables, oldest)
