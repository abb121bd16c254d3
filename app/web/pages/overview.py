"""The first page: how it goes, what needs attention, and what comes in just now.

What it costs does not depend on how much the store holds: it reads roll-ups, ends of indexes, and counts up to limits.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from statistics import median
from typing import Annotated

import msgspec
from litestar import get, post
from litestar.response import Redirect, Template
from msgspec import Meta

from adapters.events import EVENT_TYPES, iso_millis
from app.figures import added_up, endpoint_figures, source_figures
from app.gateway import Gateway
from app.registry import Source
from app.store import drift, log, stats
from app.store.alerts import list_alerts, read_firing
from app.store.endpoints import list_endpoints
from app.store.health import WELL, unwell
from app.store.log import EventFilter, Span, failed_deliveries, odd_receipts
from app.store.rollups import ENDPOINT, SOURCE
from app.store.stats import Counts, Queue
from app.store.tables import QUARANTINED, REJECTED
from app.store.views import EventLine
from app.tallies import merged
from app.watching import KINDS
from app.web import endpoint_changes
from app.web.context import NUMBER_MAX, gateway_of, principal_of
from app.web.endpoint_answers import state_of
from app.web.endpoint_changes import Enable, Recover
from app.web.pages.attention import COUNTED_MAX, EndpointSeen, Fired, SourceSeen, attention
from app.web.pages.forms import read_filters, read_form
from app.web.pages.rendering import page, redirect
from app.web.pages.standings import endpoint_name
from app.web.pages.tiles import OUTCOMES, RANGES, Range, RangeName, longest_waits, outcome_chart, tiles
from app.web.problems import AnyRequest

EVENTS_SHOWN = 10
EVENTS_TIMED = 200
"""Of the last events it is told how long they were on their way."""
ROWS_SHOWN_MAX = 20
"""Of sources and of endpoints; their own pages list all."""
ODD_SINCE = timedelta(days=1)
FAILED_SINCE = timedelta(days=7)
TYPES_READ_MAX = 50
_EMPTY = Queue(pending=0, sending=0, held=0, queued=0)


class OverviewQuery(msgspec.Struct):
    """Which time the numbers are of."""

    range: RangeName = "24h"


class EndpointForm(msgspec.Struct):
    """Which endpoint something is done to."""

    endpoint_id: Annotated[int, Meta(ge=1, le=NUMBER_MAX)]


class Tallied(msgspec.Struct, frozen=True):
    """What was counted in the chosen time: by bucket, and by source or endpoint."""

    by_bucket: Mapping[int, Counts]
    by_subject: Mapping[int, Counts]


@get("/")
async def show_overview(request: AnyRequest) -> Template:
    """The overview, or the first steps where nothing has come in yet."""
    query = read_filters(request, OverviewQuery)
    gateway, environment_id = gateway_of(request), principal_of(request).environment_id
    chosen, now = RANGES[query.range], gateway.clock.now()
    await gateway.registry.reload()
    events = (await log.list_events(gateway.engine, environment_id, EventFilter(), Span(), EVENTS_TIMED)).rows
    came = await _tallied(gateway, environment_id, SOURCE, chosen)
    sources = await _sources(gateway, environment_id, came, events, now)
    went = await _tallied(gateway, environment_id, ENDPOINT, chosen)
    endpoints = await _endpoints(gateway, environment_id, went, now)
    last_events = events[:EVENTS_SHOWN]
    if not sources or not (events or any(source.heard_at for source in sources)):
        return page(request, "first_steps.html", sources=sources, endpoints=endpoints, events=last_events)
    due = await stats.oldest_due(gateway.engine, environment_id)
    oldest = min(due.values(), default=now)
    oldest_ms = (now - oldest).total_seconds() * 1000 if oldest < now else None
    return page(
        request,
        "overview.html",
        ranges=RANGES,
        range=query.range,
        chosen=chosen,
        tiles=tiles(came.by_bucket, went.by_bucket, chosen),
        chart=outcome_chart(went.by_bucket, chosen),
        outcomes=OUTCOMES,
        oldest_due_ms=oldest_ms,
        waits=longest_waits(went.by_bucket, chosen, oldest_ms or 0.0),
        waiting=sum(endpoint.waiting for endpoint in endpoints),
        lines=attention(sources, endpoints, await _fired(gateway, environment_id)),
        sources=sources[:ROWS_SHOWN_MAX],
        sources_in_all=len(sources),
        endpoints=endpoints[:ROWS_SHOWN_MAX],
        endpoints_in_all=len(endpoints),
        counted_max=COUNTED_MAX,
        events=last_events,
        types=list(EVENT_TYPES),
    )


@post("/attention/enable")
async def enable(request: AnyRequest) -> Redirect:
    """The endpoint is sent to again, what was held for it first."""
    form = await read_form(request, EndpointForm)
    await endpoint_changes.enable(request, form.endpoint_id, Enable())
    return redirect(request, "/", "It is sent to again, and what was held for it is on its way.")


@post("/attention/test")
async def try_endpoint(request: AnyRequest) -> Redirect:
    """A test event for the endpoint, at once even if it fails."""
    form = await read_form(request, EndpointForm)
    await endpoint_changes.send_test(request, form.endpoint_id)
    return redirect(request, "/", "A test event is on its way; its delivery shows what the endpoint answers.")


@post("/attention/recover")
async def recover(request: AnyRequest) -> Redirect:
    """What was given up of the last week, sent again as a job."""
    form, since = await read_form(request, EndpointForm), gateway_of(request).clock.now() - FAILED_SINCE
    job = await endpoint_changes.recover(request, form.endpoint_id, Recover(since=since))
    return redirect(request, "/", f"{job.total} {'delivery is' if job.total == 1 else 'deliveries are'} sent again.")


OVERVIEW = [show_overview, enable, try_endpoint, recover]


async def _tallied(gateway: Gateway, environment_id: int, kind: str, chosen: Range) -> Tallied:
    starts = chosen.starts(gateway.clock.ms())
    found = await gateway.tallies.read(environment_id, kind, starts)
    by_bucket = {start: added_up(found[start]) for start in starts}
    return Tallied(by_bucket, merged(list(found.values())))


async def _sources(
    gateway: Gateway, environment_id: int, came: Tallied, events: Sequence[EventLine], now: datetime
) -> list[SourceSeen]:
    """By name."""
    since = now - ODD_SINCE
    heard = await stats.last_heard(gateway.engine, environment_id)
    rejected = await odd_receipts(gateway.engine, environment_id, REJECTED, since)
    quarantined = await odd_receipts(gateway.engine, environment_id, QUARANTINED, since)
    types = await drift.recent_types(gateway.engine, environment_id, since, TYPES_READ_MAX)
    own = [source for source in gateway.registry.sources() if source.environment_id == environment_id]
    return [
        SourceSeen(
            name=source.name,
            provider=source.provider,
            trouble=_trouble(source),
            heard_at=iso_millis(min(heard[source.id], gateway.clock.ms())) if source.id in heard else None,
            figures=source_figures(came.by_subject.get(source.id, {})),
            rejected=rejected.get(source.id, 0),
            quarantined=quarantined.get(source.id, 0),
            types=[name for name in types.get(source.id, []) if source.adapter and not source.adapter.names_type(name)],
            lag_s=_lag_s(source.name, events),
        )
        for source in sorted(own, key=lambda source: source.name)
    ]


def _trouble(source: Source) -> str | None:
    return source.trouble or (None if source.adapter else f"the mapping {source.provider} is gone")


def _lag_s(source: str, events: Sequence[EventLine]) -> float | None:
    lags = [
        (datetime.fromisoformat(event.received_at) - datetime.fromisoformat(event.occurred_at)).total_seconds()
        for event in events
        if event.source == source
    ]
    return max(0.0, median(lags)) if lags else None


async def _endpoints(gateway: Gateway, environment_id: int, went: Tallied, now: datetime) -> list[EndpointSeen]:
    """Those that are not well first."""
    engine = gateway.engine
    health = await unwell(engine)
    queues = await stats.read_queues(engine, environment_id, COUNTED_MAX)
    failed = await failed_deliveries(engine, environment_id, now - FAILED_SINCE)
    seen = [
        EndpointSeen(
            id=endpoint.id,
            name=endpoint_name(endpoint.id, endpoint.url, endpoint.description),
            url=endpoint.url,
            state=state_of(endpoint, fares),
            failures=fares.failures,
            reason=endpoint.disabled_reason or fares.reason,
            figures=endpoint_figures(went.by_subject.get(endpoint.id, {})),
            queue=queues.get(endpoint.id, _EMPTY),
            failed=failed.get(endpoint.id, 0),
        )
        for endpoint in await list_endpoints(engine, environment_id)
        for fares in [health.get(endpoint.id, WELL)]
    ]
    return sorted(seen, key=lambda endpoint: endpoint.state == "healthy")


async def _fired(gateway: Gateway, environment_id: int) -> list[Fired]:
    firing = await read_firing(gateway.engine, environment_id)
    if not firing:
        return []
    rules = {rule.id: rule for rule in await list_alerts(gateway.engine, environment_id)}
    names = {source.id: source.name for source in gateway.registry.sources()}

    def path(kind: str, subject_id: int) -> str:
        if KINDS[kind].of == ENDPOINT:
            return f"/endpoints/{subject_id}"
        return f"/sources/{names[subject_id]}" if subject_id in names else "/alerts"

    return [
        Fired(rules[alert_id].name, state, path(rules[alert_id].kind, subject_id))
        for (alert_id, subject_id), state in firing.items()
        if alert_id in rules
    ]
