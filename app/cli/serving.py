"""The gateway and its HTTP server in this process, until it is told to stop."""

import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any, cast

import rich_click as click
import uvicorn

from app.asgi import create_app
from app.cli.greeting import banner, settle_down
from app.cli.starting import explained
from app.gateway import Gateway
from app.place import ALONE, Place
from app.settings import Settings
from app.web.provider_protocol import ProviderProtocol

SOCKET_BYTES_MAX = 4_096
"""What a client may send over a WebSocket; nothing of it is read."""
GRACE_S = 10
"""How long requests under way may take to end when the gateway is told to stop."""

Ready = Callable[[Gateway], Awaitable[None]]


def run_alone(settings: Settings, listener: socket.socket) -> None:
    """Does all of the work in this process."""

    async def say_hello(gateway: Gateway) -> None:
        click.echo(await banner(gateway))

    run(made(settings, ALONE), listener, say_hello)


def made(settings: Settings, place: Place) -> "Watched":
    """The application, whose gateway is not open yet."""
    return Watched(create_app(settings, place))


def run(app: "Watched", listener: socket.socket, ready: Ready) -> None:
    """Serves on what listens already; `ready` is called when it does.

    Raises Misconfigured when the gateway cannot be opened.
    """
    with suppress(KeyboardInterrupt), suppress(SystemExit):  # a failed start is told by the next lines
        _Server(_uvicorn(app), app, ready).run([listener])
    with explained():
        app.raise_failure()


class Watched:
    """The application, and why it did not start: to uvicorn that is no more than a line to log."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self._failure: Exception | None = None

    def __call__(self, scope: Any, receive: Any, send: Any) -> Awaitable[None]:
        return self._live(scope, receive, send) if scope["type"] == "lifespan" else self.app(scope, receive, send)

    def raise_failure(self) -> None:
        """Raises what ended the application, if something did."""
        if self._failure is not None:
            raise _innermost(self._failure)

    async def _live(self, scope: Any, receive: Any, send: Any) -> None:
        async def send_without_traceback(message: Any) -> None:
            await send({"type": message["type"]})

        try:
            await self.app(scope, receive, send_without_traceback)
        except Exception as failure:  # noqa: BLE001  raised again by `raise_failure`, out of uvicorn's hands
            self._failure = failure


class _Server(uvicorn.Server):
    """uvicorn's server, which tells when it takes requests."""

    def __init__(self, config: uvicorn.Config, watched: Watched, ready: Ready) -> None:
        super().__init__(config)
        self._watched = watched
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Opens the gateway, then takes requests."""
        await super().startup(sockets)
        if self.started:
            settle_down()
            await self._ready(self._watched.app.state.gateway)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Ends what would go on for ever, the live stream, and then everything else."""
        if self.started:
            await self._watched.app.state.gateway.stream.close()
        await super().shutdown(sockets)


def _innermost(failure: Exception) -> Exception:
    """The failure itself, out of the groups that task groups put around it."""
    match failure:
        case ExceptionGroup(exceptions=(Exception() as only,)):
            return _innermost(only)
        case _:
            return failure


def _uvicorn(app: Watched) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        interface="asgi3",
        loop="uvloop",
        http=cast(Any, partial(ProviderProtocol, gateway=lambda: app.app.state.gateway)),  # what makes a protocol
        ws="websockets-sansio",
        ws_max_size=SOCKET_BYTES_MAX,
        ws_per_message_deflate=False,  # it would cost 300 KB and much time for each client
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE_S,
    )
