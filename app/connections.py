"""What carries HTTP out: an httpx transport over kept-alive connections, each opened under the eyes of the guard.

Strategy: a connection that is idle is used again, the newest first, or a new one is opened. The guard sees the
addresses of the name, and once more the one address that a socket is made for, so that nothing lies between the check
and the use. An exchange costs the same however many connections there are.
"""

import asyncio
import socket
import ssl
from collections import deque
from errno import EACCES
from functools import partial
from time import monotonic, perf_counter
from typing import Any

import httpx
from aiohappyeyeballs import start_connection  # pyright: ignore[reportUnknownVariableType]

from app.guard import DEFAULT_PORTS, AddressRefused, Guard, literal_address
from app.http1 import Connection, Disconnected
from app.outcome import PostNotes

HEAD, NOTES = "head", "notes"
"""The request extensions that hold its head as it goes over the wire, and the PostNotes of its exchange."""

IDLE_CONNECTION_S = 15.0
NEXT_ADDRESS_AFTER_S = 0.25
"""An address that does not answer is not waited for: the next one is tried beside it (RFC 8305)."""

ADDRESSES_KEPT_S = 1.0
"""The shortest time that an answer of a name server can be good for, short of none: a TTL counts whole seconds, and the
system's resolver does not tell it. Longer would be a guess; shorter would be a look-up for each of many connections."""

NAMES_KEPT_MAX = 4096


class NameUnknown(httpx.ConnectError):
    """The name of the host does not resolve."""


class HandshakeFailed(httpx.ConnectError):
    """TCP is connected and TLS is not; the cause says why."""


AddressInfo = tuple[int, int, int, str, tuple[Any, ...]]
_Origin = tuple[bool, str]
"""Whether it is plain http, host and port."""


class ConnectionPool(httpx.AsyncBaseTransport):
    """Sends requests over HTTP/1.1, at most `connections_max` at once.

    A request carries in its extensions "head", the bytes before its body, and "notes", the PostNotes which take up what
    comes. Raises httpx.TransportError, with what happened as the cause, and AddressRefused.
    """

    def __init__(self, guard: Guard, tls: ssl.SSLContext, *, connections_max: int) -> None:
        self._guard = guard
        self._tls = tls
        self._names = _Names(guard)
        self._connections_max = connections_max
        self._places = asyncio.Semaphore(connections_max)
        self._idle: dict[_Origin, deque[Connection]] = {}
        self._connections: set[Connection] = set()
        self._sweeping: asyncio.TimerHandle | None = None
        self._closed = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The answer with as much of its body as the notes want."""
        notes: PostNotes = request.extensions[NOTES]
        message: bytes = request.extensions[HEAD] + request.read()
        origin = (notes.plain, notes.peer)
        await self._places.acquire()
        connection: Connection | None = None
        try:
            connection = self._take_idle(origin) or await self._open(request.url, notes)
            while True:
                try:
                    notes.connected_at = perf_counter()
                    await connection.ask(message, notes.answer)
                    break
                except Disconnected:
                    connection = await self._replacement(connection, request.url, notes)
        finally:
            self._give_back(origin, connection)
        answer = notes.answer
        return httpx.Response(answer.status or 0, headers=answer.headers, stream=httpx.ByteStream(answer.body))

    async def aclose(self) -> None:
        """Closes every connection; exchanges under way end with an error."""
        self._closed = True
        self._names.stop()
        if self._sweeping is not None:
            self._sweeping.cancel()
        for connection in self._connections:
            connection.abort()
        self._connections.clear()
        self._idle.clear()

    # Idle connections.

    def _take_idle(self, origin: _Origin) -> Connection | None:
        idle = self._idle.get(origin)
        while idle:
            connection = idle.pop()
            if connection.reusable:
                return connection
            self._connections.discard(connection)
        return None

    def _give_back(self, origin: _Origin, connection: Connection | None) -> None:
        """Keeps the connection for the next request, or closes one that is in the middle of something."""
        self._places.release()
        if connection is None:
            return
        if self._closed or not connection.reusable:
            self._drop(connection)
            return
        connection.idle_since = monotonic()
        self._idle.setdefault(origin, deque()).append(connection)
        if self._sweeping is None:
            self._sweeping = asyncio.get_running_loop().call_later(IDLE_CONNECTION_S, self._sweep)

    def _drop(self, connection: Connection) -> None:
        connection.abort()
        self._connections.discard(connection)

    def _sweep(self) -> None:
        """Closes what has been idle for long."""
        long_ago = monotonic() - IDLE_CONNECTION_S
        for origin, idle in list(self._idle.items()):
            while idle and idle[0].idle_since <= long_ago:
                self._drop(idle.popleft())
            if not idle:
                del self._idle[origin]
        self._sweeping = None
        if self._idle:
            self._sweeping = asyncio.get_running_loop().call_later(IDLE_CONNECTION_S / 2, self._sweep)

    def _make_room(self) -> None:
        """One idle connection less, when as many are open as may be."""
        if len(self._connections) >= self._connections_max:
            idle = next((idle for idle in self._idle.values() if idle), None)
            if idle:
                self._drop(idle.popleft())

    # New connections.

    async def _replacement(self, dead: Connection, url: httpx.URL, notes: PostNotes) -> Connection:
        """Instead of a connection that the other side had closed while it was idle. Raises what ended a new one."""
        self._drop(dead)
        if self._closed or not dead.idle_since:
            raise Disconnected("closed without an answer")
        return await self._open(url, notes)

    async def _open(self, url: httpx.URL, notes: PostNotes) -> Connection:
        self._make_room()
        addresses = await self._names.addresses(url.host, url.port or DEFAULT_PORTS[url.scheme], notes)
        connection = await self._connect(addresses, None if notes.plain else url.host, notes)
        if self._closed:
            connection.abort()
            raise httpx.ConnectError("the gateway is closing")
        self._connections.add(connection)
        return connection

    async def _connect(self, addresses: list[AddressInfo], tls_name: str | None, notes: PostNotes) -> Connection:
        loop = asyncio.get_running_loop()
        opening = partial(self._open_socket, notes)
        try:
            opened = await start_connection(
                addresses, happy_eyeballs_delay=NEXT_ADDRESS_AFTER_S, loop=loop, socket_factory=opening
            )
        except OSError as error:
            raise httpx.ConnectError(str(error)) from error
        if tls_name is None:
            return (await loop.create_connection(Connection, sock=opened))[1]
        notes.tls_started_at = perf_counter()
        try:
            shaking = loop.create_connection(Connection, sock=opened, ssl=self._tls, server_hostname=tls_name)
            return (await shaking)[1]
        except OSError as error:
            raise HandshakeFailed(str(error)) from error

    def _open_socket(self, notes: PostNotes, info: AddressInfo) -> socket.socket:
        """The socket to one address, if the guard allows it; this is where every connection begins."""
        family, kind, protocol, _, address = info
        try:
            self._guard.check_ip(address[0], plain=notes.plain)
        except AddressRefused as refused:
            notes.refused = refused.reason
            raise PermissionError(EACCES, refused.reason) from refused
        notes.connect_started_at = notes.connect_started_at or perf_counter()
        return socket.socket(family, kind, protocol)


class _Names:
    """The addresses of names, kept for a second; those who ask for one name at once share a look-up."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._found: dict[tuple[str, int], tuple[float, list[str]]] = {}
        self._asking: dict[tuple[str, int], asyncio.Future[list[str]]] = {}

    async def addresses(self, host: str, port: int, notes: PostNotes) -> list[AddressInfo]:
        """All of them, each allowed: a name that is only partly private is refused. Raises AddressRefused."""
        found = self._kept(host, port)
        if found is None:
            notes.dns_started_at = perf_counter()
            found = await self._look_up(host, port)
            notes.dns_ended_at = perf_counter()
        for address in found:
            self._guard.check_ip(address)
        return [_address_info(address, port) for address in found]

    def _kept(self, host: str, port: int) -> list[str] | None:
        if literal_address(host):
            return [host]
        since, found = self._found.get((host, port), (0.0, []))
        return found if found and monotonic() - since < ADDRESSES_KEPT_S else None

    async def _look_up(self, host: str, port: int) -> list[str]:
        """One look-up goes on although the first who asked may have given up."""
        name = (host, port)
        task = self._asking.get(name)
        if task is None:
            task = self._asking[name] = asyncio.ensure_future(self._guard.resolve(host, port))
            task.add_done_callback(partial(self._learn, name))
        try:
            return await asyncio.shield(task)
        except OSError as error:
            raise NameUnknown(f"the name {host} does not resolve ({error.strerror or error})") from error

    def _learn(self, name: tuple[str, int], task: asyncio.Future[list[str]]) -> None:
        del self._asking[name]
        if task.cancelled() or task.exception() is not None:
            return
        if len(self._found) >= NAMES_KEPT_MAX:
            self._found.clear()
        self._found[name] = (monotonic(), task.result())

    def stop(self) -> None:
        """Gives up the look-ups under way."""
        for task in self._asking.values():
            task.cancel()


def _address_info(address: str, port: int) -> AddressInfo:
    if ":" in address:
        return socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port, 0, 0)
    return socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port)
