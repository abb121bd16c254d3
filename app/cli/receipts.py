"""`mailweir receipts`: provider requests as they arrived."""

from typing import Any

import rich_click as click
from click import argument, option

from app.cli.client import Client, with_client
from app.cli.listing import SPAN, filters
from app.cli.output import show_list, show_one

_PATH = "/api/receipts"
_COLUMNS = {"Id": "id", "Source": "source", "Status": "status", "Received": "received_at", "Reason": "reason"}
_FILTERS = {
    "status": "accepted, duplicate, quarantined or rejected.",
    "source": "The source's name.",
    **SPAN,
}


@click.group()
def receipts() -> None:
    """See raw provider requests, and read them again.

    \b
    Examples:
        mailweir receipts list --status quarantined
        mailweir receipts show rcp_…
        mailweir receipts reprocess --source prod
    """


@receipts.command("list")
@filters(_FILTERS)
@with_client
def list_receipts(client: Client, limit: int, **query: str | None) -> None:
    """List receipts, newest first."""
    show_list(client.pages(_PATH, query, limit), _COLUMNS, empty="No such receipt.")


@receipts.command("show")
@argument("receipt_id")
@with_client
def show_receipt(client: Client, receipt_id: str) -> None:
    """Show a provider's request, what was quarantined and why, and the events that came of it."""
    show_one(client.get(f"{_PATH}/{receipt_id}"))


@receipts.command("reprocess")
@argument("receipt_id", required=False)
@option("--source", help="Of this source.")
@option("--since", help=SPAN["since"])
@option("--status", help="accepted, duplicate or quarantined; quarantined unless given.")
@with_client
def reprocess_receipts(client: Client, receipt_id: str | None, **wanted: str | None) -> None:
    """Read RECEIPT_ID again with the mapping of today; without one, every receipt that the options describe.

    What was an event before stays that event: nothing is sent twice.

    \b
    Examples:
        mailweir receipts reprocess rcp_…
        mailweir receipts reprocess --source prod --since 2026-03-03T00:00:00Z
    """
    given = {name: value for name, value in wanted.items() if value is not None}
    if receipt_id is None:
        show_one(_reprocess_all(client, given))
    elif given:
        raise click.UsageError("give a receipt or options that describe several, not both")
    else:
        show_one(client.post(f"{_PATH}/{receipt_id}/reprocess"))


def _reprocess_all(client: Client, wanted: dict[str, Any]) -> dict[str, int]:
    """What came of all of them, over as many calls as that takes."""
    totals = dict.fromkeys(("receipts", "events", "quarantined", "skipped"), 0)
    while True:
        done = client.post(f"{_PATH}/reprocess", wanted)
        totals = {name: total + done[name] for name, total in totals.items()}
        if done["next_cursor"] is None:
            return totals
        wanted = {**wanted, "cursor": done["next_cursor"]}
