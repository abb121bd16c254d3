"""An HTTP connection to a running gateway, and what it says when that does not answer as hoped."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import httpx

from app.cli.configuration import settings_in_force
from app.cli.errors import Disconnected, GatewayRefused, Misconfigured
from app.cli.listing import PAGE_ROWS_MAX

TIMEOUT_S = 30.0
SILENCE_S_MAX = 45.0
"""Of an answer that has no end; the gateway gives a sign of life every 15 s."""


class Connection:
    """One gateway, and the key for it. Every call raises GatewayRefused when it was not done."""

    def __init__(self, url: str, api_key: str | None) -> None:
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self.url = url.rstrip("/")
        try:
            self._http = httpx.Client(base_url=self.url, headers=headers, timeout=TIMEOUT_S)
        except (httpx.InvalidURL, ValueError) as error:
            raise Misconfigured(f"'{url}' or the API key cannot be used in a request: {error}") from error

    def __enter__(self) -> "Connection":
        return self

    def __exit__(self, *_raised: object) -> None:
        self._http.close()

    def get(self, path: str, query: Mapping[str, Any] | None = None) -> Any:
        given = {name: value for name, value in (query or {}).items() if value is not None}
        return self._call("GET", path, params=given)

    def post(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        return self._call("POST", path, json=body or {})

    def patch(self, path: str, body: Mapping[str, Any]) -> Any:
        return self._call("PATCH", path, json=body)

    def delete(self, path: str) -> None:
        self._call("DELETE", path)

    def pages(self, path: str, query: Mapping[str, Any], rows_max: int) -> Iterator[Any]:
        """At most `rows_max` rows of a list, over as many pages as that takes."""
        cursor: str | None = None
        while rows_max > 0:
            page = self.get(path, {**query, "limit": min(rows_max, PAGE_ROWS_MAX), "cursor": cursor})
            yield from page["data"]
            rows_max -= len(page["data"])
            cursor = page["next_cursor"]
            if cursor is None:
                return

    def lines(self, path: str, query: Mapping[str, Any], headers: Mapping[str, str]) -> Iterator[bytes]:
        """The lines of an answer that has no end. Raises Disconnected when it ends or cannot be had now."""
        given = {name: value for name, value in query.items() if value is not None}
        timeout = httpx.Timeout(TIMEOUT_S, read=SILENCE_S_MAX)
        try:
            with self._http.stream("GET", path, params=given, headers=headers, timeout=timeout) as response:
                _check_stream(response)
                rest = b""
                for part in response.iter_bytes():
                    *whole, rest = (rest + part).split(b"\n")
                    yield from whole
        except httpx.TransportError as error:
            raise Disconnected(f"no connection to {self.url} ({error})") from error

    def send(self, path: str, headers: Mapping[str, str], body: bytes) -> httpx.Response:
        """Posts what a provider would; the answer is the caller's to judge."""
        return self._request("POST", path, headers=headers, content=body)

    def _call(self, method: str, path: str, **sent: Any) -> Any:
        response = self._request(method, path, **sent)
        if not response.is_success:
            raise GatewayRefused(_refusal(response))
        try:
            return response.json() if response.content else None
        except ValueError as error:
            raise GatewayRefused(f"{self.url} does not answer as a Mailweir does; check --url") from error

    def _request(self, method: str, path: str, **sent: Any) -> httpx.Response:
        try:
            return self._http.request(method, path, **sent)
        except httpx.TimeoutException as error:
            raise GatewayRefused(f"{self.url} took longer than {TIMEOUT_S:.0f} s to answer") from error
        except (httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
            raise Misconfigured(f"'{self.url}' is no URL of a gateway; try http://127.0.0.1:8420") from error
        except httpx.HTTPError as error:
            raise GatewayRefused(
                f"no gateway answers at {self.url} ({error}); start it with `mailweir serve`, or name it with --url"
            ) from error


def connect(url: str | None, api_key: str | None, *, needs_key: bool) -> Connection:
    """With what the settings say, where nothing else is given. Raises Misconfigured."""
    settings = settings_in_force()
    key = api_key or settings.api_key
    if needs_key and not key:
        raise Misconfigured(
            "no API key: give --api-key, or set MAILWEIR_API_KEY to the key that the first `mailweir serve` printed"
        )
    return Connection(url or settings.base_url, key if needs_key else None)


def _check_stream(response: httpx.Response) -> None:
    if response.is_success:
        return
    response.read()
    raise (Disconnected if response.status_code == 503 else GatewayRefused)(_refusal(response))


def _refusal(response: httpx.Response) -> str:
    """The gateway's own words, from its problem details."""
    try:
        problem = response.json()
    except json.JSONDecodeError:
        problem = None
    if not isinstance(problem, dict) or "detail" not in problem:
        return f"{response.url.host} answered {response.status_code}, and not as a Mailweir does; check --url"
    hint = " (check --api-key or MAILWEIR_API_KEY)" if response.status_code == 401 else ""
    return f"the gateway refused ({response.status_code}): {problem['detail']}{hint}"
