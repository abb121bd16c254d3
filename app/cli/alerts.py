"""`mailweir alerts`: the rules that watch sources and endpoints."""

from collections.abc import Sequence
from typing import Any

import rich_click as click
from click import argument, option

from app.cli.client import Client, with_client
from app.cli.output import say, show_list, show_one

_PATH = "/api/alerts"
_COLUMNS = {"Id": "id", "Name": "name", "State": "state", "Active": "active", "Fires when": "rule"}


@click.group()
def alerts() -> None:
    """List, add, change and remove the rules that watch sources and endpoints.

    \b
    Examples:
        mailweir alerts list
        mailweir alerts add bounce_rate --name "Bounces of the shop" --source shop --threshold 0.03
        mailweir alerts change 3 --threshold 0.08
        mailweir alerts pause 3
    """


@alerts.command("list")
@option("--firing", is_flag=True, help="Only those that fire.")
@with_client
def list_alerts(client: Client, firing: bool) -> None:
    """List the rules and how it stands."""
    rows = [row for row in client.get(_PATH)["data"] if not firing or row["state"] == "firing"]
    show_list(rows, _COLUMNS, empty="Nothing fires." if firing else "There is no rule.")


@alerts.command("show")
@argument("alert_id", type=int)
@with_client
def show_alert(client: Client, alert_id: int) -> None:
    """Show one rule and what fires under it."""
    show_one(client.get(f"{_PATH}/{alert_id}"))


@alerts.command("add")
@argument("kind")
@option("--name", required=True, help="For people.")
@option("--source", help="The one source it is about; else each.")
@option("--endpoint", "endpoint_id", type=int, help="The one endpoint it is about; else each.")
@option("--threshold", type=float, help="A part of 1, a number, seconds or a factor: what the kind compares.")
@option("--window-s", type=int, help="Over how long it counts, in seconds.")
@option("--min-count", type=int, help="Fewer attempts or messages tell nothing.")
@option("--mail-to", multiple=True, metavar="ADDRESS", help="Who gets a mail; unless given, those in the settings.")
@with_client
def add_alert(client: Client, kind: str, mail_to: Sequence[str], **given: Any) -> None:
    """Add a rule of KIND.

    KIND is failure_rate or backlog_age of endpoints; bounce_rate, complaint_rate, rejected, quarantined or
    source_silent of sources. The other numbers are those of the kind, unless given.
    """
    body = {name: value for name, value in given.items() if value is not None}
    show_one(client.post(_PATH, {"kind": kind, **body, **({"mail_to": list(mail_to)} if mail_to else {})}))


@alerts.command("change")
@argument("alert_id", type=int)
@option("--name", help="For people.")
@option("--threshold", type=float, help="What the kind compares.")
@option("--window-s", type=int, help="Over how long it counts, in seconds.")
@option("--min-count", type=int, help="Fewer attempts or messages tell nothing.")
@option("--mail-to", multiple=True, metavar="ADDRESS", help="Who gets a mail.")
@with_client
def change_alert(client: Client, alert_id: int, mail_to: Sequence[str], **given: Any) -> None:
    """Change the numbers of a rule."""
    body = {name: value for name, value in given.items() if value is not None}
    show_one(client.patch(f"{_PATH}/{alert_id}", {**body, **({"mail_to": list(mail_to)} if mail_to else {})}))


@alerts.command("pause")
@argument("alert_id", type=int)
@with_client
def pause_alert(client: Client, alert_id: int) -> None:
    """Watch by a rule no more, until it is resumed."""
    show_one(client.patch(f"{_PATH}/{alert_id}", {"active": False}))


@alerts.command("resume")
@argument("alert_id", type=int)
@with_client
def resume_alert(client: Client, alert_id: int) -> None:
    """Watch by a rule again."""
    show_one(client.patch(f"{_PATH}/{alert_id}", {"active": True}))


@alerts.command("remove")
@argument("alert_id", type=int)
@with_client
def remove_alert(client: Client, alert_id: int) -> None:
    """Take a rule away."""
    client.delete(f"{_PATH}/{alert_id}")
    say(f"The rule {alert_id} is gone.")
