"""Transactions that write."""

from contextlib import AbstractAsyncContextManager

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from app.store.engine import WRITES, is_sqlite

_START_LOCK = 0x6D61696C77656972
"""The PostgreSQL advisory lock of those who prepare the database ("mailweir" in ASCII)."""


def writing(engine: AsyncEngine) -> AbstractAsyncContextManager[AsyncConnection]:
    """A connection whose transaction will write; commits at the end, rolls back on an exception."""
    return engine.execution_options(**{WRITES: True}).begin()


async def alone(engine: AsyncEngine, connection: AsyncConnection) -> None:
    """Waits until no other node prepares the database, and keeps them waiting until this transaction ends.

    SQLite needs no word: `writing` has taken its one write lock already.
    """
    if not is_sqlite(engine):
        await connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_START_LOCK)))
