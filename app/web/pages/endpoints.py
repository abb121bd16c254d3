"""The endpoints: the list with how each fares, and one endpoint with its state, its history and what may be done."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Literal, NamedTuple

import msgspec
from litestar import get, post
from litestar.params import FromPath
from litestar.response import Redirect, Template

from adapters.events import EVENT_TYPES
from app.figures import EndpointFigures, endpoint_figures
from app.store import log
from app.store.endpoints import Endpoint, list_endpoints
from app.store.health import WELL, unwell
from app.store.ids import EVENT
from app.store.jobs import list_jobs
from app.store.log import DeliveryFilter, Span, Tried
from app.store.rollups import ENDPOINT
from app.store.stats import Queue, read_queues
from app.store.tables import RUNNING
from app.web import endpoint_changes
from app.web.context import gateway_of, known_id, principal_of
from app.web.endpoint_answers import found_endpoint, shown_endpoint, state_of
from app.web.endpoint_changes import Enable
from app.web.endpoint_shapes import Endpoint as ShownEndpoint
from app.web.endpoint_shapes import EndpointChange
from app.web.jobs import shown_job
from app.web.pages.attempt_charts import Mark, attempt_strip, milliseconds
from app.web.pages.charts import Bar, stacked_bars
from app.web.pages.endpoint_forms import span_text
from app.web.pages.failures import Explained, why_attempt_ended
from app.web.pages.forms import read_filters, read_form
from app.web.pages.receivers import receivers
from app.web.pages.rendering import page, redirect
from app.web.pages.standings import Standing, endpoint_name, why_endpoint_stands
from app.web.pages.tiles import RANGES
from app.web.pages.words import moment
from app.web.problems import AnyRequest
from app.web.stats import EndpointStats, StatsQuery, endpoint_stats, stretch_of

QUEUED_COUNTED_MAX = 1_000
"""In the list; the page of an endpoint counts further."""
ATTEMPTS_SHOWN, DELIVERIES_SHOWN, JOBS_LOOKED_AT = 90, 8, 20
SPANS = {"1h": timedelta(hours=1), "24h": timedelta(hours=24), "7d": timedelta(days=7)}
NOTHING_OWED = Queue(0, 0, 0, 0)
SpanName = Literal["1h", "24h", "7d"]


class SpanQuery(msgspec.Struct):
    """Which time the numbers are of."""

    span: SpanName = "24h"


class Line(NamedTuple):
    """An endpoint in the list."""

    endpoint: Endpoint
    name: str
    state: str
    figures: EndpointFigures
    queue: Queue


@get("/endpoints")
async def show_endpoints(request: AnyRequest) -> Template:
    """The endpoints by number, with what they were sent lately."""
    span = read_filters(request, SpanQuery).span
    gateway, environment_id = gateway_of(request), principal_of(request).environment_id
    went = await gateway.tallies.totals(environment_id, ENDPOINT, RANGES[span].starts(gateway.clock.ms()))
    queues = await read_queues(gateway.engine, environment_id, QUEUED_COUNTED_MAX)
    health = await unwell(gateway.engine)
    lines = [
        Line(
            endpoint=one,
            name=endpoint_name(one.id, one.url, one.description),
            state=state_of(one, health.get(one.id, WELL)),
            figures=endpoint_figures(went.get(one.id, {})),
            queue=queues.get(one.id, NOTHING_OWED),
        )
        for one in await list_endpoints(gateway.engine, environment_id)
    ]
    counted_max = QUEUED_COUNTED_MAX
    return page(
        request, "endpoints.html", lines=lines, span=span, spans=list(SPANS), ms=milliseconds, counted_max=counted_max
    )


@get("/endpoints/{endpoint_id:int}")
async def show_endpoint(request: AnyRequest, endpoint_id: FromPath[int]) -> Template:
    """How an endpoint fares, and what it is set to."""
    endpoint = await shown_endpoint(request, await found_endpoint(request, endpoint_id))
    gateway, environment_id = gateway_of(request), principal_of(request).environment_id
    span = read_filters(request, SpanQuery).span
    now = gateway.clock.now()
    stats = await endpoint_stats(
        request, endpoint.id, stretch_of(StatsQuery(since=now - SPANS[span]), gateway.clock.ms())
    )
    tried = await log.recent_attempts(gateway.engine, endpoint.id, ATTEMPTS_SHOWN)
    of_it = DeliveryFilter(endpoint_id=endpoint.id)
    sent = await log.list_deliveries(gateway.engine, environment_id, of_it, Span(), DELIVERIES_SHOWN)
    running = await list_jobs(gateway.engine, environment_id, RUNNING, Span(), JOBS_LOOKED_AT)
    return page(
        request,
        "endpoint.html",
        endpoint=endpoint,
        name=endpoint_name(endpoint.id, endpoint.url, endpoint.description),
        why=why_endpoint_stands(_standing(endpoint, stats)),
        last_failure=_last_failure(endpoint, tried),
        stats=stats,
        bars=_bars(stats),
        tried=tried,
        strip=attempt_strip([_mark(attempt) for attempt in tried]),
        deliveries=sent.rows,
        jobs=[shown_job(job) for job in running.rows if job.endpoint_id == endpoint.id],
        receivers=receivers() if endpoint.signature == "hmac" else [],
        span=span,
        spans=list(SPANS),
        ms=milliseconds,
        span_text=span_text,
        types=list(EVENT_TYPES),
    )


@post("/endpoints/{endpoint_id:int}/pause")
async def pause_endpoint(request: AnyRequest, endpoint_id: FromPath[int]) -> Redirect:
    """Sends it nothing for now."""
    await endpoint_changes.change(request, endpoint_id, EndpointChange(active=False))
    return redirect(request, _path(endpoint_id), "The endpoint is paused; what comes for it is held.")


@post("/endpoints/{endpoint_id:int}/enable")
async def enable_endpoint(request: AnyRequest, endpoint_id: FromPath[int]) -> Redirect:
    """Sends to it again, with or without what was held."""
    enabled = await endpoint_changes.enable(request, endpoint_id, await read_form(request, Enable))
    held = f"; {enabled.cancelled} held deliveries were cancelled" if enabled.cancelled else ""
    return redirect(request, _path(endpoint_id), f"The endpoint is enabled{held}.")


@post("/endpoints/{endpoint_id:int}/test")
async def test_endpoint(request: AnyRequest, endpoint_id: FromPath[int]) -> Redirect:
    """A test event, and on to its delivery."""
    event_id = await endpoint_changes.send_test(request, endpoint_id)
    engine, environment_id = gateway_of(request).engine, principal_of(request).environment_id
    event = await log.get_event(engine, environment_id, known_id(EVENT, event_id, "event"))
    delivery = event.deliveries[0] if event and event.deliveries else None
    path = f"/deliveries/{delivery.id}" if delivery else _path(endpoint_id)
    return redirect(request, path, "A test event is on its way.")


@get("/endpoints/{endpoint_id:int}/delete")
async def show_deletion(request: AnyRequest, endpoint_id: FromPath[int]) -> Template:
    """What would be lost with it, and the form that deletes it."""
    endpoint = await found_endpoint(request, endpoint_id)
    queues = await read_queues(gateway_of(request).engine, principal_of(request).environment_id, QUEUED_COUNTED_MAX)
    name = endpoint_name(endpoint.id, endpoint.url, endpoint.description)
    queue = queues.get(endpoint.id, NOTHING_OWED)
    return page(request, "endpoint_delete.html", endpoint=endpoint, name=name, owed=sum(msgspec.structs.astuple(queue)))


@post("/endpoints/{endpoint_id:int}/delete")
async def delete_endpoint(request: AnyRequest, endpoint_id: FromPath[int]) -> Redirect:
    """Takes it away."""
    await endpoint_changes.remove(request, endpoint_id)
    return redirect(request, "/endpoints", "The endpoint is deleted; what it got stays in the log.")


ENDPOINTS = [
    show_endpoints,
    show_endpoint,
    pause_endpoint,
    enable_endpoint,
    test_endpoint,
    show_deletion,
    delete_endpoint,
]


def _path(endpoint_id: int) -> str:
    return f"/endpoints/{endpoint_id}"


def _standing(endpoint: ShownEndpoint, stats: EndpointStats) -> Standing:
    return Standing(
        state=endpoint.state,
        failures=endpoint.failures,
        disabled_reason=endpoint.disabled_reason,
        held=stats.queue.held,
        pending=stats.queue.pending + stats.queue.queued,
        waits=endpoint.resumes_at is not None,
    )


def _last_failure(endpoint: ShownEndpoint, tried: Sequence[Tried]) -> Explained | None:
    """What the last failed attempt came to, where the endpoint is in trouble."""
    if endpoint.state not in ("failing", "disabled"):
        return None
    failed = [attempt for attempt in tried if not _is_delivered(attempt)]
    return why_attempt_ended(failed[-1].status_code, failed[-1].error_kind, failed[-1].error) if failed else None


def _is_delivered(attempt: Tried) -> bool:
    return attempt.status_code is not None and attempt.status_code // 100 == 2


def _mark(attempt: Tried) -> Mark:
    delivered = _is_delivered(attempt)
    ended = f"delivered, {attempt.status_code}" if delivered else f"failed, {attempt.status_code or attempt.error}"
    started, spent = moment(attempt.started_at), milliseconds(attempt.duration_ms)
    return Mark(delivered, f"{started} attempt {attempt.number}: {ended} in {spent}")


def _bars(stats: EndpointStats) -> str:
    bars = list[Bar]()
    for bucket in stats.buckets:
        made = sum(bucket.outbound.attempts.values())
        bars.append(Bar(moment(bucket.at), [bucket.outbound.delivered, made - bucket.outbound.delivered]))
    return stacked_bars(bars, ["good", "bad"], f"Attempts by {stats.bucket}: delivered, and failed on top of them")
