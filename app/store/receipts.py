"""A stored provider request, to be read again."""

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from app.store.ids import time_ms
from app.store.tables import ReceiptRow, table_of

_receipt = table_of(ReceiptRow)


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


async def load_receipt(engine: AsyncEngine, receipt_id: int) -> StoredReceipt | None:
    """The receipt, or None when there is none of that number."""
    columns = (_receipt.c.id, _receipt.c.source_id, _receipt.c.status, _receipt.c.method, _receipt.c.url)
    more = (_receipt.c.headers, _receipt.c.body, _receipt.c.withheld, _receipt.c.problems)
    query = sa.select(*columns, *more).where(_receipt.c.id == receipt_id)
    async with engine.connect() as connection:
        row = (await connection.execute(query)).first()
    if row is None:
        return None
    headers = msgspec.json.decode(row.headers, type=dict[str, str])
    return StoredReceipt(
        row.id, row.source_id, row.status, row.method, row.url, headers, row.body, row.withheld, row.problems
    )
