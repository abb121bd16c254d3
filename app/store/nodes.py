"""The processes that work on one database."""

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from app.clock import Clock
from app.store.tables import NodeRow, table_of

FIRST_NODE = 1
"""The number that `join` gives first on a database."""

_node = table_of(NodeRow)


async def join(engine: AsyncEngine, clock: Clock) -> int:
    """A number that no other process on this database has."""
    async with engine.begin() as connection:
        added = await connection.execute(sa.insert(_node).values(started_at=clock.now()).returning(_node.c.id))
        return added.scalar_one()
