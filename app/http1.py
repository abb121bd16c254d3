"""One HTTP/1.1 connection from the asking side (RFC 9112): a request out, its answer in, then the next."""

import asyncio
from collections import deque
from typing import cast

import httptools
import httpx

HEAD_BYTES_MAX = 64 * 1024
UNREAD_BYTES_MAX = 64 * 1024
"""How much of a body may lie unread before no more is taken from the socket."""

Headers = list[tuple[bytes, bytes]]


class Disconnected(httpx.RemoteProtocolError):
    """The connection was closed before a byte of the answer came."""


class HeadTooLarge(httpx.RemoteProtocolError):
    """The answer's headers do not end within HEAD_BYTES_MAX."""


class Connection(asyncio.Protocol):
    """A connection that serves one exchange at a time: `send`, `head`, then `next_chunk` until that is empty.

    Whoever leaves an exchange before its end calls `abort`. Raises httpx.ReadError when the connection breaks and
    httpx.RemoteProtocolError when what comes is not HTTP.
    """

    _transport: asyncio.Transport

    def __init__(self) -> None:
        self.idle_since = 0.0
        """When its last exchange ended (monotonic seconds); 0 before that."""
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpResponseParser(self)
        self._waiter: asyncio.Future[None] | None = None
        self._closed = False
        self._begin()
        self._complete = True

    def _begin(self) -> None:
        self._status: int | None = None
        self._headers: Headers = []
        self._chunks: deque[bytes] = deque()
        self._bytes_before_status = 0
        self._header_bytes = 0
        self._unread_bytes = 0
        self._paused = False
        self._framed = False
        self._complete = False
        self._failure: Exception | None = None

    # For the one who asks.

    @property
    def reusable(self) -> bool:
        """True when the last exchange is over and another may follow."""
        return self._complete and not self._closed and not self._transport.is_closing()

    def send(self, message: bytes) -> None:
        """Begins an exchange with the whole request."""
        self._begin()
        self._transport.write(message)

    async def head(self) -> tuple[int, Headers]:
        """The answer's status and headers, names as they came."""
        while self._status is None:
            await self._wait()
        return self._status, self._headers

    async def next_chunk(self) -> bytes:
        """Some more of the answer's body; empty at its end."""
        while not self._chunks and not self._complete:
            await self._wait()
        if not self._chunks:
            return b""
        chunk = self._chunks.popleft()
        self._unread_bytes -= len(chunk)
        if self._paused and self._unread_bytes <= UNREAD_BYTES_MAX and not self._transport.is_closing():
            self._paused = False
            self._transport.resume_reading()
        return chunk

    def abort(self) -> None:
        """Closes at once. A polite end waits, under uvloop for half a minute, for a goodbye that may never come."""
        self._closed = True
        self._transport.abort()

    async def _wait(self) -> None:
        if self._failure is not None:
            raise self._failure
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    # What the event loop tells.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is open."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Some bytes came; nobody asked for them when no exchange is under way."""
        if self._complete:
            self.abort()
            return
        if self._status is None:
            self._bytes_before_status += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._fail(httpx.RemoteProtocolError("it switches protocols, which nobody asked for"))
        except httptools.HttpParserError as error:
            self._fail(httpx.RemoteProtocolError(str(error)))
        if self._status is None and self._bytes_before_status > HEAD_BYTES_MAX:
            self._fail(_too_large())
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        """The end of it: also of a body that has no other end."""
        self._closed = True
        if not self._complete and exc is None and self._status is not None and not self._framed:
            self._complete = True
        elif not self._complete:
            self._fail(self._loss(exc))
        self._wake()
        del self._parser  # they hold each other

    def _loss(self, exc: Exception | None) -> httpx.TransportError:
        if self._bytes_before_status == 0:
            loss: httpx.TransportError = Disconnected("closed without an answer")
        else:
            loss = httpx.ReadError("the answer breaks off")
        loss.__cause__ = exc
        return loss

    def _fail(self, failure: Exception) -> None:
        self._failure = self._failure or failure
        self.abort()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # What the parser finds.

    def on_message_begin(self) -> None:
        """The answer, or another after an interim one such as 100 Continue; a second answer was not asked for."""
        if self._complete:
            self.abort()
        elif self._status is None:
            self._headers = []

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header line; what follows a body in chunks is not looked at."""
        if self._status is not None:
            return
        self._headers.append((name, value))
        self._header_bytes += len(name) + len(value)
        if len(name) in _FRAMING_LENGTHS and name.lower() in _FRAMING:
            self._framed = True

    def on_headers_complete(self) -> None:
        """The end of the headers."""
        if self._complete:
            return
        status = self._parser.get_status_code()
        if self._header_bytes > HEAD_BYTES_MAX:
            self._fail(_too_large())
        elif status >= 200:
            self._status = status

    def on_body(self, body: bytes) -> None:
        """Some of the body, without its framing."""
        if self._complete:
            return
        self._chunks.append(body)
        self._unread_bytes += len(body)
        if self._unread_bytes > UNREAD_BYTES_MAX and not (self._paused or self._transport.is_closing()):
            self._paused = True
            self._transport.pause_reading()

    def on_message_complete(self) -> None:
        """The end of an answer."""
        if self._status is None:
            return
        self._complete = True
        if not self._parser.should_keep_alive():
            self.abort()


def _too_large() -> HeadTooLarge:
    return HeadTooLarge("the headers of the answer are too large")


_FRAMING = frozenset((b"content-length", b"transfer-encoding"))
_FRAMING_LENGTHS = frozenset(map(len, _FRAMING))
