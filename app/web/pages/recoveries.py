"""Sending again what an endpoint did not get: the preview, the job, and how far it is."""

from datetime import datetime, timedelta
from typing import Literal

import msgspec
from litestar import get, post
from litestar.params import FromPath
from litestar.response import Redirect, Template
from msgspec import UNSET, UnsetType

from app.store.jobs import list_jobs
from app.store.log import Span
from app.web import endpoint_changes
from app.web.context import gateway_of, principal_of
from app.web.endpoint_answers import found_endpoint
from app.web.endpoint_changes import Recover
from app.web.jobs import shown_job
from app.web.pages.forms import Given, read_filters, read_form
from app.web.pages.rendering import page, redirect
from app.web.pages.standings import endpoint_name
from app.web.paging import Moment
from app.web.problems import AnyRequest

JOBS_LOOKED_AT, JOBS_SHOWN = 50, 5
SINCE_DEFAULT = timedelta(days=1)
What = Literal["failed", "missing"]


class RecoveryQuery(msgspec.Struct):
    """What is to be counted."""

    since: Moment | UnsetType = UNSET
    status: What = "failed"


class RecoveryForm(msgspec.Struct):
    """What is to be sent again."""

    since: Moment
    status: What


@get("/endpoints/{endpoint_id:int}/recover")
async def show_recovery(request: AnyRequest, endpoint_id: FromPath[int]) -> Template:
    """The form; with a time in the URL the number of deliveries that it would be, and the jobs of the endpoint."""
    query, endpoint = read_filters(request, RecoveryQuery), await found_endpoint(request, endpoint_id)
    gateway, environment_id = gateway_of(request), principal_of(request).environment_id
    preview = None
    if query.since is not UNSET and endpoint.active:
        wanted = Recover(since=query.since, status=query.status, dry_run=True)
        preview = await endpoint_changes.recover(request, endpoint_id, wanted)
    found = await list_jobs(gateway.engine, environment_id, None, Span(), JOBS_LOOKED_AT)
    return page(
        request,
        "endpoint_recover.html",
        endpoint=endpoint,
        name=endpoint_name(endpoint.id, endpoint.url, endpoint.description),
        given=Given(request),
        since=_field(query.since or gateway.clock.now() - SINCE_DEFAULT),
        wanted=query.status,
        preview=preview,
        jobs=[shown_job(job) for job in found.rows if job.endpoint_id == endpoint.id][:JOBS_SHOWN],
    )


@post("/endpoints/{endpoint_id:int}/recover")
async def recover_endpoint(request: AnyRequest, endpoint_id: FromPath[int]) -> Redirect:
    """Begins the job."""
    form = await read_form(request, RecoveryForm)
    await endpoint_changes.recover(request, endpoint_id, Recover(since=form.since, status=form.status))
    return redirect(request, f"/endpoints/{endpoint_id}/recover", "The job has begun; this page shows how far it is.")


RECOVERIES = [show_recovery, recover_endpoint]


def _field(moment: datetime) -> str:
    """As a browser's own field for times takes it."""
    return moment.strftime("%Y-%m-%dT%H:%M")
