"""The only door out: one POST to a URL that a stranger chose, guarded where the socket opens.

Strategy: the URL is checked when it is registered and again at every post, but what protects is the check of the
address itself, made when its name has been resolved and once more when the socket for it is made. So neither an odd
spelling nor a name that points elsewhere today leads into a private network. Redirects are an answer like any other,
compressed bodies stay compressed, cookies and the proxies of the environment are ignored.
"""

import asyncio
import socket
import ssl
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from contextvars import ContextVar
from errno import EACCES, ECONNREFUSED, ECONNRESET, EPIPE
from functools import lru_cache, partial
from time import perf_counter
from typing import Any, Literal, cast

import aiohttp
import certifi
import httpx
import msgspec
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.connector import Connection
from aiohttp.http_exceptions import LineTooLong
from httpx_aiohttp import AiohttpTransport

from app.guard import DEFAULT_PORTS, AddressRefused, Guard

__all__ = ["AddressRefused", "Egress", "ErrorKind", "Guard", "PostOutcome", "Timing"]

BODY_BYTES_MAX = 16 * 1024
BODY_DRAIN_BYTES_MAX = 64 * 1024
ERROR_CHARS_MAX = 300
TARGETS_REMEMBERED_MAX = 4096
IDLE_CONNECTION_S = 15.0

DNS_CACHE_S = 30
"""Short enough to follow a subscriber who moves, long enough that a busy endpoint costs two look-ups a minute."""

FRAMING_HEADERS = frozenset(
    ("connection", "content-length", "expect", "host", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade")
)
"""Headers that belong to the connection and not to the message; post leaves them out."""

ErrorKind = Literal["timeout", "refused_address", "connect", "dns", "tls", "protocol", "too_large"]
AddrInfo = tuple[int, int, int, str, tuple[Any, ...]]


class Timing(msgspec.Struct, frozen=True):
    """Where the time of one post went, in milliseconds; None for what did not happen (a connection was reused)."""

    dns_ms: float | None
    connect_ms: float | None
    tls_ms: float | None
    wait_ms: float | None
    """From the connection to the answer's headers: the request's upload and the subscriber's own work."""
    read_ms: float | None
    total_ms: float


class PostOutcome(msgspec.Struct, frozen=True):
    """What came of one post: either an answer (`status`) or the reason why there is none (`error`, `error_kind`)."""

    status: int | None
    headers: list[tuple[str, str]]
    """The answer's headers in their order, names as the subscriber spelled them."""
    body: bytes
    """The first bytes of the answer's body; compressed if the subscriber insisted on it."""
    truncated: bool
    """True when there was more body: over the limit, not sent before the timeout, or cut off on the way."""
    timing: Timing
    error: str | None
    """A sentence for the operator."""
    error_kind: ErrorKind | None


class _Attempt:
    """What is known so far of one post; carried in a context variable to where sockets open."""

    def __init__(self) -> None:
        self.started_at = perf_counter()
        self.plain = False
        self.peer = ""
        self.refused: str | None = None
        self.dns_started_at: float | None = None
        self.dns_ended_at: float | None = None
        self.connect_started_at: float | None = None
        self.tls_started_at: float | None = None
        self.connected_at: float | None = None
        self.answered_at: float | None = None
        self.connection: Connection | None = None
        self.status: int | None = None
        self.headers: list[tuple[str, str]] = []
        self.body = b""
        self.truncated = False

    @property
    def on_reused_connection(self) -> bool:
        return self.connected_at is not None and self.connect_started_at is None

    def timing(self) -> Timing:
        ended_at = perf_counter()
        return Timing(
            dns_ms=_span_ms(self.dns_started_at, self.dns_ended_at),
            connect_ms=_span_ms(self.connect_started_at, self.tls_started_at or self.connected_at),
            tls_ms=_span_ms(self.tls_started_at, self.connected_at),
            wait_ms=_span_ms(self.connected_at, self.answered_at),
            read_ms=_span_ms(self.answered_at, ended_at),
            total_ms=(ended_at - self.started_at) * 1000,
        )

    def outcome(self, error: str | None = None, kind: ErrorKind | None = None) -> PostOutcome:
        if self.status is not None:
            error = kind = None
        message = error and " ".join(error.split())[:ERROR_CHARS_MAX]
        return PostOutcome(self.status, self.headers, self.body, self.truncated, self.timing(), message, kind)

    def abort_connection(self) -> None:
        # A polite close would go on reading an endless body until TLS says goodbye.
        if self.connection is not None and self.connection.transport is not None:
            self.connection.transport.abort()


_attempt: ContextVar[_Attempt] = ContextVar("attempt")


def _span_ms(since: float | None, until: float | None) -> float | None:
    return None if since is None or until is None else (until - since) * 1000


class Egress:
    """Posts to subscribers over kept-alive connections, at most `per_host_max` at once to one host and port.

    `extra_ca_file` (PEM) is trusted beside the system's and certifi's certificate authorities. An instance belongs to
    the event loop of its first post; `aclose` drops the connections.
    """

    def __init__(
        self,
        guard: Guard,
        *,
        user_agent: str,
        connections_max: int = 512,
        per_host_max: int = 64,
        body_bytes_max: int = BODY_BYTES_MAX,
        extra_ca_file: str | None = None,
    ) -> None:
        self._guard = guard
        self._default_headers = {"User-Agent": user_agent, "Accept-Encoding": "identity"}
        self._connections_max = connections_max
        self._per_host_max = per_host_max
        self._body_bytes_max = body_bytes_max
        self._tls = _TlsContext.verifying(extra_ca_file)
        self._target = lru_cache(TARGETS_REMEMBERED_MAX)(guard.check_url)
        self._transport = AiohttpTransport(client=self._open_session, verify=self._tls)

    async def post(self, url: str, *, headers: Mapping[str, str], body: bytes, timeout_s: float) -> PostOutcome:
        """One POST and its outcome; `timeout_s` covers everything from the look-up of the name to the last byte.

        Raises nothing for what the network or the subscriber does. A connection that was kept alive, and turns out to
        have been closed by the subscriber before any answer, is replaced once without counting as an error.
        """
        attempt = _Attempt()
        token = _attempt.set(attempt)
        try:
            target = self._target(url)
            attempt.plain = target.scheme == "http"
            attempt.peer = f"{target.host}:{target.port or DEFAULT_PORTS[target.scheme]}"
            async with asyncio.timeout(timeout_s):
                await self._exchange(attempt, _request(target, headers, body))
        except AddressRefused as refused:
            return attempt.outcome(refused.reason, "refused_address")
        except TimeoutError:
            return attempt.outcome(_lateness(attempt, timeout_s), "timeout")
        except (httpx.TransportError, aiohttp.ClientError, OSError, ValueError) as broken:
            return attempt.outcome(*_failure(attempt, broken))
        finally:
            _attempt.reset(token)
        return attempt.outcome()

    async def aclose(self) -> None:
        """Closes every connection; posts under way end with an error."""
        await self._transport.aclose()

    async def _exchange(self, attempt: _Attempt, request: httpx.Request) -> None:
        response = await self._send(attempt, request)
        attempt.answered_at = perf_counter()
        attempt.status = response.status_code
        attempt.headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in response.headers.raw]
        attempt.truncated = True
        at_end = False
        try:
            at_end = await self._read(attempt, response.stream)
        finally:
            if not at_end:
                attempt.abort_connection()
            await response.aclose()

    async def _send(self, attempt: _Attempt, request: httpx.Request) -> httpx.Response:
        try:
            return await self._transport.handle_async_request(request)
        except httpx.TransportError as broken:
            if not (attempt.on_reused_connection and _is_disconnect(broken.__cause__)):
                raise
            return await self._transport.handle_async_request(request)

    async def _read(self, attempt: _Attempt, body: Any) -> bool:
        """Keeps the first bytes, skips what little may follow, gives up on more; True when it came to the end."""
        bytes_read = 0
        async with aclosing(cast(AsyncGenerator[bytes, None], aiter(body))) as chunks:
            async for chunk in chunks:
                bytes_read += len(chunk)
                attempt.body = (attempt.body + chunk)[: self._body_bytes_max]
                if bytes_read > BODY_DRAIN_BYTES_MAX:
                    return False
        attempt.truncated = bytes_read > self._body_bytes_max
        return True

    def _open_session(self) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            limit=self._connections_max,
            limit_per_host=self._per_host_max,
            ssl=self._tls,
            resolver=_GuardedResolver(self._guard),
            ttl_dns_cache=DNS_CACHE_S,
            socket_factory=partial(_open_socket, self._guard),
            keepalive_timeout=IDLE_CONNECTION_S,
        )
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=self._default_headers,
            request_class=_TimedRequest,
            trust_env=False,
        )


class _TlsContext(ssl.SSLContext):
    """Verifies certificates and names, and notes when a handshake begins: TCP is connected, TLS is not."""

    @classmethod
    def verifying(cls, extra_ca_file: str | None) -> "_TlsContext":
        context = cls(ssl.PROTOCOL_TLS_CLIENT)  # certificates and host names are checked by default
        context.load_default_certs()
        context.load_verify_locations(certifi.where())
        if extra_ca_file is not None:
            context.load_verify_locations(extra_ca_file)
        context.set_alpn_protocols(["http/1.1"])
        return context

    def wrap_bio(self, *args: Any, **options: Any) -> ssl.SSLObject:
        if attempt := _attempt.get(None):
            attempt.tls_started_at = perf_counter()
        return super().wrap_bio(*args, **options)


class _TimedRequest(aiohttp.ClientRequest):
    """Notes when its connection is there, and which one it is."""

    async def send(self, conn: Connection) -> aiohttp.ClientResponse:
        attempt = _attempt.get()
        attempt.connected_at = perf_counter()
        attempt.connection = conn
        return await super().send(conn)


class _GuardedResolver(AbstractResolver):
    """Names to addresses, all of which the guard must allow: a name is refused even if it is only partly private."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        attempt = _attempt.get()
        attempt.dns_started_at = perf_counter()
        addresses = await self._guard.resolve(host, port)
        attempt.dns_ended_at = perf_counter()
        for address in addresses:
            self._guard.check_ip(address)
        return [
            ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=socket.AI_NUMERICHOST)
            for address in addresses
        ]

    async def close(self) -> None:
        """Nothing to close: the guard's threads serve every resolver."""


def _open_socket(guard: Guard, info: AddrInfo) -> socket.socket:
    """The socket to one address, if the guard allows it; this is where every connection begins."""
    attempt = _attempt.get()
    family, kind, protocol, _, address = info
    try:
        guard.check_ip(address[0], plain=attempt.plain)
    except AddressRefused as refused:
        attempt.refused = refused.reason
        raise PermissionError(EACCES, refused.reason) from refused
    attempt.connect_started_at = attempt.connect_started_at or perf_counter()
    return socket.socket(family, kind, protocol)


def _request(target: httpx.URL, headers: Mapping[str, str], body: bytes) -> httpx.Request:
    # With `stream` and not `content` httpx does not work out headers that aiohttp works out again: 15 µs less.
    kept = {name: value for name, value in headers.items() if name.lower() not in FRAMING_HEADERS}
    request = httpx.Request(
        "POST", target, headers=httpx.Headers(kept, encoding="utf-8"), stream=httpx.ByteStream(body)
    )
    request.read()
    return request


def _is_disconnect(cause: BaseException | None) -> bool:
    return isinstance(cause, aiohttp.ServerDisconnectedError) or (
        isinstance(cause, OSError) and cause.errno in (ECONNRESET, EPIPE)
    )


def _lateness(attempt: _Attempt, timeout_s: float) -> str:
    if attempt.connected_at is not None:
        return f"no answer within {timeout_s:g} s"
    missing = "TLS handshake with" if attempt.tls_started_at is not None else "connection to"
    return f"no {missing} {attempt.peer} within {timeout_s:g} s"


def _failure(attempt: _Attempt, broken: Exception) -> tuple[str, ErrorKind]:
    """The sentence for an exception, and its kind. The transport's own exceptions hide aiohttp's, which say more."""
    cause = broken.__cause__ if isinstance(broken, httpx.TransportError) and broken.__cause__ else broken
    if attempt.refused:
        return attempt.refused, "refused_address"
    if isinstance(cause, aiohttp.ClientConnectorCertificateError):
        return f"certificate verify failed: {_verify_message(cause.certificate_error)}", "tls"
    if isinstance(cause, ssl.SSLError):
        return f"the TLS handshake with {attempt.peer} failed: {_readable(cause.reason or cause)}", "tls"
    if isinstance(cause, aiohttp.ClientConnectorDNSError):
        return f"the name {cause.host} does not resolve ({cause.strerror})", "dns"
    if isinstance(cause, aiohttp.ClientResponseError):
        return _bad_answer(cause)
    if isinstance(cause, aiohttp.ServerDisconnectedError):
        return f"{attempt.peer} closed the connection without an answer", "connect"
    if isinstance(cause, OSError):
        return _broken_connection(attempt, cause), "connect"
    return f"the request could not be sent: {cause}", "protocol"


def _verify_message(certificate_error: Exception) -> str:
    return str(getattr(certificate_error, "verify_message", certificate_error))


def _readable(reason: object) -> str:
    """OpenSSL's reasons look like WRONG_VERSION_NUMBER."""
    return str(reason).replace("_", " ").lower()


def _bad_answer(error: aiohttp.ClientResponseError) -> tuple[str, ErrorKind]:
    if isinstance(error.__cause__, LineTooLong):
        return "the headers of the answer are too large", "too_large"
    return f"the answer is not valid HTTP: {error.message}", "protocol"


def _broken_connection(attempt: _Attempt, error: OSError) -> str:
    if error.errno == ECONNREFUSED:
        return f"connection refused by {attempt.peer}"
    broke = "the connection to" if attempt.connected_at else "no connection to"
    verb = " broke" if attempt.connected_at else ""
    return f"{broke} {attempt.peer}{verb}: {error.strerror or error}"
