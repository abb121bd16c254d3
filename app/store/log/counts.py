"""What the metrics count in the store."""

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from app.store.log.lines import delivery
from app.store.moves import has_status
from app.store.tables import FAILED, HELD, PENDING, QUEUED, SENDING, EndpointRow, table_of
from app.store.views import OpenDeliveries

OPEN_STATUSES = (PENDING, SENDING, FAILED, HELD, QUEUED)

_endpoint = table_of(EndpointRow)


def _number_of(status: str) -> sa.Select[str, int]:
    return sa.select(sa.literal(status), sa.func.count()).select_from(delivery).where(has_status(status))


_COUNTS = sa.union_all(*map(_number_of, OPEN_STATUSES))
_EARLIEST_OF_ENDPOINT = (
    sa.select(sa.func.min(delivery.c.due_at))
    .where(delivery.c.endpoint_id == _endpoint.c.id, has_status(PENDING))
    .scalar_subquery()
)
_OLDEST_DUE = sa.select(sa.func.min(_EARLIEST_OF_ENDPOINT)).select_from(_endpoint)
_ACTIVE = sa.select(sa.func.count()).select_from(_endpoint).where(_endpoint.c.active, _endpoint.c.deleted_at.is_(None))


async def count_open(engine: AsyncEngine) -> OpenDeliveries:
    """The deliveries that are not finished, by status, and since when the oldest of the pending ones is due."""
    async with engine.connect() as connection:
        return OpenDeliveries(
            by_status={row[0]: row[1] for row in await connection.execute(_COUNTS)},
            oldest_due_at=await connection.scalar(_OLDEST_DUE),
            active_endpoints=(await connection.execute(_ACTIVE)).scalar_one(),
        )
