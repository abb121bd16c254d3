"""Talking to a running gateway: what its verbs are handed, and the options that say which gateway it is."""

import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Concatenate, ParamSpec, Protocol

import rich_click as click
from click import get_current_context, option

from app.cli.output import json_option

P = ParamSpec("P")


class Answer(Protocol):
    """What a request was answered."""

    @property
    def status_code(self) -> int: ...

    @property
    def text(self) -> str: ...

    def json(self) -> Any:
        """Raises ValueError where it is none."""
        ...


class Client(Protocol):
    """One gateway, and the key for it. Every call raises GatewayRefused when it was not done.

    `connection` has the one there is. Its HTTP library is loaded when a verb runs, so that its help need not wait.
    """

    url: str

    def get(self, path: str, query: Mapping[str, Any] | None = None) -> Any: ...

    def post(self, path: str, body: Mapping[str, Any] | None = None) -> Any: ...

    def patch(self, path: str, body: Mapping[str, Any]) -> Any: ...

    def delete(self, path: str) -> None: ...

    def pages(self, path: str, query: Mapping[str, Any], rows_max: int) -> Iterator[Any]:
        """At most `rows_max` rows of a list, over as many pages as that takes."""
        ...

    def lines(self, path: str, query: Mapping[str, Any], headers: Mapping[str, str]) -> Iterator[bytes]:
        """The lines of an answer that has no end. Raises Disconnected when it ends or cannot be had now."""
        ...

    def send(self, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Posts what a provider would; the answer is the caller's to judge."""
        ...


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
        with _connection(needs_key=True) as client:
            verb(client, *args, **kwargs)

    return _url_option(_key_option(json_option(connected)))


def with_keyless_client(verb: Callable[Concatenate[Client, P], None]) -> Callable[P, None]:
    """As `with_client`, for what providers do: they have no key of ours."""

    @functools.wraps(verb)
    def connected(*args: P.args, **kwargs: P.kwargs) -> None:
        with _connection(needs_key=False) as client:
            verb(client, *args, **kwargs)

    return _url_option(json_option(connected))


def _connection(*, needs_key: bool) -> Any:
    from app.cli.connection import connect  # here, for the sake of the help

    given = get_current_context().meta
    return connect(given.get("gateway_url"), given.get("gateway_key"), needs_key=needs_key)
