"""The log of deliveries: the list with its filters, and one delivery with each of its attempts."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
from litestar import Response, get, post
from litestar.params import FromPath
from litestar.response import Redirect, Template
from markupsafe import Markup

from adapters.events import EVENT_TYPES
from app.outcome import Timing
from app.store import log
from app.store.endpoints import Endpoint, list_endpoints
from app.store.health import health_of
from app.store.ids import DELIVERY
from app.store.log import DeliveryFilter
from app.store.tables import DELIVERY_STATUSES
from app.store.views import AttemptView
from app.web import resending
from app.web.context import gateway_of, known_id, principal_of
from app.web.log import DeliveryQuery, found_delivery
from app.web.pages.attempt_charts import milliseconds, timing_bar, timing_words
from app.web.pages.failures import Explained, why_attempt_ended
from app.web.pages.forms import ROWS_MAX, Given, read_filters, stream_of
from app.web.pages.rendering import PAGE_HEADERS, page, redirect
from app.web.pages.standings import Debt, endpoint_name, why_delivery_stands
from app.web.pages.wire_texts import header_lines, laid_out
from app.web.paging import cursor_text
from app.web.problems import AnyRequest, not_found


class AttemptLine(NamedTuple):
    """An attempt in the list of a delivery's attempts."""

    number: int
    started_at: str
    answer: str
    delivered: bool
    duration: str
    bar: Markup
    stages: str


class AttemptShown(NamedTuple):
    """The attempt that was chosen, with all that went over the wire."""

    view: AttemptView
    line: AttemptLine
    why: Explained
    request_headers: str
    request_body: str
    response_headers: str
    response_body: str
    batch_size: int
    """How many events the request had."""


@get("/deliveries")
async def show_deliveries(request: AnyRequest) -> Template:
    """Deliveries, newest first; the filters are those of `GET /api/deliveries`."""
    query, given = read_filters(request, DeliveryQuery), Given(request)
    engine, environment_id = gateway_of(request).engine, principal_of(request).environment_id
    limit = min(query.limit, ROWS_MAX)
    found = await log.list_deliveries(engine, environment_id, query.wanted(DeliveryFilter), query.span(), limit)
    return page(
        request,
        "deliveries.html",
        deliveries=found.rows,
        next_cursor=cursor_text(found.next_cursor),
        given=given,
        stream=stream_of(given),
        statuses=DELIVERY_STATUSES,
        types=list(EVENT_TYPES),
        names=_names(await list_endpoints(engine, environment_id)),
    )


@get("/deliveries/{delivery_id:str}")
async def show_delivery(request: AnyRequest, delivery_id: FromPath[str]) -> Template:
    """A delivery; `?attempt=2` shows that attempt in full, otherwise it is the last one."""
    found = await found_delivery(request, delivery_id)
    endpoints = await list_endpoints(gateway_of(request).engine, principal_of(request).environment_id)
    endpoint = next((one for one in endpoints if one.id == found.delivery.endpoint_id), None)
    return page(
        request,
        "delivery.html",
        delivery=found.delivery,
        detail=found,
        endpoint=endpoint,
        name=_names(endpoints).get(found.delivery.endpoint_id),
        health=await health_of(gateway_of(request).engine, found.delivery.endpoint_id),
        why=why_delivery_stands(Debt(found.delivery.status, found.delivery.attempts, found.delivery.error)),
        lines=_lines(found.attempts),
        chosen=_chosen(found.attempts, request.query_params.get("attempt")),
    )


@get("/deliveries/{delivery_id:str}/attempts/{number:int}/{part:str}")
async def show_raw(
    request: AnyRequest, delivery_id: FromPath[str], number: FromPath[int], part: FromPath[str]
) -> Response[str]:
    """The body of an attempt's request or response, as plain text."""
    found = await found_delivery(request, delivery_id)
    attempt = next((one for one in found.attempts if one.number == number), None)
    if attempt is None or part not in ("request", "response"):
        raise not_found("attempt", number)
    body = attempt.request.body if part == "request" else attempt.response.body
    return Response(body, media_type="text/plain", headers=PAGE_HEADERS)


@post("/deliveries/{delivery_id:str}/retry")
async def retry_delivery(request: AnyRequest, delivery_id: FromPath[str]) -> Redirect:
    """The delivery, due now."""
    number = known_id(DELIVERY, delivery_id, "delivery")
    if not await resending.retry(gateway_of(request), principal_of(request).environment_id, number):
        raise not_found("delivery", delivery_id)
    return redirect(request, f"/deliveries/{delivery_id}", "It is on its way; the attempt shows here when it is made.")


DELIVERIES = [show_deliveries, show_delivery, show_raw, retry_delivery]


def _names(endpoints: Sequence[Endpoint]) -> dict[int, str]:
    return {one.id: endpoint_name(one.id, one.url, one.description) for one in endpoints}


def _lines(attempts: Sequence[AttemptView]) -> list[AttemptLine]:
    """The newest first."""
    longest_ms = max((attempt.duration_ms for attempt in attempts), default=0)
    return [_line(attempt, longest_ms) for attempt in reversed(attempts)]


def _line(attempt: AttemptView, longest_ms: float) -> AttemptLine:
    timing = msgspec.json.decode(attempt.timing, type=Timing)
    return AttemptLine(
        number=attempt.number,
        started_at=attempt.started_at,
        answer=str(attempt.status_code or attempt.error or "no answer"),
        delivered=attempt.status_code is not None and attempt.status_code // 100 == 2,
        duration=milliseconds(attempt.duration_ms),
        bar=timing_bar(timing, longest_ms),
        stages=timing_words(timing),
    )


def _chosen(attempts: Sequence[AttemptView], asked: str | None) -> AttemptShown | None:
    """The attempt of that number, or the last one."""
    if not attempts:
        return None
    view = next((attempt for attempt in attempts if str(attempt.number) == asked), attempts[-1])
    return AttemptShown(
        view=view,
        line=_line(view, view.duration_ms),
        why=why_attempt_ended(view.status_code, view.error_kind, view.error),
        **_wire(view),
    )


def _wire(view: AttemptView) -> dict[str, Any]:
    return {
        "request_headers": header_lines(view.request.headers),
        "request_body": laid_out(view.request.body),
        "response_headers": header_lines(view.response.headers),
        "response_body": laid_out(view.response.body),
        "batch_size": msgspec.json.decode(view.batch)["size"] if view.batch else 1,
    }
