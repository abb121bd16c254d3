"""`mailweir events` and `mailweir replay`: what came in, and sending it again."""

import rich_click as click
from click import argument, option

from app.cli.client import Client, with_client
from app.cli.listing import SPAN, filters
from app.cli.output import show_list, show_one

_PATH = "/api/events"
_COLUMNS = {"Id": "id", "Type": "type", "Recipient": "recipient", "Source": "source", "Happened": "occurred_at"}
_FILTERS = {
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
@filters(_FILTERS)
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


@click.command()
@argument("event_id")
@option("--endpoint", "endpoint_id", type=int, help="Only to this endpoint, whether it asks for such events or not.")
@with_client
def replay(client: Client, event_id: str, endpoint_id: int | None) -> None:
    """Send an event again, with the same id: to all endpoints that ask for such events now, or to one.

    \b
    Examples:
        mailweir replay evt_…
        mailweir replay evt_… --endpoint 1
    """
    show_one(client.post(f"{_PATH}/{event_id}/replay", {} if endpoint_id is None else {"endpoint_id": endpoint_id}))
