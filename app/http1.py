"""One HTTP/1.1 connection from the asking side (RFC 9112): a request out, its answer in, then the next."""

import asyncio
from time import perf_counter
from typing import cast

import httptools
import httpx

HEAD_BYTES_MAX = 64 * 1024
BODY_DRAIN_BYTES_MAX = 64 * 1024
"""How much of a body is taken from the socket; one with more costs the connection."""

Headers = list[tuple[bytes, bytes]]


class Disconnected(httpx.RemoteProtocolError):
    """The connection was closed before a byte of the answer came."""


class HeadTooLarge(httpx.RemoteProtocolError):
    """The answer's headers do not end within HEAD_BYTES_MAX."""


class Answer:
    """What has come of one answer so far; `status` is None until its headers are complete."""

    __slots__ = ("body", "body_bytes_max", "headers", "headers_at", "status", "truncated")

    def __init__(self, body_bytes_max: int) -> None:
        self.status: int | None = None
        self.headers: Headers = []
        """Names as they came."""
        self.headers_at: float | None = None
        """When they were complete (`perf_counter`)."""
        self.body = b""
        """Its first bytes, `body_bytes_max` of them."""
        self.body_bytes_max = body_bytes_max
        self.truncated = False
        """True when the body is longer than what is kept, or has not come to its end."""


class Connection(asyncio.Protocol):
    """A connection that serves one exchange at a time: `ask`, and wait for what it gives.

    Whoever leaves an exchange before its end calls `abort`. What fails are httpx.ReadError when the connection breaks
    and httpx.RemoteProtocolError when what comes is not HTTP.
    """

    _transport: asyncio.Transport
    _done: asyncio.Future[None]

    def __init__(self) -> None:
        self.idle_since = 0.0
        """When its last exchange ended (monotonic seconds); 0 before that."""
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpResponseParser(self)
        self._closed = False
        self._complete = True
        self._begin(Answer(0))

    def _begin(self, answer: Answer) -> None:
        self._answer = answer
        self._bytes_before_status = 0
        self._header_bytes = 0
        self._body_bytes = 0
        self._framed = False

    # For the one who asks.

    @property
    def reusable(self) -> bool:
        """True when the last exchange is over and another may follow."""
        return self._complete and not self._closed and not self._transport.is_closing()

    def ask(self, message: bytes, answer: Answer) -> asyncio.Future[None]:
        """Sends the whole request; done when `answer` holds what came, or failed when that is not all of it."""
        self._begin(answer)
        self._complete = False
        self._done = self._loop.create_future()
        self._transport.write(message)
        return self._done

    def abort(self) -> None:
        """Closes at once. A polite end waits, under uvloop for half a minute, for a goodbye that may never come."""
        self._closed = True
        self._transport.abort()

    # What the event loop tells.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is open."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Some bytes came; nobody asked for them when no exchange is under way."""
        if self._complete:
            self.abort()
            return
        if self._answer.status is None:
            self._bytes_before_status += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._fail(httpx.RemoteProtocolError("it switches protocols, which nobody asked for"))
        except httptools.HttpParserError as error:
            self._fail(httpx.RemoteProtocolError(str(error)))
        if self._answer.status is None and self._bytes_before_status > HEAD_BYTES_MAX:
            self._fail(_too_large())

    def connection_lost(self, exc: Exception | None) -> None:
        """The end of it: also of a body that has no other end."""
        self._closed = True
        if not self._complete and exc is None and self._answer.status is not None and not self._framed:
            self._end()
        elif not self._complete:
            self._fail(self._loss(exc))
        del self._parser  # they hold each other

    def _loss(self, exc: Exception | None) -> httpx.TransportError:
        if self._bytes_before_status == 0:
            loss: httpx.TransportError = Disconnected("closed without an answer")
        else:
            loss = httpx.ReadError("the answer breaks off")
        loss.__cause__ = exc
        return loss

    def _fail(self, failure: Exception) -> None:
        self.abort()
        if not self._done.done():
            self._done.set_exception(failure)

    def _end(self) -> None:
        self._complete = True
        self._answer.truncated = self._body_bytes > len(self._answer.body)
        if not self._done.done():
            self._done.set_result(None)

    # What the parser finds.

    def on_message_begin(self) -> None:
        """The answer, or another after an interim one such as 100 Continue; a second answer was not asked for."""
        if self._complete:
            self.abort()
        elif self._answer.status is None:
            self._answer.headers = []

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header line; what follows a body in chunks is not looked at."""
        if self._answer.status is not None:
            return
        self._answer.headers.append((name, value))
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
            answer = self._answer
            answer.status, answer.headers_at, answer.truncated = status, perf_counter(), True

    def on_body(self, body: bytes) -> None:
        """Some of the body, without its framing."""
        if self._complete:
            return
        answer = self._answer
        self._body_bytes += len(body)
        if room := answer.body_bytes_max - len(answer.body):
            answer.body += body[:room]
        if self._body_bytes > BODY_DRAIN_BYTES_MAX:
            self.abort()
            self._end()

    def on_message_complete(self) -> None:
        """The end of an answer."""
        if self._answer.status is None or self._complete:
            return
        self._end()
        if not self._parser.should_keep_alive():
            self.abort()


def _too_large() -> HeadTooLarge:
    return HeadTooLarge("the headers of the answer are too large")


_FRAMING = frozenset((b"content-length", b"transfer-encoding"))
_FRAMING_LENGTHS = frozenset(map(len, _FRAMING))
