"""`mailweir jobs`: many deliveries that are sent again, and what the verbs that begin such a job have in common."""

import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import rich_click as click
from click import argument, option
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from app.cli.client import Client, with_client
from app.cli.errors import GatewayRefused
from app.cli.listing import filters
from app.cli.output import say, show_list, show_one, wants_json

POLL_S = 0.5

_PATH = "/api/jobs"
_COLUMNS = {
    "Id": "id",
    "Kind": "kind",
    "Endpoint": "endpoint_id",
    "State": "state",
    "Done": "done",
    "Of": "total",
    "Begun": "created_at",
    "Error": "error",
}

AnyFunction = TypeVar("AnyFunction", bound=Callable[..., Any])


@click.group()
def jobs() -> None:
    """See how far replays and recoveries are, and cancel them.

    \b
    Examples:
        mailweir jobs list --state running
        mailweir jobs show job_…
        mailweir jobs cancel job_…
    """


@jobs.command("list")
@filters({"state": "running, done, cancelled or failed."})
@with_client
def list_jobs(client: Client, limit: int, **query: str | None) -> None:
    """List the jobs, newest first."""
    show_list(client.pages(_PATH, query, limit), _COLUMNS, empty="No such job.")


@jobs.command("show")
@argument("job_id")
@with_client
def show_job(client: Client, job_id: str) -> None:
    """Show how far a job is."""
    show_one(client.get(f"{_PATH}/{job_id}"))


@jobs.command("cancel")
@argument("job_id")
@with_client
def cancel_job(client: Client, job_id: str) -> None:
    """End a job where it stands; what is due already is sent."""
    show_one(client.post(f"{_PATH}/{job_id}/cancel"))


def job_options(verb: AnyFunction) -> AnyFunction:
    """Gives a verb the options of every job: dry_run, per_second and detach are keyword arguments of it."""
    for give in (
        option("--detach", is_flag=True, help="Do not wait until the job has ended."),
        option("--per-second", type=float, help="How many deliveries are made due in a second; 500 unless given."),
        option("--dry-run", is_flag=True, help="Only tell how many deliveries it would be."),
    ):
        verb = give(verb)
    return verb


def run_job(client: Client, path: str, wanted: Mapping[str, Any], *, detach: bool) -> None:
    """Begins a job, shows how it gets on, and at the end the job. Raises GatewayRefused when it fails."""
    job = client.post(path, {name: value for name, value in wanted.items() if value is not None})
    if job["state"] == "running" and not detach:
        job = _followed(client, job)
    show_one(job)
    if job["state"] == "failed":
        raise GatewayRefused(f"the job failed: {job['error']}")


def _followed(client: Client, job: dict[str, Any]) -> dict[str, Any]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    try:
        with Progress(*columns, disable=wants_json()) as progress:
            task = progress.add_task(job["id"], total=job["total"])
            while job["state"] == "running":
                time.sleep(POLL_S)
                job = client.get(f"{_PATH}/{job['id']}")
                progress.update(task, completed=job["done"], total=max(job["total"], job["done"]))
    except KeyboardInterrupt:
        say(f"The job goes on; `mailweir jobs cancel {job['id']}` ends it.")
        raise
    return job
