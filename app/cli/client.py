"""Talking to a running gateway: the verbs' HTTP client, and what they say when it does not answer as they hoped."""

import functools
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Concatenate, ParamSpec

import httpx
import rich_click as click
from click import get_current_context, option

from app.cli.configuration import settings_in_force
from app.cli.errors import GatewayRefused, Misconfigured
from app.cli.output import json_option

TIMEOUT_S = 30.0
SILENCE_S_MAX = 45.0
"""Of an answer that has no end; the gateway gives a sign of life every 15 s."""
PAGE_ROWS_MAX = 200

P = ParamSpec("P")


class Disconnected(GatewayRefused):
    """An answer that has no end has ended, or cannot be had now; it may be asked for again."""


class Client:
    """One gateway, and the key for it. Every call raises GatewayRefused when it was not done."""

    def __init__(self, url: str, api_key: str | None) -> None:
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self.url = url.rstrip("/")
        try:
            self._http = httpx.Client(base_url=self.url, headers=headers, timeout=TIMEOUT_S)
        except (httpx.InvalidURL, ValueError) as error:
            raise Misconfigured(f"'{url}' or the API key cannot be used in a request: {error}") from error

    def __enter__(self) -> "Client":
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


def _remember(context: click.Context, parameter: click.Parameter, value: str | None) -> None:
    context.meta[str(parameter.name)] = value


_url_option = option(
    "--url",
    "gateway_url",
    expose_value=False,
    callback=_remember,
    help="The gateway; that of the settings unless given.",
)
_key_option = option(
    "--api-key",
    "gateway_key",
    expose_value=False,
    callback=_remember,
    help="A key of the gateway; MAILWEIR_API_KEY unless given.",
)


def with_client(verb: Callable[Concatenate[Client, P], None]) -> Callable[P, None]:
    """Hands the verb a client, made from the options that it gives it: --url, --api-key and --json."""

    @functools.wraps(verb)
    def connected(*args: P.args, **kwargs: P.kwargs) -> None:
        with _connect(needs_key=True) as client:
            verb(client, *args, **kwargs)

    return _url_option(_key_option(json_option(connected)))


def with_keyless_client(verb: Callable[Concatenate[Client, P], None]) -> Callable[P, None]:
    """As `with_client`, for what providers do: they have no key of ours."""

    @functools.wraps(verb)
    def connected(*args: P.args, **kwargs: P.kwargs) -> None:
        with _connect(needs_key=False) as client:
            verb(client, *args, **kwargs)

    return _url_option(json_option(connected))


def _connect(*, needs_key: bool) -> Client:
    settings = settings_in_force()
    given = get_current_context().meta
    key = given.get("gateway_key") or settings.api_key
    if needs_key and not key:
        raise Misconfigured(
            "no API key: give --api-key, or set MAILWEIR_API_KEY to the key that the first `mailweir serve` printed"
        )
    return Client(given.get("gateway_url") or settings.base_url, key if needs_key else None)


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
