"""What happened in numbers: `/api/stats`, and the same of one source or endpoint."""

from datetime import datetime, timedelta
from math import ceil
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
from litestar import Router, get
from litestar.params import FromPath
from msgspec import UNSET, Meta, UnsetType

from adapters.events import iso_millis
from app.figures import EndpointFigures, SourceFigures, added_up, endpoint_figures, source_figures
from app.store import sources, stats
from app.store.rollups import ENDPOINT, HOUR_MS, MINUTE_MS, MINUTES_KEPT_MS, SOURCE
from app.store.stats import Counts, Queue
from app.store.views import shown_or_none
from app.web.context import ApiRequest, gateway_of, principal_of
from app.web.endpoint_answers import found_endpoint
from app.web.input import read_query
from app.web.paging import Moment
from app.web.problems import FieldError, invalid, not_found
from app.web.sources import NAME

BUCKETS_MAX = 750
BUCKETS_CHOSEN_MAX = 100
SPAN_DEFAULT = timedelta(hours=24)

BucketName = Literal["1m", "5m", "15m", "1h", "6h", "1d"]
BUCKETS: dict[BucketName, int] = {
    "1m": MINUTE_MS,
    "5m": 5 * MINUTE_MS,
    "15m": 15 * MINUTE_MS,
    "1h": HOUR_MS,
    "6h": 6 * HOUR_MS,
    "1d": 24 * HOUR_MS,
}


class StatsQuery(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Which time, and how finely."""

    since: Annotated[Moment, Meta(description="The last 24 hours unless given.")] | UnsetType = UNSET
    until: Moment | UnsetType = UNSET
    bucket: (
        Annotated[BucketName, Meta(description="Unless given, one that makes up to a hundred buckets.")] | UnsetType
    ) = UNSET


class StatsBucket(msgspec.Struct, frozen=True):
    """One bucket; `at` is its start."""

    at: str
    inbound: SourceFigures
    outbound: EndpointFigures


class SourceBucket(msgspec.Struct, frozen=True):
    """One bucket; `at` is its start."""

    at: str
    inbound: SourceFigures


class EndpointBucket(msgspec.Struct, frozen=True):
    """One bucket; `at` is its start."""

    at: str
    outbound: EndpointFigures


class _Stats(msgspec.Struct, frozen=True, kw_only=True):
    """From `since` until before `until`, in whole buckets."""

    since: str
    until: str
    bucket: BucketName


class Stats(_Stats, frozen=True, kw_only=True):
    """The environment in numbers."""

    inbound: SourceFigures
    outbound: EndpointFigures
    oldest_due_at: str | None
    """When the oldest delivery that is due now was due; None when none is."""
    buckets: list[StatsBucket]


class SourceStats(_Stats, frozen=True, kw_only=True):
    """A source in numbers."""

    source: str
    inbound: SourceFigures
    buckets: list[SourceBucket]


class EndpointStats(_Stats, frozen=True, kw_only=True):
    """An endpoint in numbers, and what it is owed now."""

    endpoint_id: int
    outbound: EndpointFigures
    queue: Queue
    oldest_due_at: str | None
    """When the oldest delivery that is due now was due; None when none is."""
    buckets: list[EndpointBucket]


class Stretch(NamedTuple):
    """Whole buckets; times are milliseconds since 1970."""

    since: int
    until: int
    bucket: BucketName

    @property
    def bucket_ms(self) -> int:
        return BUCKETS[self.bucket]

    def starts(self) -> range:
        """Of each bucket."""
        return range(self.since, self.until, self.bucket_ms)

    def fields(self) -> dict[str, Any]:
        """As the answers show it."""
        return {"since": iso_millis(self.since), "until": iso_millis(self.until), "bucket": self.bucket}


@get("/stats", operation_id="getStats", tags=["Statistics"], opt={"query": StatsQuery})
async def get_stats(request: ApiRequest) -> Stats:
    """Show what came in and what went out, in total and by the bucket."""
    environment_id, stretch = principal_of(request).environment_id, _stretch(request)
    came, went = await _counts(request, SOURCE, stretch), await _counts(request, ENDPOINT, stretch)
    due = await stats.oldest_due(gateway_of(request).engine, environment_id)
    return Stats(
        **stretch.fields(),
        inbound=source_figures(added_up(came)),
        outbound=endpoint_figures(added_up(went)),
        oldest_due_at=_if_due(request, min(due.values(), default=None)),
        buckets=[
            StatsBucket(iso_millis(at), source_figures(came.get(at, {})), endpoint_figures(went.get(at, {})))
            for at in stretch.starts()
        ],
    )


@get("/sources/{name:str}/stats", operation_id="getSourceStats", tags=["Sources"], opt={"query": StatsQuery})
async def get_source_stats(request: ApiRequest, name: FromPath[str]) -> SourceStats:
    """Show what came in through one source, in total and by the bucket."""
    environment_id = principal_of(request).environment_id
    number = (
        await sources.source_number(gateway_of(request).engine, environment_id, name) if NAME.fullmatch(name) else None
    )
    if number is None:
        raise not_found("source", name[:100])
    stretch = _stretch(request)
    came = await _counts(request, SOURCE, stretch, number)
    return SourceStats(
        **stretch.fields(),
        source=name,
        inbound=source_figures(added_up(came)),
        buckets=[SourceBucket(iso_millis(at), source_figures(came.get(at, {}))) for at in stretch.starts()],
    )


@get("/{endpoint_id:int}/stats", operation_id="getEndpointStats", opt={"query": StatsQuery})
async def get_endpoint_stats(request: ApiRequest, endpoint_id: FromPath[int]) -> EndpointStats:
    """Show what was sent to one endpoint, in total and by the bucket, and what it is owed now."""
    endpoint = await found_endpoint(request, endpoint_id)
    return await endpoint_stats(request, endpoint.id, _stretch(request))


async def endpoint_stats(request: ApiRequest, endpoint_id: int, stretch: Stretch) -> EndpointStats:
    """What was sent to an endpoint of the caller's environment, and what it is owed now."""
    engine = gateway_of(request).engine
    went = await _counts(request, ENDPOINT, stretch, endpoint_id)
    due = await stats.oldest_due(engine, principal_of(request).environment_id)
    return EndpointStats(
        **stretch.fields(),
        endpoint_id=endpoint_id,
        outbound=endpoint_figures(added_up(went)),
        queue=await stats.read_queue(engine, endpoint_id),
        oldest_due_at=_if_due(request, due.get(endpoint_id)),
        buckets=[EndpointBucket(iso_millis(at), endpoint_figures(went.get(at, {}))) for at in stretch.starts()],
    )


ENDPOINT_STATS = Router("/webhooks/manage", route_handlers=[get_endpoint_stats], tags=["Endpoints"])
STATS = [get_stats, get_source_stats, ENDPOINT_STATS]


async def _counts(request: ApiRequest, kind: str, stretch: Stretch, subject_id: int | None = None) -> dict[int, Counts]:
    found = await stats.counts_by_bucket(
        gateway_of(request).engine,
        principal_of(request).environment_id,
        kind,
        stretch.since,
        stretch.until,
        stretch.bucket_ms,
        subject_id,
    )
    return dict(found)


def _if_due(request: ApiRequest, due_at: datetime | None) -> str | None:
    return shown_or_none(due_at if due_at is not None and due_at <= gateway_of(request).clock.now() else None)


def _stretch(request: ApiRequest) -> Stretch:
    """What the query asks for, in whole buckets. Raises Problem 422."""
    return stretch_of(read_query(request, StatsQuery), gateway_of(request).clock.ms())


def stretch_of(query: StatsQuery, now: int) -> Stretch:
    """The same, where `now` is milliseconds since 1970. Raises Problem 422."""
    until = min(now, _ms(query.until)) if query.until else now
    since = max(0, _ms(query.since) if query.since else until - round(SPAN_DEFAULT.total_seconds() * 1000))
    if since >= until:
        raise invalid([FieldError("since", "must be in the past and before until.")])
    oldest_minute = now - MINUTES_KEPT_MS
    bucket = query.bucket or _fitting(until - since, hours_only=since < oldest_minute)
    size = BUCKETS[bucket]
    if size < HOUR_MS and since < oldest_minute:
        raise invalid([FieldError("bucket", "of what is older than 48 hours only whole hours are kept; use 1h.")])
    stretch = Stretch(since // size * size, ceil(until / size) * size, bucket)
    if len(stretch.starts()) > BUCKETS_MAX:
        raise invalid(
            [FieldError("bucket", f"that would be more than {BUCKETS_MAX}; ask for less time or larger ones.")]
        )
    return stretch


def _fitting(span_ms: int, *, hours_only: bool) -> BucketName:
    size_min = HOUR_MS if hours_only else MINUTE_MS
    for name, size in BUCKETS.items():
        if size >= size_min and span_ms <= BUCKETS_CHOSEN_MAX * size:
            return name
    return "1d"


def _ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)
