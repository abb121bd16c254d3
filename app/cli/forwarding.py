"""Events posted to a program on this machine."""

import time
from typing import Any

import httpx
import msgspec

from app.cli.errors import Misconfigured
from app.cli.following import Event
from app.signer import Signer, check_secret, generate_secret

TIMEOUT_S = 15.0


class Forwarder:
    """Posts events to one URL. Raises Misconfigured for a URL or secret that cannot be used."""

    def __init__(self, url: str | None, secret: str | None) -> None:
        self.secret = secret or generate_secret()
        try:
            check_secret(self.secret)
            self._url = httpx.URL(url) if url else None
        except (ValueError, httpx.InvalidURL) as error:
            raise Misconfigured(f"--secret or --forward cannot be used: {error}") from error
        if self._url is not None and (self._url.scheme not in ("http", "https") or not self._url.host):
            raise Misconfigured(f"'{url}' is no URL to post to; try http://localhost:3000/webhook")
        self._signer = Signer([self.secret])
        self._http = httpx.Client(timeout=TIMEOUT_S, trust_env=False)

    def __enter__(self) -> "Forwarder":
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
