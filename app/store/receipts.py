"""Stored provider requests, to be read again."""

from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from app.store.ids import time_ms
from app.store.packing import plain_size, size_columns
from app.store.requests import REQUEST_COLUMNS, request_of
from app.store.tables import REJECTED, ReceiptRow, SourceRow, table_of

_receipt, _source = table_of(ReceiptRow), table_of(SourceRow)

_REQUESTS = sa.select(
    *(_receipt.c.id, _receipt.c.source_id, _receipt.c.status, _receipt.c.withheld, _receipt.c.problems),
    *REQUEST_COLUMNS,
)


class StoredReceipt(msgspec.Struct, frozen=True):
    """The request as it arrived; `received_ms` is milliseconds since 1970."""

    id: int
    source_id: int
    status: str
    method: str
    url: str
    headers: dict[str, str]
    body: bytes
    withheld: str | None
    problems: bytes | None
    """JSON: [{"index", "reason", "native_type"}] of the quarantined items."""

    @property
    def received_ms(self) -> int:
        return time_ms(self.id)


async def recent_requests(
    engine: AsyncEngine, environment_id: int, provider: str, limit: int, bytes_max: int
) -> Sequence[StoredReceipt]:
    """The newest authentic requests of a provider, of all its sources, that are kept whole: no more bytes than that."""
    async with engine.connect() as connection:
        mine = sa.select(_source.c.id).where(
            _source.c.environment_id == environment_id, _source.c.provider == provider, _source.c.deleted_at.is_(None)
        )
        sizes = list[tuple[int, int]]()
        for source_id in (await connection.scalars(mine)).all():
            rows = await connection.execute(_sizes(source_id, limit))
            sizes += [(number, plain_size(head, size)) for number, head, size in rows]
        chosen = _fitting(sorted(sizes, reverse=True)[:limit], bytes_max)
        rows = await connection.execute(_REQUESTS.where(_receipt.c.id.in_(chosen)).order_by(_receipt.c.id.desc()))
        return [_stored(row) for row in rows]


def _sizes(source_id: int, limit: int) -> sa.Select[int, bytes, int]:
    authentic = (_receipt.c.status != REJECTED, _receipt.c.withheld.is_(None))
    query = sa.select(_receipt.c.id, *size_columns(_receipt.c.body)).where(
        _receipt.c.source_id == source_id, *authentic
    )
    return query.order_by(_receipt.c.id.desc()).limit(limit)


def _fitting(sizes: Sequence[tuple[int, int]], bytes_max: int) -> list[int]:
    chosen, total = list[int](), 0
    for receipt_id, size in sizes:
        total += size
        if total > bytes_max:
            break
        chosen.append(receipt_id)
    return chosen


async def load_receipt(engine: AsyncEngine, receipt_id: int) -> StoredReceipt | None:
    """The receipt, or None when there is none of that number."""
    async with engine.connect() as connection:
        row = (await connection.execute(_REQUESTS.where(_receipt.c.id == receipt_id))).first()
    return None if row is None else _stored(row)


def _stored(row: Any) -> StoredReceipt:
    method, url, headers, body = request_of(row)
    known = msgspec.json.decode(headers, type=dict[str, str])
    return StoredReceipt(row.id, row.source_id, row.status, method, url, known, body, row.withheld, row.problems)
