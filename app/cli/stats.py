"""`mailweir stats`: what came in and went out in numbers."""

from urllib.parse import quote

import rich_click as click
from click import option

from app.cli.client import Client, with_client
from app.cli.listing import SPAN, options
from app.cli.output import show_list, show_one, wants_json

_COLUMNS = {
    "From": "at",
    "Events": "inbound.events",
    "Bounce rate": "inbound.bounce_rate",
    "Attempts": "outbound.attempts",
    "Success rate": "outbound.success_rate",
    "p95 ms": "outbound.latency_ms.p95",
}


@click.command()
@option("--source", help="Only what came in through the source of that name.")
@option("--endpoint", type=int, help="Only what was sent to the endpoint of that number.")
@options({**SPAN, "bucket": "1m, 5m, 15m, 1h, 6h or 1d."})
@option("--series", is_flag=True, help="A row for each bucket.")
@with_client
def stats(client: Client, source: str | None, endpoint: int | None, series: bool, **query: str | None) -> None:
    """See what came in and went out in the last 24 hours, or in another time.

    \b
    Examples:
        mailweir stats
        mailweir stats --endpoint 3 --since 2026-03-03T00:00:00Z --bucket 1h --series
        mailweir stats --source prod --json | jq .inbound.bounce_rate
    """
    if source is not None and endpoint is not None:
        raise click.UsageError("Give --source or --endpoint, not both.")
    answer = client.get(_path(source, endpoint), query)
    if series:
        show_list(answer["buckets"], _COLUMNS)
    else:
        show_one(answer if wants_json() else {name: value for name, value in answer.items() if name != "buckets"})


def _path(source: str | None, endpoint: int | None) -> str:
    if source is not None:
        return f"/api/sources/{quote(source, safe='')}/stats"
    return f"/api/webhooks/manage/{endpoint}/stats" if endpoint is not None else "/api/stats"
