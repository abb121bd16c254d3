"""Which messages the gateway has seen, asked by their Message-IDs."""

from collections.abc import Collection
from itertools import islice
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from app.store.tables import EventRow, table_of

IDS_ASKED_MAX = 10_000
"""In one query, which names each twice: both databases take about 32,000 parameters."""

_event = table_of(EventRow)


def _known(column: sa.ColumnElement[str]) -> sa.Select[Any]:
    in_environment = _event.c.environment_id == sa.bindparam("environment")
    return sa.select(column).where(in_environment, column.in_(sa.bindparam("ids", expanding=True)))


_SEEN = sa.union(_known(_event.c.message_id), _known(_event.c.email_id))


async def seen_messages(engine: AsyncEngine, environment_id: int, ids: Collection[str]) -> set[str]:
    """Those of `ids` that are the message_id or the email_id of an event in the log."""
    seen = set[str]()
    remaining = iter(ids)
    async with engine.connect() as connection:
        while some := [*islice(remaining, IDS_ASKED_MAX)]:
            found = await connection.execute(_SEEN, {"environment": environment_id, "ids": some})
            seen.update(row[0] for row in found)
    return seen
