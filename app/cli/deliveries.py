"""`mailweir deliveries`: what was sent to whom."""

from typing import Any

import rich_click as click
from click import argument, option

from app.cli.client import Client, with_client
from app.cli.jobs import job_options, run_job
from app.cli.listing import SPAN, filters, options
from app.cli.output import show_list, show_one

_PATH = "/api/deliveries"
_COLUMNS = {
    "Id": "id",
    "Type": "type",
    "Endpoint": "endpoint_id",
    "Status": "status",
    "Attempts": "attempts",
    "Answer": "status_code",
    "Error": "error",
    "Next attempt": "next_attempt_at",
}
_FILTERS = {
    "status": "pending, queued, sending, delivered, failed, held or cancelled.",
    "status_code": "The HTTP status of the last attempt.",
    "endpoint_id": "The endpoint's number.",
    "type": "bounce, click, email.bounced, …",
    **SPAN,
}


@click.group()
def deliveries() -> None:
    """See what was sent to whom, and send it again.

    \b
    Examples:
        mailweir deliveries list --status failed
        mailweir deliveries show dlv_…
        mailweir deliveries retry dlv_…
    """


@deliveries.command("list")
@filters(_FILTERS)
@with_client
def list_deliveries(client: Client, limit: int, **query: str | None) -> None:
    """List deliveries, newest first."""
    show_list(client.pages(_PATH, query, limit), _COLUMNS, empty="No such delivery.")


@deliveries.command("show")
@argument("delivery_id")
@with_client
def show_delivery(client: Client, delivery_id: str) -> None:
    """Show a delivery with every attempt: requests, answers, timing."""
    show_one(client.get(f"{_PATH}/{delivery_id}"))


@deliveries.command("retry")
@argument("delivery_id", required=False)
@option("--endpoint-id", type=int, help=_FILTERS["endpoint_id"])
@option("--status-code", type=int, help=_FILTERS["status_code"])
@options({"type": _FILTERS["type"], **SPAN})
@job_options
@with_client
def retry_delivery(client: Client, delivery_id: str | None, dry_run: bool, detach: bool, **wanted: Any) -> None:
    """Send DELIVERY_ID once more, whatever became of it; without one, all that failed and the options describe.

    \b
    Examples:
        mailweir deliveries retry dlv_…
        mailweir deliveries retry --status-code 503 --since 2026-03-03T00:00:00Z
    """
    if delivery_id is None:
        run_job(client, f"{_PATH}/retry", {**wanted, "dry_run": dry_run}, detach=detach)
    elif dry_run or detach or any(value is not None for value in wanted.values()):
        raise click.UsageError("give a delivery or options that describe many, not both")
    else:
        show_one(client.post(f"{_PATH}/{delivery_id}/retry"))
