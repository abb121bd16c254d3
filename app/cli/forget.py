"""`mailweir forget`: a recipient who asks for it is taken out of what is stored."""

from typing import Any

import rich_click as click
from click import argument, option

from app.cli.client import Client, with_client
from app.cli.output import show_one

_PATH = "/api/recipients/forget"
_COUNTED = ("receipts", "events", "deliveries", "attempts", "drift", "jobs")


@click.command()
@argument("address")
@option("--dry-run", is_flag=True, help="Count what would be changed, and change nothing.")
@with_client
def forget(client: Client, address: str, dry_run: bool) -> None:
    """Take ADDRESS out of receipts, events and attempts, for good. It needs a key with the role admin.

    Events about it stay to be counted, with their type, time, provider and ids; who it was, and all that tells more, is
    gone. What subscribers had not been told yet is cancelled. A provider that repeats such an event brings nothing
    back; one that reports something new does.

    \b
    Examples:
        mailweir forget ann@example.com --dry-run
        mailweir forget ann@example.com
    """
    totals = dict.fromkeys(_COUNTED, 0)
    body: dict[str, Any] = {"address": address, "dry_run": dry_run}
    while True:
        done = client.post(_PATH, body)
        totals = {name: total + done[name] for name, total in totals.items()}
        if done["next_cursor"] is None:
            return show_one({**totals, "dry_run": dry_run})
        body["cursor"] = done["next_cursor"]
