"""The gateway and its HTTP server in this process, until it is told to stop."""

import gc
import socket
from collections.abc import Awaitable
from contextlib import suppress
from functools import partial
from typing import Any, cast

import rich_click as click
import uvicorn

from app.asgi import create_app
from app.cli.links import LOG_IN, LOGS_IN_ONCE, dashboard_url, host_in_url, login_url
from app.cli.starting import explained
from app.settings import Settings, without_password
from app.store.sessions import create_link
from app.web.provider_protocol import ProviderProtocol

SOCKET_BYTES_MAX = 4_096
"""What a client may send over a WebSocket; nothing of it is read."""
GRACE_S = 10
"""How long requests under way may take to end when the gateway is told to stop."""


def run(settings: Settings, listener: socket.socket) -> None:
    """Serves on what listens already. Raises Misconfigured when the gateway cannot be opened."""
    app = Watched(create_app(settings))
    with suppress(KeyboardInterrupt), suppress(SystemExit):  # a failed start is told by the next lines
        _Server(_uvicorn(app), settings, app).run([listener])
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
    """uvicorn's server, which says hello in our words once it listens."""

    def __init__(self, config: uvicorn.Config, settings: Settings, watched: Watched) -> None:
        super().__init__(config)
        self._settings = settings
        self._watched = watched

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Opens the gateway, then takes requests."""
        await super().startup(sockets)
        if self.started:
            spare_the_collector()
            gateway = self._watched.app.state.gateway
            link = await create_link(gateway.engine, gateway.clock.now()) if gateway.is_first_start else None
            click.echo(_banner(self._settings, gateway.first_key, link))

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Ends what would go on for ever, the live stream, and then everything else."""
        if self.started:
            await self._watched.app.state.gateway.stream.close()
        await super().shutdown(sockets)


def spare_the_collector() -> None:
    """What the start has made stays for good, so that the garbage collector need not walk through it again and again.

    Its full rounds took 40 to 230 ms, in which nothing else runs; one at the end of the start would find next to
    nothing.
    """
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
    gc.enable()


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


def _banner(settings: Settings, first_key: str | None, link: str | None) -> str:
    lines = [
        f"Mailweir serves on http://{host_in_url(settings.host)}:{settings.port}",
        f"  database     {without_password(settings.database_url)}",
    ]
    if settings.public_url:
        lines.insert(1, f"  public URL   {settings.base_url}")
    if link:
        lines += [f"  dashboard    {login_url(settings, link)}", f"               {LOGS_IN_ONCE}"]
    else:
        lines += [f"  dashboard    {dashboard_url(settings)}", f"               {LOG_IN}"]
    if first_key:
        lines += [
            f"  admin key    {first_key}",
            "               shown once, stored hashed: keep it",
            "  next         export MAILWEIR_API_KEY=<the key>, then: mailweir sources add --help",
        ]
    return "\n".join(lines)
