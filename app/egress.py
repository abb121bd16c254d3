"""The only door out: one POST or GET to a URL that a stranger chose, guarded where the socket opens.

Strategy: the URL is checked when it is registered and again at every request, but what protects is the check of the
address itself, made when its name has been resolved and once more when the socket for it is made. So neither an odd
spelling nor a name that points elsewhere today leads into a private network. Redirects are an answer like any other,
compressed bodies stay compressed, cookies and the proxies of the environment are ignored.
"""

import asyncio
import socket
import ssl
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from contextvars import ContextVar
from errno import EACCES, ECONNREFUSED, ECONNRESET, EPIPE
from functools import lru_cache, partial
from time import perf_counter
from typing import Any, NamedTuple, cast

import aiohttp
import certifi
import httpx
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.connector import Connection
from aiohttp.http_exceptions import LineTooLong
from httpx_aiohttp import AiohttpTransport

from app.guard import DEFAULT_PORTS, AddressRefused, Guard
from app.outcome import ErrorKind, PostNotes, PostOutcome, Timing

__all__ = ["AddressRefused", "Egress", "ErrorKind", "Guard", "PostOutcome", "Timing"]

BODY_BYTES_MAX = 16 * 1024
BODY_DRAIN_BYTES_MAX = 64 * 1024
HEADER_BYTES_MAX = 16 * 1024
FETCHED_BYTES_MAX = 64 * 1024
TARGETS_REMEMBERED_MAX = 4096
IDLE_CONNECTION_S = 15.0

DNS_CACHE_S = 30
"""Short enough to follow a subscriber who moves, long enough that a busy endpoint costs two look-ups a minute."""

FRAMING_HEADERS = frozenset(
    ("connection", "content-length", "expect", "host", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade")
)
"""Headers that belong to the connection and not to the message; they are left out."""

AddrInfo = tuple[int, int, int, str, tuple[Any, ...]]

_notes: ContextVar[PostNotes] = ContextVar("notes")
"""Those of the request for which a name is resolved or a socket opened; in tasks of aiohttp's own too."""


class _Target(NamedTuple):
    url: httpx.URL
    plain: bool
    peer: str
    """Host and port, for sentences."""


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
        self._closed = False
        self._default_headers = {"User-Agent": user_agent, "Accept-Encoding": "identity"}
        self._connections_max = connections_max
        self._per_host_max = per_host_max
        self._body_bytes_max = body_bytes_max
        self._tls = _TlsContext.verifying(extra_ca_file)
        self._target = lru_cache(TARGETS_REMEMBERED_MAX)(self._aim)
        self._transport = AiohttpTransport(client=self._open_session, verify=self._tls)

    async def post(self, url: str, *, headers: Mapping[str, str], body: bytes, timeout_s: float) -> PostOutcome:
        """One POST and its outcome; `timeout_s` covers everything from the look-up of the name to the last byte.

        Raises nothing for what the network or the subscriber does. A connection that was kept alive, and turns out to
        have been closed by the subscriber before any answer, is replaced once without counting as an error.
        """
        return await self._outcome(url, timeout_s, PostNotes(self._body_bytes_max), partial(_post, headers, body))

    async def get(self, url: str, *, timeout_s: float) -> PostOutcome:
        """One GET, for what the gateway itself wants to know; as `post`, but up to 64 KiB of the answer are kept."""
        return await self._outcome(url, timeout_s, PostNotes(FETCHED_BYTES_MAX), partial(httpx.Request, "GET"))

    async def aclose(self) -> None:
        """Closes every connection; requests under way end with an error."""
        self._closed = True
        await self._transport.aclose()

    async def _outcome(
        self, url: str, timeout_s: float, notes: PostNotes, request_to: Callable[[httpx.URL], httpx.Request]
    ) -> PostOutcome:
        token = _notes.set(notes)
        try:
            target = self._target(url)
            notes.plain, notes.peer = target.plain, target.peer
            async with asyncio.timeout(timeout_s):
                await self._exchange(notes, request_to(target.url))
        except AddressRefused as refused:
            return notes.outcome(refused.reason, "refused_address")
        except TimeoutError:
            return notes.outcome(_lateness(notes, timeout_s), "timeout")
        except (httpx.TransportError, aiohttp.ClientError, OSError, ValueError) as broken:
            return notes.outcome(*_failure(notes, broken))
        finally:
            _notes.reset(token)
        return notes.outcome()

    def _aim(self, url: str) -> _Target:
        parsed = self._guard.check_url(url)
        host = f"[{parsed.host}]" if ":" in parsed.host else parsed.host
        return _Target(parsed, parsed.scheme == "http", f"{host}:{parsed.port or DEFAULT_PORTS[parsed.scheme]}")

    async def _exchange(self, notes: PostNotes, request: httpx.Request) -> None:
        response: httpx.Response | None = None
        at_end = False
        try:
            response = await self._send(notes, request)
            notes.answered_at = perf_counter()
            notes.status = response.status_code
            notes.headers = _first_headers(response.headers.raw)
            notes.truncated = True
            at_end = await self._read(notes, response.stream)
        finally:
            if not at_end:
                notes.abort_connection()
            if response is not None:
                await response.aclose()

    async def _send(self, notes: PostNotes, request: httpx.Request) -> httpx.Response:
        try:
            return await self._transport.handle_async_request(request)
        except httpx.TransportError as broken:
            if self._closed or not (notes.on_reused_connection and _is_disconnect(broken.__cause__)):
                raise
            return await self._transport.handle_async_request(request)

    async def _read(self, notes: PostNotes, body: Any) -> bool:
        """Keeps the first bytes, skips what little may follow, gives up on more; True when it came to the end."""
        bytes_read = 0
        async with aclosing(cast(AsyncGenerator[bytes, None], aiter(body))) as chunks:
            async for chunk in chunks:
                bytes_read += len(chunk)
                notes.body = (notes.body + chunk)[: notes.body_bytes_max]
                if bytes_read > BODY_DRAIN_BYTES_MAX:
                    return False
        notes.truncated = bytes_read > notes.body_bytes_max
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
        if notes := _notes.get(None):
            notes.tls_started_at = perf_counter()
        return super().wrap_bio(*args, **options)


class _TimedRequest(aiohttp.ClientRequest):
    """Notes when its connection is there, and which one it is."""

    async def send(self, conn: Connection) -> aiohttp.ClientResponse:
        notes = _notes.get()
        notes.connected_at = perf_counter()
        notes.connection, notes.transport = conn, conn.transport
        return await super().send(conn)


class _GuardedResolver(AbstractResolver):
    """Names to addresses, all of which the guard must allow: a name is refused even if it is only partly private."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        notes = _notes.get()
        notes.dns_started_at = perf_counter()
        addresses = await self._guard.resolve(host, port)
        notes.dns_ended_at = perf_counter()
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
    notes = _notes.get()
    family, kind, protocol, _, address = info
    try:
        guard.check_ip(address[0], plain=notes.plain)
    except AddressRefused as refused:
        notes.refused = refused.reason
        raise PermissionError(EACCES, refused.reason) from refused
    notes.connect_started_at = notes.connect_started_at or perf_counter()
    return socket.socket(family, kind, protocol)


def _post(headers: Mapping[str, str], body: bytes, target: httpx.URL) -> httpx.Request:
    # With `stream` and not `content` httpx does not work out headers that aiohttp works out again: 15 µs less. And
    # aiohttp takes the headers as they are, while httpx's own would be encoded for it and decoded by it: 25 µs less.
    request = httpx.Request("POST", target, stream=httpx.ByteStream(body))
    kept = {name: value for name, value in headers.items() if name.lower() not in FRAMING_HEADERS}
    request.headers = cast("httpx.Headers", kept)
    request.read()
    return request


def _first_headers(raw: list[tuple[bytes, bytes]]) -> list[tuple[str, str]]:
    """The answer's headers, as far as there is room to keep them."""
    kept: list[tuple[str, str]] = []
    room = HEADER_BYTES_MAX
    for name, value in raw:
        room -= len(name) + len(value)
        if room < 0:
            break
        kept.append((name.decode("latin-1"), value.decode("latin-1")))
    return kept


def _is_disconnect(cause: BaseException | None) -> bool:
    return isinstance(cause, aiohttp.ServerDisconnectedError) or (
        isinstance(cause, OSError) and cause.errno in (ECONNRESET, EPIPE)
    )


def _lateness(notes: PostNotes, timeout_s: float) -> str:
    if notes.connected_at is not None:
        return f"no answer within {timeout_s:g} s"
    missing = "TLS handshake with" if notes.tls_started_at is not None else "connection to"
    return f"no {missing} {notes.peer} within {timeout_s:g} s"


def _failure(notes: PostNotes, broken: Exception) -> tuple[str, ErrorKind]:
    """The sentence for an exception, and its kind. The transport's own exceptions hide aiohttp's, which say more."""
    cause = broken.__cause__ if isinstance(broken, httpx.TransportError) and broken.__cause__ else broken
    if notes.refused:
        return notes.refused, "refused_address"
    if isinstance(cause, aiohttp.ClientConnectorCertificateError):
        return f"certificate verify failed: {_verify_message(cause.certificate_error)}", "tls"
    if isinstance(cause, aiohttp.ClientConnectorSSLError):
        return f"the TLS handshake with {notes.peer} failed: {_reason_of(cause)}", "tls"
    if isinstance(cause, aiohttp.ClientConnectorDNSError):
        return f"the name {cause.host} does not resolve ({cause.strerror})", "dns"
    if isinstance(cause, aiohttp.ClientResponseError):
        return _bad_answer(cause)
    if isinstance(cause, aiohttp.ServerDisconnectedError):
        return f"{notes.peer} closed the connection without an answer", "connect"
    if isinstance(cause, OSError):
        return _broken_connection(notes, cause), "connect"
    return f"the request could not be sent: {cause}", "protocol"


def _verify_message(certificate_error: Exception) -> str:
    return str(getattr(certificate_error, "verify_message", certificate_error))


def _reason_of(failed_handshake: Exception) -> str:
    """OpenSSL's reason, which looks like WRONG_VERSION_NUMBER, for people."""
    error = getattr(failed_handshake, "os_error", failed_handshake)
    return str(getattr(error, "reason", None) or error).replace("_", " ").lower()


def _bad_answer(error: aiohttp.ClientResponseError) -> tuple[str, ErrorKind]:
    if _caused_by(error, LineTooLong):
        return "the headers of the answer are too large", "too_large"
    return f"the answer is not valid HTTP: {error.message}", "protocol"


def _caused_by(error: BaseException, kind: type[BaseException]) -> bool:
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, kind):
        cause = cause.__cause__
    return cause is not None


def _broken_connection(notes: PostNotes, error: OSError) -> str:
    if error.errno == ECONNREFUSED:
        return f"connection refused by {notes.peer}"
    what = "the connection broke" if notes.connected_at is not None else "no connection"
    return f"{what}: {notes.peer}: {error.strerror or error}"
