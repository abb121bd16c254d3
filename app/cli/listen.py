"""`mailweir listen`: the live events posted to a program on this machine, signed as the gateway would sign them."""

import time
from contextlib import suppress
from itertools import islice
from typing import Any

import httpx
import msgspec
import rich_click as click
from click import option

from app.cli.client import Client, with_client
from app.cli.errors import Misconfigured
from app.cli.following import Event, follow
from app.cli.listing import options
from app.cli.output import Rows, say
from app.cli.tail import LIVE_FILTERS
from app.signer import Signer, check_secret, generate_secret

TIMEOUT_S = 15.0

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
    with _Forwarder(url, secret or generate_secret()) as forwarder:
        if url:
            say(f"Forwarding to {url}, signed with the secret {forwarder.secret}")
        rows = Rows(_COLUMNS)
        with suppress(KeyboardInterrupt):
            for event in islice(follow(client, query), limit):
                rows.show(forwarder.post(event))


class _Forwarder:
    """Posts events to one URL. Raises Misconfigured for a URL or secret that cannot be used."""

    def __init__(self, url: str | None, secret: str) -> None:
        try:
            check_secret(secret)
            self._url = httpx.URL(url) if url else None
        except (ValueError, httpx.InvalidURL) as error:
            raise Misconfigured(f"--secret or --forward cannot be used: {error}") from error
        if self._url is not None and (self._url.scheme not in ("http", "https") or not self._url.host):
            raise Misconfigured(f"'{url}' is no URL to post to; try http://localhost:3000/webhook")
        self.secret = secret
        self._signer = Signer([secret])
        self._http = httpx.Client(timeout=TIMEOUT_S, trust_env=False)

    def __enter__(self) -> "_Forwarder":
        return self

    def __exit__(self, *_raised: object) -> None:
        self._http.close()

    def post(self, event: Event) -> dict[str, Any]:
        """What became of it, as a row."""
        data = msgspec.json.decode(event.body)["data"]
        row = {"id": event.id, "type": event.type, "recipient": data.get("recipient")}
        return row if self._url is None else row | self._answer(self._url, event)

    def _answer(self, url: httpx.URL, event: Event) -> dict[str, Any]:
        headers = self._signer.headers(
            webhook_id=event.id, event_type=event.type, body=event.body, attempt=1, unix_s=int(time.time())
        )
        began = time.monotonic()
        status, error = None, None
        try:
            status = self._http.post(url, content=event.body, headers=headers).status_code
        except httpx.HTTPError as failure:
            error = str(failure) or type(failure).__name__
        return {"status": status, "duration_ms": round((time.monotonic() - began) * 1000, 1), "error": error}
