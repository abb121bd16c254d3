"""Waiting for a source's first event, with what is wrong while none comes, and a sample to try the way with."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

import msgspec
from litestar import get, post
from litestar.params import FromPath
from litestar.response import Redirect, Template

from adapters.adapter import Adapter
from adapters.errors import UnknownProvider
from app.gateway import Gateway
from app.rehearsal import CannotPlay, sample_request
from app.store import log
from app.store.ids import EVENT, parse_id
from app.store.log import ReceiptFilter, Span
from app.store.tables import QUARANTINED, REJECTED
from app.store.views import ReceiptDetail, ReceiptLine
from app.web.context import gateway_of, principal_of
from app.web.pages.forms import read_fields
from app.web.pages.reach import is_reachable
from app.web.pages.rendering import page, redirect
from app.web.problems import AnyRequest, Problem
from app.web.receipts import found_receipt
from app.web.sources import Source, found_source

LOOKED_AT = 20
"""How many of the newest receipts are looked at."""

State = Literal["nothing", "refused", "unread", "quiet", "arrived"]


class Problems(msgspec.Struct, frozen=True):
    """An item that was quarantined."""

    index: int | None
    reason: str
    native_type: str | None = None


class Diagnosis(msgspec.Struct, frozen=True):
    """How far the source's requests have come."""

    state: State
    receipt: ReceiptDetail | None = None
    problems: Sequence[Problems] = ()
    event: str | None = None
    """As subscribers receive it, indented."""


@get("/sources/{name:str}/waiting")
async def show_waiting(request: AnyRequest, name: FromPath[str]) -> Template:
    """What has come of the source so far; asked again every few seconds until its first event is there."""
    source = await found_source(request, name)
    gateway = gateway_of(request)
    adapter = _adapter(gateway, source.provider)
    return page(
        request,
        "waiting.html",
        source=source,
        adapter=adapter,
        samples=list(adapter.samples) if adapter else [],
        cannot_play=_why_not(gateway, source, adapter),
        diagnosis=await diagnosis(request, source),
        reachable=is_reachable(gateway.settings.base_url),
    )


@post("/sources/{name:str}/sample")
async def send_sample(request: AnyRequest, name: FromPath[str]) -> Redirect:
    """Takes in one signed sample, in the way of a request of the provider."""
    source, sample = await found_source(request, name), (await read_fields(request)).get("sample", "")
    gateway = gateway_of(request)
    kept = gateway.registry.source(source.name)
    if kept is None:
        raise Problem(409, f"The source {source.name} is not in force yet; try again.")
    try:
        native = sample_request(kept, sample, url=source.url, at=gateway.clock.ms() / 1000)
    except CannotPlay as refused:
        return redirect(request, f"/sources/{source.name}/waiting", str(refused), tone="bad")
    answer = await gateway.ingest.receive(source.name, native)
    back = f"/sources/{source.name}/waiting"
    if answer.status == 200:
        return redirect(request, back, f"The sample {sample} was sent, and answered 200.")
    return redirect(request, back, f"The sample {sample} was answered {answer.status}.", tone="bad")


async def diagnosis(request: AnyRequest, source: Source) -> Diagnosis:
    """What the newest receipts of the source say; an event counts more than what went wrong."""
    since = datetime.fromisoformat(source.created_at)
    found = await log.list_receipts(
        gateway_of(request).engine,
        principal_of(request).environment_id,
        ReceiptFilter(source=source.name),
        Span(since=since),
        LOOKED_AT,
    )
    for line in found.rows:
        if line.status not in (REJECTED, QUARANTINED):
            receipt = await found_receipt(request, line.id)
            if receipt.events:
                return Diagnosis("arrived", receipt, event=await _event(request, receipt.events[0].id))
    return await _without_event(request, found.rows)


async def _without_event(request: AnyRequest, lines: Sequence[ReceiptLine]) -> Diagnosis:
    if not lines:
        return Diagnosis("nothing")
    receipt = await found_receipt(request, lines[0].id)
    if lines[0].status == REJECTED:
        return Diagnosis("refused", receipt)
    problems = msgspec.json.decode(receipt.problems, type=list[Problems])
    if receipt.events:
        return Diagnosis("arrived", receipt, problems, await _event(request, receipt.events[0].id))
    return Diagnosis("unread" if problems else "quiet", receipt, problems)


async def _event(request: AnyRequest, event_id: str) -> str | None:
    number = parse_id(EVENT, event_id)
    engine, environment_id = gateway_of(request).engine, principal_of(request).environment_id
    found = None if number is None else await log.get_event(engine, environment_id, number)
    return None if found is None else msgspec.json.format(bytes(found.event), indent=2).decode()


def _adapter(gateway: Gateway, provider: str) -> Adapter | None:
    try:
        return gateway.catalog.get(provider)
    except UnknownProvider:
        return None


def _why_not(gateway: Gateway, source: Source, adapter: Adapter | None) -> str | None:
    """Why no sample can be sent; None where one can."""
    kept = gateway.registry.source(source.name)
    if kept is None or adapter is None or not adapter.samples:
        return "The mapping of this provider has no samples."
    try:
        sample_request(kept, next(iter(adapter.samples)), url=source.url, at=gateway.clock.ms() / 1000)
    except CannotPlay as refused:
        return str(refused)
    return None


WAITING = [show_waiting, send_sample]
