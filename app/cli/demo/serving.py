"""A server in a thread of its own, for as long as a block lasts."""

import asyncio
import socket
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

import uvicorn

from app.cli.errors import CommandFailed

T = TypeVar("T")

START_WITHIN_S, END_WITHIN_S, GRACE_S = 60.0, 20.0, 1


def listen(port: int) -> socket.socket:
    """That port of this machine, or any that is free where it is 0 or taken."""
    try:
        return socket.create_server(("127.0.0.1", port), backlog=512)
    except OSError:
        return socket.create_server(("127.0.0.1", 0), backlog=512)


class Served:
    """An ASGI application on a listening socket, while the block lasts."""

    def __init__(self, app: Any, listener: socket.socket) -> None:
        self.app = app
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        self._listener = listener
        self._server = _Server(_config(app))
        self._thread = threading.Thread(target=self._serve, name=f"serving {self.url}", daemon=True)

    def __enter__(self) -> "Served":
        self._thread.start()
        if not self._server.ready.wait(START_WITHIN_S) or self._server.loop is None:
            raise CommandFailed("the demo's gateway did not start; its log says why")
        return self

    def __exit__(self, *_raised: object) -> None:
        self._server.should_exit = True
        self._thread.join(END_WITHIN_S)
        self._listener.close()

    def begin(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Runs the coroutine where the application runs; the result is to come."""
        if self._server.loop is None:
            raise RuntimeError("it does not serve yet")
        return asyncio.run_coroutine_threadsafe(work, self._server.loop)

    def _serve(self) -> None:
        try:
            self._server.run([self._listener])
        except SystemExit:
            return
        finally:
            self._server.ready.set()


class _Server(uvicorn.Server):
    """uvicorn's server, which tells when it is ready, and ends the live stream before it waits for its clients."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = threading.Event()
        self.loop: asyncio.AbstractEventLoop | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self.loop = asyncio.get_running_loop()
            self.ready.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        gateway = getattr(getattr(self.config.app, "state", None), "gateway", None)
        if gateway is not None:
            await gateway.stream.close()
        await super().shutdown(sockets)


def _config(app: Any) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        interface="asgi3",
        loop="uvloop",
        http="httptools",
        ws="websockets-sansio",
        lifespan="auto",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE_S,
    )
