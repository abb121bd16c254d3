"""`mailweir tail`: the events as they come in."""

from contextlib import suppress
from itertools import islice

import msgspec
import rich_click as click
from click import option

from app.cli.client import Client, with_client
from app.cli.events import FILTERS
from app.cli.following import follow
from app.cli.listing import SPAN, options
from app.cli.output import Rows

LIVE_FILTERS = {name: meaning for name, meaning in FILTERS.items() if name not in SPAN} | {
    "after": "Begin with what came after this event: evt_…; else with what comes from now on."
}
_COLUMNS = {
    "Happened": ("timestamp", 24),
    "Type": ("type", 17),
    "Recipient": ("data.recipient", 32),
    "Source": ("data.provider.source", 16),
    "Id": ("id", 19),
}


@click.command()
@options(LIVE_FILTERS)
@option("--limit", type=click.IntRange(min=1), help="End after so many.")
@with_client
def tail(client: Client, limit: int | None, **query: str | None) -> None:
    """Show the events as they come in, until Ctrl+C; in a pipe as JSON Lines, as subscribers receive them.

    When the connection breaks, or the gateway starts anew, it goes on where it was.

    \b
    Examples:
        mailweir tail
        mailweir tail --type bounce --source prod
        mailweir tail | jq -r '.data.recipient'
        mailweir tail --after evt_… --limit 100
    """
    rows = Rows(_COLUMNS)
    with suppress(KeyboardInterrupt):
        for event in islice(follow(client, query), limit):
            rows.show(msgspec.json.decode(event.body), msgspec.Raw(event.body))
