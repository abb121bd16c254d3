"""The only door out: one POST or GET to a URL that a stranger chose, guarded where the socket opens.

Strategy: the URL is checked when it is registered and again at every request, but what protects is the check of the
address itself, made when its name has been resolved and once more when the socket for it is made. So neither an odd
spelling nor a name that points elsewhere today leads into a private network. Redirects are an answer like any other,
compressed bodies stay compressed, cookies and the proxies of the environment are ignored.
"""

import ssl
from collections.abc import Mapping
from errno import ECONNREFUSED
from functools import cache, lru_cache
from typing import NamedTuple

import certifi
import httpx

from app.connections import HEAD, NOTES, ConnectionPool, HandshakeFailed, NameUnknown
from app.guard import DEFAULT_PORTS, AddressRefused, Guard
from app.http1 import BODY_DRAIN_BYTES_MAX, Disconnected, HeadTooLarge
from app.outcome import ErrorKind, PostNotes, PostOutcome, Timing
from app.time_limits import TimeLimits

__all__ = ["BODY_DRAIN_BYTES_MAX", "AddressRefused", "Egress", "ErrorKind", "Guard", "PostOutcome", "Timing"]

BODY_BYTES_MAX = 16 * 1024
FETCHED_BYTES_MAX = 64 * 1024
TARGETS_REMEMBERED_MAX = 4096
HEADER_SETS_REMEMBERED_MAX = 1024

FRAMING_HEADERS = frozenset(
    ("connection", "content-length", "expect", "host", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade")
)
"""Headers that belong to the connection and not to the message; they are left out."""


class _Target(NamedTuple):
    url: httpx.URL
    plain: bool
    peer: str
    """Host and port, for sentences."""
    beginning: str
    """Of every request to it, after the method."""


class _Lines(NamedTuple):
    """The header lines of requests that carry headers of the same names."""

    template: str
    """To be filled in with the values in their order."""
    number: int


class Egress:
    """Posts to subscribers over kept-alive connections, at most `connections_max` of them.

    `extra_ca_file` (PEM) is trusted beside the system's and certifi's certificate authorities. An instance belongs to
    the event loop it was made in; `aclose` drops the connections.
    """

    def __init__(
        self,
        guard: Guard,
        *,
        user_agent: str,
        connections_max: int = 512,
        body_bytes_max: int = BODY_BYTES_MAX,
        extra_ca_file: str | None = None,
    ) -> None:
        self._guard = guard
        self._default_headers = {"User-Agent": user_agent, "Accept": "*/*", "Accept-Encoding": "identity"}
        self._lines = lru_cache(HEADER_SETS_REMEMBERED_MAX)(self._arrange)
        self._body_bytes_max = body_bytes_max
        self._target = lru_cache(TARGETS_REMEMBERED_MAX)(self._aim)
        self._limits = TimeLimits()
        self._transport = ConnectionPool(guard, _tls_context(extra_ca_file), connections_max=connections_max)

    async def post(
        self,
        url: str,
        *,
        headers: Mapping[str, str],
        body: bytes,
        timeout_s: float,
        body_bytes_max: int | None = None,
    ) -> PostOutcome:
        """One POST and its outcome; `timeout_s` covers everything from the look-up of the name to the last byte.

        `body_bytes_max` is how much of the answer is wanted where that is another amount than for all.

        Raises nothing for what the network or the subscriber does. A connection that was kept alive, and turns out to
        have been closed by the subscriber before any answer, is replaced once without counting as an error.
        """
        notes = PostNotes(self._body_bytes_max if body_bytes_max is None else body_bytes_max)
        return await self._outcome("POST", url, headers, body, timeout_s, notes)

    async def get(self, url: str, *, timeout_s: float) -> PostOutcome:
        """One GET, for what the gateway itself wants to know; as `post`, but up to 64 KiB of the answer are kept."""
        return await self._outcome("GET", url, {}, None, timeout_s, PostNotes(FETCHED_BYTES_MAX))

    async def aclose(self) -> None:
        """Closes every connection; requests under way end with an error."""
        await self._transport.aclose()

    async def _outcome(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, timeout_s: float, notes: PostNotes
    ) -> PostOutcome:
        try:
            target = self._target(url)
            notes.plain, notes.peer = target.plain, target.peer
            request = self._request(method, target, headers, body, notes)
            with self._limits.within(timeout_s):
                await self._transport.handle_async_request(request)
        except AddressRefused as refused:
            return notes.outcome(refused.reason, "refused_address")
        except TimeoutError:
            return notes.outcome(_lateness(notes, timeout_s), "timeout")
        except httpx.TransportError as broken:
            return notes.outcome(*_failure(notes, broken))
        return notes.outcome()

    def _aim(self, url: str) -> _Target:
        parsed = self._guard.check_url(url)
        host = f"[{parsed.host}]" if ":" in parsed.host else parsed.host
        peer = f"{host}:{parsed.port or DEFAULT_PORTS[parsed.scheme]}"
        path = parsed.raw_path.decode("ascii")
        beginning = f" {path} HTTP/1.1\r\nHost: {parsed.netloc.decode('ascii')}\r\n"
        return _Target(parsed, parsed.scheme == "http", peer, beginning)

    def _arrange(self, names: tuple[str, ...]) -> _Lines:
        """Those of the callers, which may stand for ours, without those that are the connection's."""
        own = [name.lower() for name in names]
        lines = [f"{name}: {value}\r\n" for name, value in self._default_headers.items() if name.lower() not in own]
        escaped = [name.replace("%", "%%") for name in names]
        lines += ["%.0s" if name.lower() in FRAMING_HEADERS else f"{name}: %s\r\n" for name in escaped]
        template = "".join(lines)
        return _Lines(template, template.count("\n"))

    def _request(
        self, method: str, target: _Target, headers: Mapping[str, str], body: bytes | None, notes: PostNotes
    ) -> httpx.Request:
        """A request whose headers stand in its head alone: made as httpx.Headers they would cost 10 µs more.

        Raises httpx.LocalProtocolError for headers that would break out of their lines.
        """
        template, number = self._lines((*headers,))
        lines = template % (*headers.values(),)
        if lines.count("\n") != number or lines.count("\r") != number or "\x00" in lines:
            raise httpx.LocalProtocolError("a header holds a line break")
        length = "" if body is None else f"Content-Length: {len(body)}\r\n"
        head = f"{method}{target.beginning}{length}{lines}\r\n".encode()
        return httpx.Request(
            method, target.url, stream=httpx.ByteStream(body or b""), extensions={HEAD: head, NOTES: notes}
        )


@cache
def _tls_context(extra_ca_file: str | None) -> ssl.SSLContext:
    """Made once: to read all certificates takes longer than to open a gateway."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # certificates and host names are checked by default
    context.load_default_certs()
    context.load_verify_locations(certifi.where())
    if extra_ca_file is not None:
        context.load_verify_locations(extra_ca_file)
    context.set_alpn_protocols(["http/1.1"])
    return context


def _lateness(notes: PostNotes, timeout_s: float) -> str:
    if notes.connected_at is not None:
        return f"no answer within {timeout_s:g} s"
    missing = "TLS handshake with" if notes.tls_started_at is not None else "connection to"
    return f"no {missing} {notes.peer} within {timeout_s:g} s"


def _failure(notes: PostNotes, broken: httpx.TransportError) -> tuple[str, ErrorKind]:
    """The sentence for what the transport raised, and its kind."""
    cause = broken.__cause__
    if notes.refused:
        return notes.refused, "refused_address"
    if isinstance(broken, NameUnknown):
        return str(broken), "dns"
    if isinstance(broken, HandshakeFailed):
        return _failed_handshake(notes, cause), "tls"
    if isinstance(broken, HeadTooLarge):
        return str(broken), "too_large"
    if isinstance(broken, Disconnected):
        return f"{notes.peer} closed the connection without an answer", "connect"
    if isinstance(broken, httpx.RemoteProtocolError):
        return f"the answer is not valid HTTP: {broken}", "protocol"
    if isinstance(broken, httpx.LocalProtocolError):
        return f"the request could not be sent: {broken}", "protocol"
    return _broken_connection(notes, cause or broken), "connect"


def _failed_handshake(notes: PostNotes, cause: BaseException | None) -> str:
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"certificate verify failed: {cause.verify_message}"
    # OpenSSL's reason, which looks like WRONG_VERSION_NUMBER, for people.
    reason = str(getattr(cause, "reason", None) or cause).replace("_", " ").lower()
    return f"the TLS handshake with {notes.peer} failed: {reason}"


def _broken_connection(notes: PostNotes, error: BaseException) -> str:
    number = getattr(error, "errno", None)
    if number == ECONNREFUSED:
        return f"connection refused by {notes.peer}"
    what = "the connection broke" if notes.connected_at is not None else "no connection"
    return f"{what}: {notes.peer}: {getattr(error, 'strerror', None) or error}"
