"""`mailweir endpoints`: the subscribers."""

from collections.abc import Sequence
from typing import Any

import rich_click as click
from click import argument, option

from app.cli.client import Client, with_client
from app.cli.given import given_texts
from app.cli.output import say, show_list, show_one

_PATH = "/api/webhooks/manage"
_COLUMNS = {"Id": "id", "URL": "url", "Events": "events", "State": "state", "Why not": "disabled_reason"}

_TRIED = {"Event": "id", "Type": "type", "Matched": "matched", "Result": "result", "Error": "error"}


@click.group()
def endpoints() -> None:
    """List, add, test and remove subscribers.

    \b
    Examples:
        mailweir endpoints list
        mailweir endpoints add https://example.com/hook bounce,complaint
        mailweir endpoints test 1
    """


@endpoints.command("list")
@with_client
def list_endpoints(client: Client) -> None:
    """List the endpoints."""
    rows = client.get(_PATH)["webhooks"]
    show_list(rows, _COLUMNS, empty="There is no endpoint yet; `mailweir endpoints add --help` tells how.")


@endpoints.command("show")
@argument("endpoint_id", type=int)
@with_client
def show_endpoint(client: Client, endpoint_id: int) -> None:
    """Show one endpoint; its secret was shown when it was added."""
    show_one(client.get(f"{_PATH}/{endpoint_id}"))


@endpoints.command("add")
@argument("url")
@argument("events")
@option("--secret", metavar="TEXT", help="The shared secret that signs; generated unless given.")
@option("--description", metavar="TEXT", help="What it is for.")
@option("--filter", "filter_", metavar="JMESPATH", help="Deliver an event when this is true of it.")
@option("--transform", metavar="JMESPATH", help="What to send in place of the event.")
@option("--header", "headers", multiple=True, metavar="NAME=VALUE", help="Sent along with every delivery.")
@option("--signature", type=click.Choice(["hmac", "ed25519"]), help="How deliveries are signed; hmac unless given.")
@option("--max-in-flight", type=int, help="The most deliveries at once.")
@option("--rate-limit-per-s", type=float, help="The most deliveries a second.")
@option("--timeout-s", type=float, help="How long it may take to answer.")
@option("--retry-schedule-s", metavar="S,S,…", help="The waits between attempts, in seconds: 5,60,600.")
@option("--retry-max-age-s", type=float, help="No attempt later than this after the first, in seconds.")
@option("--retry-on", metavar="WHAT,WHAT,…", help="What alone is tried again: 5xx,429,timeout,connection.")
@option("--ordering", type=click.Choice(["none", "recipient"]), help="Whether one recipient's events keep their order.")
@option("--delivery", type=click.Choice(["single", "batch"]), help="One event in a request, or many.")
@option("--batch-max-events", type=int, help="The most events of a batch; 100 unless given.")
@option("--batch-max-wait-ms", type=int, help="How long an event waits for others, in milliseconds; 1000 unless given.")
@option("--inactive", is_flag=True, help="Add it without sending to it yet.")
@with_client
def add_endpoint(client: Client, url: str, events: str, **options: Any) -> None:
    """Add a subscriber: EVENTS (comma-separated, * for all) are posted to URL.

    The answer shows the secret that signs, this once.

    \b
    Examples:
        mailweir endpoints add https://example.com/hook 'open,click,bounce'
        mailweir endpoints add https://example.com/hook '*' --filter "data.provider.source == 'prod'"
        mailweir endpoints add https://example.com/hook bounce --header X-Tenant=blue
    """
    show_one(client.post(_PATH, {"url": url, "events": events, **_given(**options)}))


@endpoints.command("pause")
@argument("endpoint_id", type=int)
@with_client
def pause_endpoint(client: Client, endpoint_id: int) -> None:
    """Send nothing to an endpoint for now; what comes for it is held."""
    show_one(client.patch(f"{_PATH}/{endpoint_id}", {"active": False}))


@endpoints.command("enable")
@argument("endpoint_id", type=int)
@option("--drop-held", is_flag=True, help="Cancel what was held instead of sending it.")
@with_client
def enable_endpoint(client: Client, endpoint_id: int, drop_held: bool) -> None:
    """Send to an endpoint again; what was held for it is sent now."""
    show_one(client.post(f"{_PATH}/{endpoint_id}/enable", {"held": "drop" if drop_held else "send"}))


@endpoints.command("rotate-secret")
@argument("endpoint_id", type=int)
@option("--secret", metavar="TEXT", help="The new shared secret; generated unless given.")
@option("--overlap-s", type=int, help="How long the old ones sign along, in seconds; a day unless given.")
@with_client
def rotate_secret(client: Client, endpoint_id: int, **wanted: Any) -> None:
    """Give an endpoint a new secret; the old ones sign along for a while.

    The answer shows the new one, this once.

    \b
    Examples:
        mailweir endpoints rotate-secret 1
        mailweir endpoints rotate-secret 1 --overlap-s 0
    """
    given = {name: value for name, value in wanted.items() if value is not None}
    show_one(client.post(f"{_PATH}/{endpoint_id}/rotate-secret", given))


@endpoints.command("remove")
@argument("endpoint_id", type=int)
@with_client
def remove_endpoint(client: Client, endpoint_id: int) -> None:
    """Take an endpoint away; what it is still owed is cancelled."""
    client.delete(f"{_PATH}/{endpoint_id}")
    say(f"Endpoint {endpoint_id} is gone.")


@endpoints.command("test")
@argument("endpoint_id", type=int)
@with_client
def test_endpoint(client: Client, endpoint_id: int) -> None:
    """Send an endpoint a webhook.test event; `mailweir events show` tells how it went."""
    show_one(client.post(f"{_PATH}/{endpoint_id}/test"))


@endpoints.command("try")
@argument("endpoint_id", type=int)
@option("--filter", "filter_", metavar="JMESPATH", help="Instead of the endpoint's own.")
@option("--transform", metavar="JMESPATH", help="Instead of the endpoint's own.")
@option("--event", "event_id", metavar="ID", help="An event; the last 20 that it subscribes to unless given.")
@with_client
def try_shaping(client: Client, endpoint_id: int, filter_: str | None, **wanted: Any) -> None:
    """Try a filter and a transform on stored events; nothing is sent.

    \b
    Examples:
        mailweir endpoints try 1 --filter "data.bounce.class == 'hard'"
        mailweir endpoints try 1 --transform "{text: template('{0}: {1}', type, data.recipient)}"
    """
    given = {name: value for name, value in {"filter": filter_, **wanted}.items() if value is not None}
    tried = client.post(f"{_PATH}/{endpoint_id}/try", given)
    show_list(tried["events"], _TRIED, empty="There is no such event yet.")
    say(f"{tried['matched']} of {tried['tried']} would be delivered.")


def _given(
    *,
    filter_: str | None,
    headers: Sequence[str],
    retry_schedule_s: str | None,
    retry_on: str | None,
    inactive: bool,
    **rest: Any,
) -> dict[str, Any]:
    """The options that were given, as the API takes them."""
    wanted = {
        **rest,
        "filter": filter_,
        "headers": given_texts(headers) or None,
        "retry_schedule_s": None if retry_schedule_s is None else _waits(retry_schedule_s),
        "retry_on": None if retry_on is None else _retried(retry_on),
        "active": False if inactive else None,
    }
    return {name: value for name, value in wanted.items() if value is not None}


def _retried(text: str) -> list[int | str]:
    words = [word.strip() for word in text.split(",") if word.strip()]
    return [int(word) if word.isdecimal() else word for word in words]


def _waits(text: str) -> list[float]:
    try:
        return [float(wait) for wait in text.split(",") if wait.strip()]
    except ValueError as error:
        raise click.BadParameter(f"--retry-schedule-s: '{text}' is not a list of seconds such as 5,60,600") from error
