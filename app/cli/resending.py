"""`mailweir replay` and `mailweir recover`: sending again, one event or many."""

from typing import Any

import rich_click as click
from click import argument, option

from app.cli.client import Client, with_client
from app.cli.events import FILTERS
from app.cli.jobs import job_options, run_job
from app.cli.listing import SPAN, options
from app.cli.output import show_one


@click.command()
@argument("event_id", required=False)
@options(FILTERS)
@option("--endpoint", "endpoint_id", type=int, help="Only to this endpoint, whether it asks for such events or not.")
@job_options
@with_client
def replay(
    client: Client, event_id: str | None, endpoint_id: int | None, dry_run: bool, detach: bool, **wanted: Any
) -> None:
    """Send EVENT_ID again, with the same id; without one, every event that the options describe, as a job.

    It goes to all endpoints that ask for such events now, or to one.

    \b
    Examples:
        mailweir replay evt_…
        mailweir replay evt_… --endpoint 1
        mailweir replay --type bounce --since 2026-03-03T00:00:00Z --dry-run
    """
    to = {} if endpoint_id is None else {"endpoint_id": endpoint_id}
    if event_id is None:
        run_job(client, "/api/events/replay", {**wanted, **to, "dry_run": dry_run}, detach=detach)
    elif dry_run or detach or any(value is not None for value in wanted.values()):
        raise click.UsageError("give an event or options that describe many, not both")
    else:
        show_one(client.post(f"/api/events/{event_id}/replay", to))


@click.command()
@argument("endpoint_id", type=int, metavar="ENDPOINT")
@option("--since", required=True, help=SPAN["since"])
@option("--until", help=SPAN["until"])
@option(
    "--status", type=click.Choice(["failed", "missing"]), help="missing: it never had a delivery; failed unless given."
)
@job_options
@with_client
def recover(client: Client, endpoint_id: int, detach: bool, **wanted: Any) -> None:
    """Send an endpoint again what failed, or what it asks for and never got, as a job.

    \b
    Examples:
        mailweir recover 1 --since 2026-03-03T00:00:00Z
        mailweir recover 1 --since 2026-03-03T00:00:00Z --status missing --dry-run
    """
    run_job(client, f"/api/webhooks/manage/{endpoint_id}/recover", wanted, detach=detach)
