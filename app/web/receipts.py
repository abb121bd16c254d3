"""What providers sent, as it arrived, and reading it again: `/api/receipts`."""

import asyncio
from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec
from litestar import Router, get, post
from litestar.params import FromPath
from msgspec import UNSET, Meta, UnsetType

from app.gateway import Gateway
from app.ingest import NotReprocessable, Reprocessed
from app.store import log
from app.store.ids import RECEIPT, parse_id
from app.store.log import ReceiptFilter, Span
from app.store.views import ReceiptDetail, ReceiptLine
from app.web.context import ApiRequest, gateway_of, known_id, principal_of
from app.web.input import read_body, read_query
from app.web.paging import Cursor, LogQuery, Moment, Text, cursor_number, cursor_text
from app.web.problems import AnyRequest, Problem, not_found

REPROCESSED_MAX = 200
"""How many receipts one call reads again; its answer tells where the next call goes on."""
REPROCESSED_AT_ONCE = 4
"""They share a commit; their bodies, up to the limit of a request each, are in memory together."""


class ReceiptQuery(LogQuery, kw_only=True, forbid_unknown_fields=True):
    """Which receipts."""

    status: Literal["accepted", "duplicate", "quarantined", "rejected"] | UnsetType = UNSET
    source: Text | UnsetType = UNSET


class ReceiptPage(msgspec.Struct):
    """Receipts, newest first. A page may be short and not be the last: only `next_cursor` tells."""

    data: Sequence[ReceiptLine]
    next_cursor: str | None


class ReprocessMany(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Which receipts are to be read again."""

    source: Text | UnsetType = UNSET
    since: Moment | UnsetType = UNSET
    status: Annotated[
        Literal["accepted", "duplicate", "quarantined"], Meta(description="Rejected ones never become events.")
    ] = "quarantined"
    cursor: Cursor | UnsetType = UNSET


class ReprocessedMany(msgspec.Struct):
    """What came of them, newest first; while `next_cursor` is not null there are more to be asked for."""

    receipts: int
    events: int
    """New ones."""
    quarantined: int
    """Items that still cannot be read."""
    skipped: int
    """Receipts whose source or mapping is gone."""
    next_cursor: str | None


@get("/", operation_id="listReceipts", opt={"query": ReceiptQuery})
async def list_receipts(request: ApiRequest) -> ReceiptPage:
    """List receipts, newest first."""
    return await receipts_of(request, read_query(request, ReceiptQuery))


@get("/{receipt_id:str}", operation_id="getReceipt")
async def get_receipt(request: ApiRequest, receipt_id: FromPath[str]) -> ReceiptDetail:
    """Show a receipt: the provider's request, what was quarantined and why, and the events that came of it."""
    return await found_receipt(request, receipt_id)


@post("/{receipt_id:str}/reprocess", operation_id="reprocessReceipt", status_code=200, opt={"fails": [409]})
async def reprocess_receipt(request: ApiRequest, receipt_id: FromPath[str]) -> Reprocessed:
    """Read a receipt again with the mapping of today; what was an event before stays that event."""
    return await read_again(request, receipt_id)


@post("/reprocess", operation_id="reprocessReceipts", status_code=200, opt={"body": ReprocessMany})
async def reprocess_receipts(request: ApiRequest) -> ReprocessedMany:
    """Read many receipts again, newest first; those that were quarantined unless told otherwise."""
    return await read_many_again(request, await read_body(request, ReprocessMany))


RECEIPTS = Router(
    "/receipts", route_handlers=[list_receipts, get_receipt, reprocess_receipt, reprocess_receipts], tags=["Receipts"]
)


async def receipts_of(request: AnyRequest, query: ReceiptQuery) -> ReceiptPage:
    """The receipts that the query asks for."""
    page = await log.list_receipts(
        gateway_of(request).engine,
        principal_of(request).environment_id,
        query.wanted(ReceiptFilter),
        query.span(),
        query.limit,
    )
    return ReceiptPage(page.rows, cursor_text(page.next_cursor))


async def found_receipt(request: AnyRequest, receipt_id: str) -> ReceiptDetail:
    """The receipt. Raises Problem 404."""
    number = known_id(RECEIPT, receipt_id, "receipt")
    found = await log.get_receipt(gateway_of(request).engine, principal_of(request).environment_id, number)
    if found is None:
        raise not_found("receipt", receipt_id)
    return found


async def read_again(request: AnyRequest, receipt_id: str) -> Reprocessed:
    """What became of the receipt. Raises Problem 404, and 409 where it cannot be read again."""
    gateway = gateway_of(request)
    number = known_id(RECEIPT, receipt_id, "receipt")
    if await log.get_receipt(gateway.engine, principal_of(request).environment_id, number) is None:
        raise not_found("receipt", receipt_id)
    try:
        return await gateway.ingest.reprocess(number)
    except NotReprocessable as refused:
        raise Problem(409, f"Receipt {receipt_id} cannot be read again: {refused}.") from refused


async def read_many_again(request: AnyRequest, wanted: ReprocessMany) -> ReprocessedMany:
    """What became of up to REPROCESSED_MAX of them."""
    gateway = gateway_of(request)
    page = await log.list_receipts(
        gateway.engine,
        principal_of(request).environment_id,
        ReceiptFilter(status=wanted.status, source=wanted.source or None),
        Span(since=wanted.since or None, cursor=cursor_number(wanted.cursor)),
        REPROCESSED_MAX,
    )
    outcomes: list[Reprocessed | None] = []
    for start in range(0, len(page.rows), REPROCESSED_AT_ONCE):
        lines = page.rows[start : start + REPROCESSED_AT_ONCE]
        outcomes += await asyncio.gather(*(_reprocess(gateway, line) for line in lines))
    done = [outcome for outcome in outcomes if outcome is not None]
    return ReprocessedMany(
        receipts=len(done),
        events=sum(outcome.events for outcome in done),
        quarantined=sum(outcome.quarantined for outcome in done),
        skipped=len(outcomes) - len(done),
        next_cursor=cursor_text(page.next_cursor),
    )


async def _reprocess(gateway: Gateway, line: ReceiptLine) -> Reprocessed | None:
    number = parse_id(RECEIPT, line.id)
    try:
        return None if number is None else await gateway.ingest.reprocess(number)
    except NotReprocessable:
        return None
