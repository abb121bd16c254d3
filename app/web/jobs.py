"""Sending many deliveries again: the calls that begin a job, and `/api/jobs`."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec
from litestar import Router, get, post
from litestar.params import FromPath
from msgspec import UNSET, Meta, UnsetType

from app.bulk import PER_SECOND_DEFAULT, PER_SECOND_MAX, PER_SECOND_MIN, Impossible
from app.store import jobs
from app.store.endpoints import get_endpoint
from app.store.ids import JOB, public_id
from app.store.jobs import Job, Order
from app.store.log import EventFilter, FailedFilter
from app.store.tables import RECOVER_FAILED, REPLAY
from app.store.views import shown, shown_or_none
from app.web.context import ApiRequest, EndpointNumber, gateway_of, known_id, principal_of
from app.web.input import read_body, read_query
from app.web.paging import LogQuery, Text, Wanted, cursor_text
from app.web.problems import FieldError, Problem, invalid, not_found

PROPOSED = "proposed"

DryRun = Annotated[bool, Meta(description="Only tell how many deliveries it would be.")]
PerSecond = Annotated[
    float,
    Meta(ge=PER_SECOND_MIN, le=PER_SECOND_MAX, description="How many deliveries are made due in a second."),
]


class ReplayMany(Wanted, kw_only=True, forbid_unknown_fields=True):
    """Which events are to be sent again, and where to; nowhere named: to all that ask for such events now."""

    type: Text | UnsetType = UNSET
    provider: Text | UnsetType = UNSET
    source: Text | UnsetType = UNSET
    recipient: Text | UnsetType = UNSET
    email_id: Text | UnsetType = UNSET
    q: Text | UnsetType = UNSET
    endpoint_id: EndpointNumber | UnsetType = UNSET
    dry_run: DryRun = False
    per_second: PerSecond = PER_SECOND_DEFAULT


class RetryMany(Wanted, kw_only=True, forbid_unknown_fields=True):
    """Which failed deliveries are to be sent once more; of all active endpoints, unless one is named."""

    type: Text | UnsetType = UNSET
    status_code: Annotated[int, Meta(ge=100, le=599, description="Of the last attempt.")] | UnsetType = UNSET
    endpoint_id: EndpointNumber | UnsetType = UNSET
    dry_run: DryRun = False
    per_second: PerSecond = PER_SECOND_DEFAULT


class BulkJob(msgspec.Struct, kw_only=True):
    """Many deliveries that are sent again."""

    id: str | None
    """job_…; null in the answer to a dry run, which leaves nothing behind."""
    kind: str
    """replay, recover_failed or recover_missing."""
    state: str
    """proposed (a dry run), running, done, cancelled or failed."""
    total: int
    """The deliveries that there were to send when it began."""
    total_exact: bool
    """False where counting took too long, and there are at least so many."""
    done: int
    """Those that are due since; the log of deliveries tells what became of them."""
    filters: dict[str, Any]
    endpoint_id: int | None
    since: str | None
    until: str
    per_second: float
    error: str | None
    """Why it failed."""
    created_at: str | None
    updated_at: str | None
    finished_at: str | None


class JobQuery(LogQuery, kw_only=True, forbid_unknown_fields=True):
    """Which jobs."""

    state: Literal["running", "done", "cancelled", "failed"] | UnsetType = UNSET


class JobPage(msgspec.Struct):
    """Jobs, newest first."""

    data: Sequence[BulkJob]
    next_cursor: str | None


@post("/events/replay", operation_id="replayEvents", status_code=202, opt={"body": ReplayMany, "fails": [404]})
async def replay_events(request: ApiRequest) -> BulkJob:
    """Send many events again, with the same ids, as a job."""
    return await _begin_filtered(request, REPLAY, await read_body(request, ReplayMany), EventFilter)


@post("/deliveries/retry", operation_id="retryDeliveries", status_code=202, opt={"body": RetryMany, "fails": [404]})
async def retry_deliveries(request: ApiRequest) -> BulkJob:
    """Send many failed deliveries once more, as a job."""
    return await _begin_filtered(request, RECOVER_FAILED, await read_body(request, RetryMany), FailedFilter)


@get("/jobs", operation_id="listJobs", opt={"query": JobQuery})
async def list_jobs(request: ApiRequest) -> JobPage:
    """List the jobs, newest first."""
    query = read_query(request, JobQuery)
    environment_id = principal_of(request).environment_id
    page = await jobs.list_jobs(
        gateway_of(request).engine, environment_id, query.state or None, query.span(), query.limit
    )
    return JobPage([shown_job(job) for job in page.rows], cursor_text(page.next_cursor))


@get("/jobs/{job_id:str}", operation_id="getJob")
async def get_job(request: ApiRequest, job_id: FromPath[str]) -> BulkJob:
    """Show how far a job is."""
    number = known_id(JOB, job_id, "job")
    return _found(await jobs.get_job(gateway_of(request).engine, principal_of(request).environment_id, number), job_id)


@post("/jobs/{job_id:str}/cancel", operation_id="cancelJob", status_code=200)
async def cancel_job(request: ApiRequest, job_id: FromPath[str]) -> BulkJob:
    """End a job where it stands; what is due already is sent."""
    gateway, number = gateway_of(request), known_id(JOB, job_id, "job")
    environment_id = principal_of(request).environment_id
    return _found(await jobs.cancel_job(gateway.engine, environment_id, number, gateway.clock.now()), job_id)


JOBS = Router("/", route_handlers=[replay_events, retry_deliveries, list_jobs, get_job, cancel_job], tags=["Jobs"])


async def begin_job(request: ApiRequest, order: Order, *, dry_run: bool) -> BulkJob:
    """Begins a job, or tells what it would be. Raises Problem 409 where it cannot be, 422 for times out of order."""
    if order.since is not None and order.since > order.until:
        raise invalid([FieldError("since", "must lie before until, which is now unless given.")])
    gateway = gateway_of(request)
    try:
        if dry_run:
            return _proposed(order, *await gateway.plans.count(order))
        return shown_job(await gateway.bulk.order(order))
    except Impossible as reason:
        raise Problem(409, str(reason)) from reason


async def _begin_filtered(
    request: ApiRequest, kind: str, asked: ReplayMany | RetryMany, shape: type[msgspec.Struct]
) -> BulkJob:
    given = msgspec.structs.asdict(asked.wanted(shape))
    filters = {name: value for name, value in given.items() if value is not None}
    if not filters and (asked.since, asked.until, asked.endpoint_id) == (UNSET, UNSET, UNSET):
        raise invalid([FieldError("", "say which: give since, or a filter.")])
    endpoint_id = asked.endpoint_id or None
    await _check_endpoint(request, endpoint_id)
    order = Order(
        environment_id=principal_of(request).environment_id,
        kind=kind,
        filters=filters,
        endpoint_id=endpoint_id,
        since=asked.since or None,
        until=asked.until or gateway_of(request).clock.now(),
        per_second=asked.per_second,
    )
    return await begin_job(request, order, dry_run=asked.dry_run)


async def _check_endpoint(request: ApiRequest, endpoint_id: int | None) -> None:
    engine, environment_id = gateway_of(request).engine, principal_of(request).environment_id
    if endpoint_id is not None and await get_endpoint(engine, environment_id, endpoint_id) is None:
        raise not_found("endpoint", endpoint_id)


def _found(job: Job | None, job_id: str) -> BulkJob:
    if job is None:
        raise not_found("job", job_id)
    return shown_job(job)


def shown_job(job: Job) -> BulkJob:
    """A job as it is shown."""
    progress = {name: getattr(job, name) for name in ("state", "total", "total_exact", "done", "error")}
    return BulkJob(
        id=public_id(JOB, job.id),
        **_order(job),
        **progress,
        created_at=shown(job.created_at),
        updated_at=shown(job.updated_at),
        finished_at=shown_or_none(job.finished_at),
    )


def _proposed(order: Order, total: int, exact: bool) -> BulkJob:
    never = dict.fromkeys(("id", "error", "created_at", "updated_at", "finished_at"))
    return BulkJob(**never, **_order(order), state=PROPOSED, total=total, total_exact=exact, done=0)


def _order(order: Order) -> dict[str, Any]:
    same = {name: getattr(order, name) for name in ("kind", "filters", "endpoint_id", "per_second")}
    return same | {"since": shown_or_none(order.since), "until": shown(order.until)}
