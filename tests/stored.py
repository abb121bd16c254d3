"""What is stored, read past the log: whole rows, requests opened."""

from types import SimpleNamespace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlmodel import SQLModel

from app.store.requests import KeptRequest, request_of
from app.store.tables import ReceiptRow, table_of

Columns = KeptRequest
"""A row that has the columns of a request and nothing else."""


async def rows(engine: AsyncEngine, row: type[SQLModel]) -> list[Any]:
    """All rows of the table in the order of their keys."""
    return await _rows(engine, table_of(row))


async def everything(engine: AsyncEngine) -> str:
    """All that is stored, in small letters."""
    found = [await _rows(engine, table) for table in SQLModel.metadata.sorted_tables]
    return "\n".join(map(str, found)).lower()


async def _rows(engine: AsyncEngine, table: sa.Table) -> list[Any]:
    async with engine.connect() as connection:
        found = (await connection.execute(sa.select(table).order_by(*table.primary_key))).all()
    return [_opened(row) if table is table_of(ReceiptRow) else row for row in found]


def _opened(receipt: Any) -> SimpleNamespace:
    return SimpleNamespace(**{**receipt._mapping, **request_of(receipt)._asdict()})
