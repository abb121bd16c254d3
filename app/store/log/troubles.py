"""What went wrong lately and is still so, by whom it concerns; counted up to a limit, so that asking costs little."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from app.store.log.lines import delivery, receipt, source
from app.store.moves import has_status
from app.store.tables import ACCEPTED, FAILED, EndpointRow, table_of
from app.store.walks import first_number

COUNTED_MAX = 1_000
"""The newest that many are looked at; where there are more, the numbers are too small."""

_endpoint = table_of(EndpointRow)


async def failed_deliveries(engine: AsyncEngine, environment_id: int, since: datetime) -> Mapping[int, int]:
    """How many deliveries made since then were given up and not sent again, by endpoint."""
    failed = sa.select(delivery.c.endpoint_id).where(has_status(FAILED), delivery.c.id >= first_number(since))
    return await _by_owner(engine, environment_id, _endpoint, failed.order_by(delivery.c.id.desc()))


async def odd_receipts(engine: AsyncEngine, environment_id: int, status: str, since: datetime) -> Mapping[int, int]:
    """How many requests since then are quarantined, or rejected, by the number of the source."""
    odd = receipt.c.status != sa.literal(ACCEPTED, literal_execute=True)
    of_status = receipt.c.status == sa.literal(status, literal_execute=True)
    found = sa.select(receipt.c.source_id).where(of_status, odd, receipt.c.id >= first_number(since))
    return await _by_owner(engine, environment_id, source, found.order_by(receipt.c.id.desc()))


async def _by_owner(
    engine: AsyncEngine, environment_id: int, owner: sa.Table, newest_first: sa.Select[Any]
) -> Mapping[int, int]:
    """How many of the newest rows name each of the environment's endpoints or sources, removed ones left out."""
    newest = newest_first.limit(COUNTED_MAX).subquery()
    (named,) = newest.c
    query = (
        sa.select(named, sa.func.count())
        .join(owner, owner.c.id == named)
        .where(owner.c.environment_id == environment_id, owner.c.deleted_at.is_(None))
        .group_by(named)
    )
    async with engine.connect() as connection:
        return {row[0]: row[1] for row in await connection.execute(query)}
