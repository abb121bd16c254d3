"""What happened and what is done about it: `/api/events` and `/api/deliveries`."""

from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec
from litestar import Router, get, post
from litestar.params import FromPath
from msgspec import UNSET, Meta, UnsetType

from app.gateway import Gateway
from app.store import log
from app.store.ids import DELIVERY, EVENT, public_id
from app.store.log import DeliveryFilter, EventFilter
from app.store.views import DeliveryDetail, DeliveryLine, EventDetail, EventLine
from app.web import resending
from app.web.context import ApiRequest, EndpointNumber, gateway_of, known_id, principal_of
from app.web.input import read_body, read_query
from app.web.paging import LogQuery, Text, cursor_text
from app.web.problems import Problem, not_found


class EventQuery(LogQuery, kw_only=True, forbid_unknown_fields=True):
    """Which events."""

    type: Annotated[Text, Meta(description="In short or long form: bounce, email.bounced.")] | UnsetType = UNSET
    provider: Text | UnsetType = UNSET
    source: Text | UnsetType = UNSET
    recipient: Text | UnsetType = UNSET
    email_id: Text | UnsetType = UNSET
    q: Annotated[Text, Meta(description="A part of recipient, email id or type, or a whole event id.")] | UnsetType = (
        UNSET
    )


class DeliveryQuery(LogQuery, kw_only=True, forbid_unknown_fields=True):
    """Which deliveries."""

    status: Literal["pending", "queued", "sending", "delivered", "failed", "held", "cancelled"] | UnsetType = UNSET
    status_code: Annotated[int, Meta(ge=100, le=599, description="Of the last attempt.")] | UnsetType = UNSET
    endpoint_id: EndpointNumber | UnsetType = UNSET
    type: Text | UnsetType = UNSET


class EventPage(msgspec.Struct):
    """Events, newest first. A page may be short and not be the last: only `next_cursor` tells."""

    data: Sequence[EventLine]
    next_cursor: str | None


class DeliveryPage(msgspec.Struct):
    """Deliveries, newest first. A page may be short and not be the last: only `next_cursor` tells."""

    data: Sequence[DeliveryLine]
    next_cursor: str | None


class ReplayTo(msgspec.Struct, forbid_unknown_fields=True):
    """Where an event is to be sent again; nowhere named: to all that ask for such events now."""

    endpoint_id: EndpointNumber | None = None


class Replayed(msgspec.Struct):
    """The new deliveries, which are on their way; the event keeps its id."""

    event_id: str
    delivery_ids: list[str]


@get("/", operation_id="listEvents", opt={"query": EventQuery})
async def list_events(request: ApiRequest) -> EventPage:
    """List events, newest first."""
    query = read_query(request, EventQuery)
    page = await log.list_events(
        gateway_of(request).engine,
        principal_of(request).environment_id,
        query.wanted(EventFilter),
        query.span(),
        query.limit,
    )
    return EventPage(page.rows, cursor_text(page.next_cursor))


@get("/{event_id:str}", operation_id="getEvent")
async def get_event(request: ApiRequest, event_id: FromPath[str]) -> EventDetail:
    """Show an event as subscribers receive it, the receipt it came with, and its deliveries."""
    return await found_event(request, event_id)


@post("/{event_id:str}/replay", operation_id="replayEvent", status_code=202, opt={"body": ReplayTo, "fails": [409]})
async def replay_event(request: ApiRequest, event_id: FromPath[str]) -> Replayed:
    """Send an event again, with the same id: to one endpoint, or to all that ask for such events now."""
    gateway, wanted = gateway_of(request), await read_body(request, ReplayTo)
    environment_id = principal_of(request).environment_id
    found = await found_event(request, event_id)
    number = known_id(EVENT, event_id, "event")
    targets = [wanted.endpoint_id] if wanted.endpoint_id else await _asking_for(gateway, environment_id, found)
    made = await resending.replay(gateway, environment_id, number, targets)
    return Replayed(event_id, [public_id(DELIVERY, delivery) for delivery in made])


@get("/", operation_id="listDeliveries", opt={"query": DeliveryQuery})
async def list_deliveries(request: ApiRequest) -> DeliveryPage:
    """List deliveries, newest first."""
    query = read_query(request, DeliveryQuery)
    page = await log.list_deliveries(
        gateway_of(request).engine,
        principal_of(request).environment_id,
        query.wanted(DeliveryFilter),
        query.span(),
        query.limit,
    )
    return DeliveryPage(page.rows, cursor_text(page.next_cursor))


@get("/{delivery_id:str}", operation_id="getDelivery")
async def get_delivery(request: ApiRequest, delivery_id: FromPath[str]) -> DeliveryDetail:
    """Show a delivery with every attempt: requests, responses, timing."""
    return await found_delivery(request, delivery_id)


@post("/{delivery_id:str}/retry", operation_id="retryDelivery", status_code=202, opt={"fails": [409]})
async def retry_delivery(request: ApiRequest, delivery_id: FromPath[str]) -> DeliveryDetail:
    """Make a delivery due now, whatever became of it before."""
    gateway = gateway_of(request)
    number = known_id(DELIVERY, delivery_id, "delivery")
    if not await resending.retry(gateway, principal_of(request).environment_id, number):
        raise not_found("delivery", delivery_id)
    return await found_delivery(request, delivery_id)


EVENTS = Router("/events", route_handlers=[list_events, get_event, replay_event], tags=["Events"])
DELIVERIES = Router("/deliveries", route_handlers=[list_deliveries, get_delivery, retry_delivery], tags=["Deliveries"])


async def found_event(request: ApiRequest, event_id: str) -> EventDetail:
    """The caller's event, for routes and pages. Raises the problem of one that is not there."""
    number = known_id(EVENT, event_id, "event")
    found = await log.get_event(gateway_of(request).engine, principal_of(request).environment_id, number)
    if found is None:
        raise not_found("event", event_id)
    return found


async def found_delivery(request: ApiRequest, delivery_id: str) -> DeliveryDetail:
    """The caller's delivery, for routes and pages. Raises the problem of one that is not there."""
    number = known_id(DELIVERY, delivery_id, "delivery")
    found = await log.get_delivery(gateway_of(request).engine, principal_of(request).environment_id, number)
    if found is None:
        raise not_found("delivery", delivery_id)
    return found


async def _asking_for(gateway: Gateway, environment_id: int, found: EventDetail) -> list[int]:
    endpoints = await resending.endpoints_asking_for(gateway, environment_id, bytes(found.event))
    if not endpoints:
        raise Problem(409, "No endpoint asks for such events; name one with endpoint_id.")
    return endpoints
