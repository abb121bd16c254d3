"""The server's side of HTTP/1.1, with a short way for what providers post.

uvicorn's protocol does everything. But the messages of ASGI between it and the application, two to read a request and
two to answer it, cost as much as reading the provider's event; so a POST to the inbound path is collected here, and its
answer is written in one piece. Whatever is unusual, such as a request that comes before the last one was answered,
goes uvicorn's way, to the same answers.
"""

import asyncio
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from app.admission import SMALL_BYTES, Crowded, Holding
from app.answers import RECEIVED, Answer
from app.gateway import Gateway
from app.web.front import Front
from app.web.inbound import (
    PATH,
    Posted,
    announced_length,
    answer_provider,
    header_lines,
    inbound_source,
    refused,
    too_large,
    too_slow,
    turned_away,
)
from app.web.problems import Problem

URLS_REMEMBERED_MAX = 1_024
URL_REMEMBERED_BYTES_MAX = 256
_PATH = PATH.encode()


class Target(NamedTuple):
    """Where a provider posts to."""

    source: str | None
    path: str
    """Percent signs and all."""
    query: str


@lru_cache(URLS_REMEMBERED_MAX)
def _target(url: bytes) -> Target | None:
    """None where the URL is no provider's."""
    parsed = httptools.parse_url(url)
    path: str = parsed.path.decode("ascii")
    is_inbound, source = inbound_source(unquote(path))
    return Target(source, path, (parsed.query or b"").decode("latin-1")) if is_inbound else None


class ProviderProtocol(Front):
    """uvicorn's protocol; `gateway` gives the gateway that takes in what providers post."""

    def __init__(self, *args: Any, gateway: Callable[[], Gateway], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._gateway = gateway
        self._upload: Upload | None = None
        """The provider's request that is being read."""
        self._idle_since: float | None = None
        """When the last answer was written; None while a request is under way."""

    def on_message_begin(self) -> None:
        """The first line follows; what uvicorn prepares for ASGI waits until it is known that it is needed."""
        self.head_bytes = 0
        self.url = b""
        self.headers = []
        self.expect_100_continue = False

    def on_headers_complete(self) -> None:
        """Takes the short way, or uvicorn's."""
        self.head_bytes = None
        if self.url.startswith(_PATH) and self._is_usual() and (upload := self._begin_upload()):
            self.cycle = self._upload = upload  # pyright: ignore[reportAttributeAccessIssue] - it has what is used of a cycle
        else:
            url, headers, expecting = self.url, self.headers, self.expect_100_continue
            super().on_message_begin()
            self.url, self.expect_100_continue = url, expecting
            self.headers.extend(headers)
            super().on_headers_complete()

    def _is_usual(self) -> bool:
        parser, cycle = self.parser, self.cycle
        return (
            parser is not None
            and (cycle is None or cycle.response_complete)  # pyright: ignore[reportUnnecessaryComparison] - as uvicorn asks
            and parser.get_method() == b"POST"
            and not (self.expect_100_continue or parser.should_upgrade())
        )

    def _begin_upload(self) -> "Upload | None":
        parser, url = self.parser, self.url
        target = _target(url) if len(url) <= URL_REMEMBERED_BYTES_MAX else _target.__wrapped__(url)
        if parser is None or target is None:
            return None
        upload = Upload(self, target)
        upload.keep_alive = parser.get_http_version() != "1.0" and parser.should_keep_alive()
        upload.begin(self._gateway())
        return upload

    def on_body(self, body: bytes) -> None:
        """Some of the body."""
        if self._upload is None:
            super().on_body(body)
        else:
            self._upload.take(body)

    def on_message_complete(self) -> None:
        """The end of the request."""
        upload, self._upload = self._upload, None
        if upload is None:
            super().on_message_complete()
        else:
            upload.end()

    # A connection's idle time: one timer that looks now and then, where uvicorn makes and cancels one a request.

    def on_response_complete(self) -> None:
        """Goes on with what waits, or begins to be idle."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
            return
        self._idle_since = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self._look_in(self.timeout_keep_alive)

    def _unset_keepalive_if_required(self) -> None:
        """Is told by uvicorn that something came."""
        self._idle_since = None

    def timeout_keep_alive_handler(self) -> None:
        """Closes the connection if it has been idle for long, else looks again when it may have been."""
        self.timeout_keep_alive_task = None
        if self._idle_since is None or self.transport.is_closing():
            return
        left_s = self._idle_since + self.timeout_keep_alive - self.loop.time()
        if left_s > 0:
            self._look_in(left_s)
        else:
            self.transport.close()

    def _look_in(self, seconds: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(seconds, self.timeout_keep_alive_handler)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stops looking."""
        super().connection_lost(exc)
        if self._upload is not None:
            self._upload.let_go()
        if self.timeout_keep_alive_task is not None:
            self.timeout_keep_alive_task.cancel()
            self.timeout_keep_alive_task = None


class Upload:
    """One provider's request and its answer; to the protocol it is what uvicorn's RequestResponseCycle is."""

    message_event = asyncio.Event()
    """Rung by uvicorn when the connection is lost; nobody waits for it."""

    def __init__(self, protocol: ProviderProtocol, target: Target) -> None:
        self.keep_alive = True
        self.disconnected = False
        self.response_complete = False
        self._protocol = protocol
        self._target = target
        self._headers = protocol.headers
        self._parts = list[bytes]()
        self._size = 0
        self._holding: Holding | None = None
        """What a large body takes of the room for them."""

    def begin(self, gateway: Gateway) -> None:
        """The headers are there: a body that is announced as too large, or that has no room now, is not read."""
        self._gateway = gateway
        self._bytes_max = gateway.settings.body_bytes_max
        try:
            announced = announced_length(self._headers, self._bytes_max)
            if self._target.source is not None:
                gateway.admission.check_wait()
            if announced > SMALL_BYTES:
                self._holding = gateway.admission.holding(self._give_way)
                self._holding.expect(announced)
        except Problem as problem:
            self._answer(refused(problem))
        except Crowded as crowded:
            self._turn_away(crowded)

    def take(self, body: bytes) -> None:
        """Some of the body; what follows an early answer is let pass."""
        if self.response_complete:
            return
        self._parts.append(body)
        self._size += len(body)
        if self._size > self._bytes_max:
            self._answer(refused(too_large(self._bytes_max)))
        elif self._size > SMALL_BYTES:
            self._hold(len(body))

    def _hold(self, size: int) -> None:
        if self._holding is None:
            self._holding = self._gateway.admission.holding(self._give_way)
        try:
            self._holding.take(size)
        except Crowded as crowded:
            self._turn_away(crowded)

    def _turn_away(self, why: Crowded) -> None:
        self._answer(turned_away(self._gateway, self._target.source, self._posted(b""), why))

    def _give_way(self) -> None:
        """Called when others need the room, and the body is still not there."""
        self.keep_alive = False
        self._answer(refused(too_slow()))

    def let_go(self) -> None:
        """Holds the body no more: it is answered, or nobody waits for an answer."""
        self._parts.clear()
        if self._holding is not None:
            self._holding.give_back()

    def end(self) -> None:
        """The request is whole."""
        if not self.response_complete:
            if self._holding is not None:
                self._holding.has_come()
            protocol = self._protocol
            protocol.tasks.add(protocol.loop.create_task(self._receive()))

    async def _receive(self) -> None:
        posted = self._posted(b"".join(self._parts))
        self._parts.clear()
        try:
            self._answer(await answer_provider(self._gateway, self._target.source, posted))
        finally:
            self.let_go()
            task = asyncio.current_task()
            if task is not None:
                self._protocol.tasks.discard(task)

    def _posted(self, body: bytes) -> Posted:
        peer = self._protocol.client[0] if self._protocol.client else ""
        _, path, query = self._target
        return Posted("POST", path, query, self._headers, body, peer)

    def _answer(self, answer: Answer) -> None:
        """Writes it in one piece, unless the provider has hung up."""
        self.response_complete = True
        self.let_go()
        protocol = self._protocol
        if self.disconnected:
            return
        lines = _lines(protocol.server_state.default_headers)
        lines += _RECEIVED_LINES if answer is RECEIVED else _lines(header_lines(answer))
        lines += b"" if self.keep_alive else b"connection: close\r\n"
        protocol.transport.write(b"%s%s\r\n%s" % (STATUS_LINE[answer.status], lines, answer.body))
        if not self.keep_alive:
            protocol.transport.close()
        protocol.on_response_complete()


def _lines(headers: list[tuple[bytes, bytes]]) -> bytes:
    return b"".join([b"%s: %s\r\n" % header for header in headers])


_RECEIVED_LINES = _lines(header_lines(RECEIVED))
