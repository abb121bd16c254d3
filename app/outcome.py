"""What came of one request that went out, nearly always a post to a subscriber, and where its time went."""

from time import perf_counter
from typing import Literal

import msgspec

from app.http1 import Answer, Headers

ERROR_CHARS_MAX = 300
HEADER_BYTES_MAX = 16 * 1024

ErrorKind = Literal["timeout", "refused_address", "connect", "dns", "tls", "protocol", "too_large"]


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
    """The answer's headers in their order, names as the subscriber spelled them; what exceeds 16 KiB is left out."""
    body: bytes
    """The first bytes of the answer's body; compressed if the subscriber insisted on it."""
    truncated: bool
    """True when there was more body: over the limit, not sent before the timeout, or cut off on the way."""
    timing: Timing
    error: str | None
    """A sentence for the operator."""
    error_kind: ErrorKind | None


class PostNotes:
    """What is known so far of one request under way. Times are `perf_counter` seconds."""

    __slots__ = (
        "answer",
        "connect_started_at",
        "connected_at",
        "dns_ended_at",
        "dns_started_at",
        "peer",
        "plain",
        "refused",
        "started_at",
        "tls_started_at",
    )

    def __init__(self, body_bytes_max: int) -> None:
        self.answer = Answer(body_bytes_max)
        self.started_at = perf_counter()
        self.plain = False
        self.peer = ""
        self.refused: str | None = None
        self.dns_started_at: float | None = None
        self.dns_ended_at: float | None = None
        self.connect_started_at: float | None = None
        self.tls_started_at: float | None = None
        self.connected_at: float | None = None

    def timing(self) -> Timing:
        """The times from the start until now."""
        ended_at, headers_at = perf_counter(), self.answer.headers_at
        total_ms = (ended_at - self.started_at) * 1000
        wait_ms, read_ms = _span_ms(self.connected_at, headers_at), _span_ms(headers_at, ended_at)
        if self.dns_started_at is self.connect_started_at is None:  # the connection was there
            return Timing(None, None, None, wait_ms, read_ms, total_ms)
        return Timing(
            dns_ms=_span_ms(self.dns_started_at, self.dns_ended_at),
            connect_ms=_span_ms(self.connect_started_at, self.tls_started_at or self.connected_at),
            tls_ms=_span_ms(self.tls_started_at, self.connected_at),
            wait_ms=wait_ms,
            read_ms=read_ms,
            total_ms=total_ms,
        )

    def outcome(self, error: str | None = None, kind: ErrorKind | None = None) -> PostOutcome:
        """The end of it. An answer counts even when something went wrong after its headers."""
        answer = self.answer
        if answer.status is not None:
            error = kind = None
        message = error and " ".join(error.split())[:ERROR_CHARS_MAX]
        headers = [] if answer.status is None else _first_headers(answer.headers)
        return PostOutcome(answer.status, headers, answer.body, answer.truncated, self.timing(), message, kind)


def _first_headers(raw: Headers) -> list[tuple[str, str]]:
    """The answer's headers, as far as there is room to keep them."""
    kept: list[tuple[str, str]] = []
    room = HEADER_BYTES_MAX
    for name, value in raw:
        room -= len(name) + len(value)
        if room < 0:
            break
        kept.append((name.decode("latin-1"), value.decode("latin-1")))
    return kept


def _span_ms(since: float | None, until: float | None) -> float | None:
    return None if since is None or until is None else (until - since) * 1000
