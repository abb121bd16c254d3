"""What went wrong lately and is still so, by whom it concerns; counted up to a limit, so that asking costs little."""

from collections.abc import Mapping
from datetime import datetime

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
    newest = (
        sa.select(delivery.c.endpoint_id)
        .where(has_status(FAILED), delivery.c.id >= first_number(since))
        .order_by(delivery.c.id.desc())
        .limit(COUNTED_MAX)
        .subquery()
    )
    query = (
        sa.select(newest.c.endpoint_id, sa.func.count())
        .join(_endpoint, _endpoint.c.id == newest.c.endpoint_id)
        .where(_endpoint.c.environment_id == environment_id, _endpoint.c.deleted_at.is_(None))
        .group_by(newest.c.endpoint_id)
    )
    async with engine.connect() as connection:
        return {row[0]: row[1] for row in await connection.execute(query)}


async def odd_receipts(engine: AsyncEngine, environment_id: int, status: str, since: datetime) -> Mapping[int, int]:
    """How many requests since then are quarantined, or rejected, by the number of the source."""
    odd = receipt.c.status != sa.literal(ACCEPTED, literal_execute=True)
    newest = (
        sa.select(receipt.c.source_id)
        .where(receipt.c.status == sa.literal(status, literal_execute=True), odd, receipt.c.id >= first_number(since))
        .order_by(receipt.c.id.desc())
        .limit(COUNTED_MAX)
        .subquery()
    )
    query = (
        sa.select(newest.c.source_id, sa.func.count())
        .join(source, source.c.id == newest.c.source_id)
        .where(source.c.environment_id == environment_id, source.c.deleted_at.is_(None))
        .group_by(newest.c.source_id)
    )
    async with engine.connect() as connection:
        return {row[0]: row[1] for row in await connection.execute(query)}
