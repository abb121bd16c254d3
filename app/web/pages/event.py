"""One event: what the provider sent beside what subscribers get, and what became of it."""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, NamedTuple

import msgspec
from litestar import Response, get, post
from litestar.params import FromPath
from litestar.response import Redirect, Template
from markupsafe import Markup
from msgspec import UNSET, Meta, UnsetType

from app.ingest import NotReprocessable
from app.store import log
from app.store.endpoints import list_endpoints
from app.store.ids import DELIVERY, EVENT, RECEIPT, parse_id
from app.store.views import DeliveryDetail, DeliveryLine, EventDetail, ReceiptDetail
from app.web import resending
from app.web.context import NUMBER_MAX, gateway_of, known_id, principal_of
from app.web.log import found_event
from app.web.pages.forms import Given, read_form
from app.web.pages.origins import Origin, as_curl, as_fixture, as_it_came, find_origin, find_repeats
from app.web.pages.payloads import link, shown
from app.web.pages.rendering import PAGE_HEADERS, page, redirect
from app.web.problems import AnyRequest, Problem, not_found

DELIVERIES_WITH_ATTEMPTS_MAX = 10
PLAIN_HEADERS = {**PAGE_HEADERS, "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; sandbox"}
"""For what strangers wrote and nobody is to take for a page."""


_FORMS: Mapping[str, Callable[[Origin], str]] = {"native": as_it_came, "curl": as_curl, "fixture": as_fixture}


class ReplayForm(msgspec.Struct):
    """Where to; without an endpoint to all that ask for such events."""

    endpoint_id: Annotated[int, Meta(ge=1, le=NUMBER_MAX)] | UnsetType = UNSET


class _Data(dict[str, Any]):
    """What an event says; what it does not say is None."""

    def __missing__(self, key: str) -> None:
        return None


class _Found(NamedTuple):
    detail: EventDetail
    event: Mapping[str, Any]
    number: int


class _Compared(NamedTuple):
    """Both sides as lines of JSON; no native side where it cannot be told which item it was."""

    native: Markup | None
    unified: Markup


@get("/events/{event_id:str}")
async def show_event(request: AnyRequest, event_id: FromPath[str]) -> Template:
    """The event with its native item, its receipt and its deliveries."""
    gateway, environment_id = gateway_of(request), principal_of(request).environment_id
    found = await _find(request, event_id)
    origin, receipt = await _origin(request, found), await _receipt(request, found)
    looks_for_repeats = bool(Given(request)["repeats"])
    repeats = await find_repeats(gateway, environment_id, origin, found.event) if origin and looks_for_repeats else None
    return page(
        request,
        "event.html",
        id=event_id,
        event=found.event,
        data=_Data(found.event["data"]),
        detail=found.detail,
        receipt=receipt,
        problems=msgspec.json.decode(receipt.problems) if receipt else [],
        headers=msgspec.json.decode(receipt.request.headers) if receipt else {},
        origin=origin,
        verifies=origin is not None and origin.source is not None and origin.source.secrets is not None,
        repeats=repeats,
        compared=await asyncio.to_thread(_compare, origin, found.event),
        attempts=await _attempts(request, found.detail.deliveries),
        endpoints=await list_endpoints(gateway.engine, environment_id),
    )


@get("/events/{event_id:str}/as/{form:str}")
async def show_event_as(request: AnyRequest, event_id: FromPath[str], form: FromPath[str]) -> Response[str]:
    """The event, or what it was made of, as text to be copied."""
    found = await _find(request, event_id)
    if form == "json":
        return _plain(json.dumps(found.event, ensure_ascii=False, indent=2) + "\n")
    origin = await _origin(request, found)
    write = _FORMS.get(form)
    if write is None or origin is None:
        raise not_found("form", form)
    return _plain(await asyncio.to_thread(write, origin))


@post("/events/{event_id:str}/replay")
async def replay_event(request: AnyRequest, event_id: FromPath[str]) -> Redirect:
    """Sends it again: to one endpoint, or to all that ask for such events now."""
    gateway, environment_id = gateway_of(request), principal_of(request).environment_id
    form, found = await read_form(request, ReplayForm), await _find(request, event_id)
    body = bytes(found.detail.event)
    targets = (
        [form.endpoint_id] if form.endpoint_id else await resending.endpoints_asking_for(gateway, environment_id, body)
    )
    if not targets:
        text = "No endpoint asks for such events; choose one to send it there nevertheless."
        return redirect(request, f"/events/{event_id}", text, tone="bad")
    made = await resending.replay(gateway, environment_id, found.number, targets)
    said = "A new delivery is" if len(made) == 1 else f"{len(made)} new deliveries are"
    return redirect(request, f"/events/{event_id}", f"{said} on the way.")


@post("/events/{event_id:str}/reprocess")
async def reprocess_receipt(request: AnyRequest, event_id: FromPath[str]) -> Redirect:
    """Reads the whole receipt again with the mapping of today."""
    found = await _find(request, event_id)
    if found.detail.receipt is None:
        raise Problem(409, "This event has no receipt that could be read again.")
    try:
        done = await gateway_of(request).ingest.reprocess(known_id(RECEIPT, found.detail.receipt.id, "receipt"))
    except NotReprocessable as refused:
        return redirect(request, f"/events/{event_id}", f"The receipt cannot be read again: {refused}.", tone="bad")
    said = f"The receipt was read again: {done.events} new events, {done.quarantined} items that cannot be read."
    return redirect(request, f"/events/{event_id}", said)


EVENT_PAGES: list[Any] = [show_event, show_event_as, replay_event, reprocess_receipt]


async def _find(request: AnyRequest, event_id: str) -> _Found:
    found = await found_event(request, event_id)
    return _Found(found, msgspec.json.decode(found.event), known_id(EVENT, event_id, "event"))


async def _origin(request: AnyRequest, found: _Found) -> Origin | None:
    number = parse_id(RECEIPT, found.detail.receipt.id) if found.detail.receipt else None
    return None if number is None else await find_origin(gateway_of(request), number, found.event)


async def _receipt(request: AnyRequest, found: _Found) -> ReceiptDetail | None:
    number = parse_id(RECEIPT, found.detail.receipt.id) if found.detail.receipt else None
    if number is None:
        return None
    return await log.get_receipt(gateway_of(request).engine, principal_of(request).environment_id, number)


async def _attempts(request: AnyRequest, deliveries: Sequence[DeliveryLine]) -> dict[str, DeliveryDetail]:
    """The attempts of the newest deliveries, by the delivery's id."""
    gateway, environment_id = gateway_of(request), principal_of(request).environment_id
    found = dict[str, DeliveryDetail]()
    for line in deliveries[:DELIVERIES_WITH_ATTEMPTS_MAX]:
        number = known_id(DELIVERY, line.id, "delivery")
        if detail := await log.get_delivery(gateway.engine, environment_id, number):
            found[line.id] = detail
    return found


def _compare(origin: Origin | None, event: Mapping[str, Any]) -> _Compared:
    if origin is None or origin.item is None:
        return _Compared(None, shown(event, {}))
    links = link(origin.item, event)
    return _Compared(shown(origin.item, links.native, origin.unmapped), shown(event, links.unified))


def _plain(text: str) -> Response[str]:
    return Response(text, media_type="text/plain", headers=PLAIN_HEADERS)
