"""`mailweir events`: what came in."""

import rich_click as click
from click import argument

from app.cli.client import Client, with_client
from app.cli.listing import SPAN, filters
from app.cli.output import show_list, show_one

_PATH = "/api/events"
_COLUMNS = {"Id": "id", "Type": "type", "Recipient": "recipient", "Source": "source", "Happened": "occurred_at"}
FILTERS = {
    "type": "bounce, click, email.bounced, …",
    "provider": "The provider: sendgrid.",
    "source": "The source's name.",
    "recipient": "The address.",
    "email_id": "The provider's id of the message.",
    "q": "A part of recipient, message id or type.",
    **SPAN,
}


@click.group()
def events() -> None:
    """Search the events that came in.

    \b
    Examples:
        mailweir events list --type bounce --since 2026-03-03T00:00:00Z
        mailweir events list --recipient ann@example.com --json | jq .id
        mailweir events show evt_…
    """


@events.command("list")
@filters(FILTERS)
@with_client
def list_events(client: Client, limit: int, **query: str | None) -> None:
    """List events, newest first."""
    show_list(client.pages(_PATH, query, limit), _COLUMNS, empty="No such event.")


@events.command("show")
@argument("event_id")
@with_client
def show_event(client: Client, event_id: str) -> None:
    """Show an event as subscribers get it, where it came from and where it went."""
    show_one(client.get(f"{_PATH}/{event_id}"))
