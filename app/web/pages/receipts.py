"""Receipts: what providers sent, as it arrived, whether it proved itself, and what became of it."""

from collections.abc import Mapping
from typing import Annotated

import msgspec
from litestar import Response, get, post
from litestar.params import FromPath
from litestar.response import Redirect, Template
from msgspec import Meta

from app.store.tables import RECEIPT_STATUSES
from app.store.views import ReceiptDetail
from app.web.pages.forms import ROWS_MAX, Given, read_filters, read_form
from app.web.pages.rendering import PAGE_HEADERS, page, redirect
from app.web.problems import AnyRequest, Problem
from app.web.receipts import ReceiptQuery, ReprocessMany, found_receipt, read_again, read_many_again, receipts_of
from app.web.sources import all_sources

OUTCOMES = {
    "accepted": "It is authentic, and everything in it was read.",
    "duplicate": "It is authentic, and tells nothing that was not told before. No second event, no second delivery.",
    "quarantined": "It is authentic, and a part of it could not be read. What could be read became events.",
    "rejected": "It does not prove that the provider sent it, so it never becomes an event.",
}
"""What a status means, as a sentence."""
WITHHELD = {
    "forgotten": "An address that was to be forgotten has been taken out of it.",
    "redacted": "Its source redacts, so nothing of the request is kept but a digest.",
}


class QuarantinedShown(msgspec.Struct, frozen=True):
    """An item that was not read."""

    index: int | None
    reason: str
    native_type: str | None = None


class ReprocessForm(msgspec.Struct, forbid_unknown_fields=True):
    """Of which source the quarantined ones are to be read again; of all unless given."""

    source: Annotated[str, Meta(max_length=100)] = ""


@get("/receipts")
async def show_receipts(request: AnyRequest) -> Template:
    """Receipts, newest first."""
    wanted = read_filters(request, ReceiptQuery)
    found = await receipts_of(request, msgspec.structs.replace(wanted, limit=min(wanted.limit, ROWS_MAX)))
    return page(
        request,
        "receipts.html",
        receipts=found.data,
        next_cursor=found.next_cursor,
        given=Given(request),
        statuses=RECEIPT_STATUSES,
        sources=[source.name for source in await all_sources(request)],
    )


@get("/receipts/{receipt_id:str}")
async def show_receipt(request: AnyRequest, receipt_id: FromPath[str]) -> Template:
    """One receipt: the native request, whether it proved itself, what was read and what was not."""
    found = await found_receipt(request, receipt_id)
    return page(
        request,
        "receipt.html",
        receipt=found.receipt,
        native=found.request,
        headers=_headers(found),
        events=found.events,
        problems=msgspec.json.decode(found.problems, type=list[QuarantinedShown]),
        outcomes=OUTCOMES,
        withheld=WITHHELD,
        indented=_indented(found.request.body),
    )


@get("/receipts/{receipt_id:str}/raw")
async def show_body(request: AnyRequest, receipt_id: FromPath[str]) -> Response[str]:
    """The body as it arrived, as plain text."""
    found = await found_receipt(request, receipt_id)
    return Response(found.request.body, media_type="text/plain", headers=PAGE_HEADERS)


@post("/receipts/{receipt_id:str}/reprocess")
async def reprocess(request: AnyRequest, receipt_id: FromPath[str]) -> Redirect:
    """Reads it again with the mapping of today."""
    back = f"/receipts/{receipt_id}"
    try:
        done = await read_again(request, receipt_id)
    except Problem as refused:
        if refused.status != 409:
            raise
        return redirect(request, back, refused.detail, tone="bad")
    said = f"Read again: {_told(done.events, done.quarantined)}."
    return redirect(request, back, said, tone="bad" if done.quarantined else "good")


@post("/receipts/reprocess")
async def reprocess_many(request: AnyRequest) -> Redirect:
    """Reads the newest quarantined ones again; the sentence says whether there are more."""
    form = await read_form(request, ReprocessForm)
    wanted = ReprocessMany(source=form.source) if form.source else ReprocessMany()
    done = await read_many_again(request, wanted)
    more = " There are older ones: press again once these are read." if done.next_cursor else ""
    skipped = f" {done.skipped} of sources that are gone were left." if done.skipped else ""
    said = f"Read {done.receipts} receipts again: {_told(done.events, done.quarantined)}.{skipped}{more}"
    back = f"/sources/{form.source}" if form.source else "/receipts"
    return redirect(request, back, said, tone="bad" if done.quarantined else "good")


def _told(events: int, quarantined: int) -> str:
    new = f"{events} new event{'s' * (events != 1)}"
    return f"{new}, {quarantined} still cannot be read" if quarantined else new


def _headers(found: ReceiptDetail) -> Mapping[str, str]:
    return msgspec.json.decode(found.request.headers, type=dict[str, str])


def _indented(body: str) -> str | None:
    """The body with its JSON indented, None where it is none."""
    try:
        return msgspec.json.format(body, indent=2)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return None


RECEIPTS = [show_receipts, show_receipt, show_body, reprocess, reprocess_many]
