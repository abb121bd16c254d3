"""`mailweir listen`: the live events posted to a program on this machine, signed as the gateway would sign them."""

from contextlib import suppress
from itertools import islice

import rich_click as click
from click import option

from app.cli.client import Client, with_client
from app.cli.following import follow
from app.cli.listing import options
from app.cli.output import Rows, say
from app.cli.tail import LIVE_FILTERS

_COLUMNS = {
    "Type": ("type", 17),
    "Recipient": ("recipient", 32),
    "Status": ("status", 6),
    "ms": ("duration_ms", 7),
    "Id": ("id", 19),
    "Error": ("error", 60),
}


@click.command()
@option("--forward", "url", help="Where to post them: http://localhost:3000/webhook. Without it they are only listed.")
@option("--secret", help="Sign with this; made for this run unless given.")
@options(LIVE_FILTERS)
@option("--limit", type=click.IntRange(min=1), help="End after so many.")
@with_client
def listen(client: Client, url: str | None, secret: str | None, limit: int | None, **query: str | None) -> None:
    """Post each event that comes in to a program on this machine, until Ctrl+C, and show what it answers.

    It needs no public address and no endpoint: events are taken from the live stream. They are signed as the gateway
    signs them, with a secret that is printed at the start. Each is posted once, whatever the answer.

    \b
    Examples:
        mailweir listen --forward http://localhost:3000/webhook
        mailweir listen --forward http://localhost:3000/webhook --type bounce
        mailweir listen --forward http://localhost:3000/webhook --secret whsec_… --after evt_…
    """
    from app.cli.forwarding import Forwarder  # here, so that the help need not wait

    with Forwarder(url, secret) as forwarder:
        if url:
            say(f"Forwarding to {url}, signed with the secret {forwarder.secret}")
        rows = Rows(_COLUMNS)
        with suppress(KeyboardInterrupt):
            for event in islice(follow(client, query), limit):
                rows.show(forwarder.post(event))
