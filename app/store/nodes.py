"""The processes that work on one database."""

import fcntl
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from app.clock import Clock
from app.store.tables import NodeRow, table_of

FIRST_NODE = 1
"""The number that `join` gives first on a database."""

_node = table_of(NodeRow)


class DatabaseInUse(Exception):
    """Another process serves from this SQLite file."""


@contextmanager
def sole_user(database: Path) -> Generator[None]:
    """Holds the file's lock, which the system lets go of when the process dies. Raises DatabaseInUse."""
    with database.with_name(database.name + ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DatabaseInUse(
                f"another Mailweir serves from {database}; stop it, or set MAILWEIR_DATABASE_URL"
            ) from error
        yield


async def join(engine: AsyncEngine, clock: Clock) -> int:
    """A number that no other process on this database has."""
    async with engine.begin() as connection:
        added = await connection.execute(sa.insert(_node).values(started_at=clock.now()).returning(_node.c.id))
        return added.scalar_one()
