"""Duties that one node has for all of them, for a while."""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from app.store.engine import insert_new
from app.store.tables import DutyRow, table_of
from app.store.transactions import writing

_duty = table_of(DutyRow)


async def take_duty(engine: AsyncEngine, name: str, node: int, now: datetime, until: datetime) -> bool:
    """True when the duty is the node's until then: it was so before, or nobody had it any more."""
    mine = {"node": node, "until": until}
    free = sa.or_(_duty.c.node == node, _duty.c.until <= now)
    async with writing(engine) as connection:
        taken = await connection.execute(sa.update(_duty).where(_duty.c.name == name, free).values(mine))
        if taken.rowcount == 1:
            return True
        first = insert_new(connection.dialect, _duty, ["name"]).values(name=name, **mine)
        return (await connection.execute(first)).rowcount == 1
