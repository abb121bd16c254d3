"""`mailweir messages` and `mailweir recipients`: what happened to one message, or to one address."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import rich_click as click
from click import argument, option

from app.cli.client import Client, with_client
from app.cli.listing import PAGE_ROWS_MAX, ROWS_DEFAULT
from app.cli.output import show_json, show_list, show_one, wants_json

_COLUMNS = {
    "Happened": "event.occurred_at",
    "Type": "event.type",
    "Recipient": "event.recipient",
    "Source": "event.source",
    "Late": "late",
    "Deliveries": "deliveries",
}

limit_option = option(
    "--limit",
    type=click.IntRange(1, PAGE_ROWS_MAX),
    default=ROWS_DEFAULT,
    show_default=True,
    help="The most events, of those that arrived last.",
)


@click.command()
@argument("message_id")
@limit_option
@with_client
def messages(client: Client, message_id: str, limit: int) -> None:
    """Show the state of a message and what happened to it, at whichever provider, oldest first.

    MESSAGE_ID is the provider's id of the message, or its Message-ID.

    \b
    Examples:
        mailweir messages 1eab7cf67b4834e0
        mailweir messages 1eab7cf67b4834e0 --json | jq .state
    """
    _show(client.get(f"/api/messages/{quote(message_id.strip('<>'), safe='')}", {"limit": limit}))


@click.command()
@argument("address")
@limit_option
@with_client
def recipients(client: Client, address: str, limit: int) -> None:
    """Show whether to write to an address, and what happened to what was written to it, oldest first.

    \b
    Examples:
        mailweir recipients ann@example.com
        mailweir recipients ann@example.com --json | jq .send
    """
    _show(client.get(f"/api/recipients/{quote(address, safe='')}", {"limit": limit}))


def _show(timeline: Mapping[str, Any]) -> None:
    """In JSON whole; for people what follows, then what happened."""
    if wants_json():
        show_json(timeline)
        return
    show_one({name: value for name, value in timeline.items() if name not in ("events", "next_cursor")})
    rows = [
        {**one, "deliveries": [f"{sent['endpoint_id']}: {sent['status']}" for sent in one["deliveries"]]}
        for one in timeline["events"]
    ]
    show_list(rows, _COLUMNS, empty="Nothing is known of it.")
