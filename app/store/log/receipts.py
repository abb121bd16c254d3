"""The log of receipts: what providers sent, as it arrived."""

from collections.abc import Sequence

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from app.store.log.lines import (
    EVENT_LINES,
    LISTED_MAX,
    RECEIPT_LINES,
    event,
    event_line,
    looked_up,
    receipt,
    receipt_line,
    source,
)
from app.store.requests import REQUEST_COLUMNS, request_of
from app.store.tables import ACCEPTED
from app.store.views import EventLine, NativeRequestView, Page, ReceiptDetail, ReceiptLine, as_text
from app.store.walks import Condition, Span, Walk, read_page

_environment_id = looked_up(source.c.environment_id, receipt.c.source_id)


class ReceiptFilter(msgspec.Struct, frozen=True):
    """Which receipts; `source` is a name, which deleted sources may have had before."""

    status: str | None = None
    source: str | None = None


async def list_receipts(
    engine: AsyncEngine, environment_id: int, wanted: ReceiptFilter, span: Span, limit: int
) -> Page[ReceiptLine]:
    """A page of receipts, newest first."""
    async with engine.connect() as connection:
        along, checked = _by_status(wanted.status)
        if wanted.source is not None:
            ids = await _source_ids(connection, environment_id, wanted.source)
            (checked if along or len(ids) > 1 else along).append(_of_sources(ids))
        walk = Walk(RECEIPT_LINES, receipt.c.id, along, checked, _environment_id == environment_id)
        rows, cursor = await read_page(connection, walk, span, limit)
    return Page([receipt_line(row) for row in rows], cursor)


async def get_receipt(engine: AsyncEngine, environment_id: int, receipt_id: int) -> ReceiptDetail | None:
    """A receipt with its request and the events that came of it; None when the environment has none of that number."""
    query = RECEIPT_LINES.add_columns(*REQUEST_COLUMNS, receipt.c.problems).where(
        receipt.c.id == receipt_id, source.c.environment_id == environment_id
    )
    async with engine.connect() as connection:
        row = (await connection.execute(query)).one_or_none()
        if row is None:
            return None
        events = await _events_of(connection, receipt_id)
    request = request_of(row)
    return ReceiptDetail(
        receipt=receipt_line(row),
        request=NativeRequestView(request.method, request.url, msgspec.Raw(request.headers), as_text(request.body)),
        problems=msgspec.Raw(row.problems or b"[]"),
        events=events,
    )


def _by_status(status: str | None) -> tuple[list[Condition], list[Condition]]:
    """What the index of the odd ones knows, and what has to be checked."""
    if status is None:
        return [], []
    if status == ACCEPTED:
        return [], [receipt.c.status == status]
    odd = receipt.c.status != sa.literal(ACCEPTED, literal_execute=True)
    return [receipt.c.status == sa.literal(status, literal_execute=True), odd], []


async def _source_ids(connection: AsyncConnection, environment_id: int, name: str) -> Sequence[int]:
    query = sa.select(source.c.id).where(source.c.environment_id == environment_id, source.c.name == name)
    return (await connection.scalars(query)).all()


def _of_sources(ids: Sequence[int]) -> Condition:
    if len(ids) == 1:
        return receipt.c.source_id == ids[0]
    return looked_up(source.c.id, receipt.c.source_id).in_(ids)


async def _events_of(connection: AsyncConnection, receipt_id: int) -> list[EventLine]:
    query = EVENT_LINES.where(event.c.receipt_id == receipt_id).order_by(event.c.id).limit(LISTED_MAX)
    return [event_line(row) for row in await connection.execute(query)]
