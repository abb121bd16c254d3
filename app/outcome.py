"""What came of one request that went out, nearly always a post to a subscriber, and where its time went."""

from time import perf_counter
from typing import Literal

import msgspec

ERROR_CHARS_MAX = 300

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

    def __init__(self, body_bytes_max: int) -> None:
        self.body_bytes_max = body_bytes_max
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
        self.status: int | None = None
        self.headers: list[tuple[str, str]] = []
        self.body = b""
        self.truncated = False

    def timing(self) -> Timing:
        """The times from the start until now."""
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
        """The end of it. An answer counts even when something went wrong after its headers."""
        if self.status is not None:
            error = kind = None
        message = error and " ".join(error.split())[:ERROR_CHARS_MAX]
        return PostOutcome(self.status, self.headers, self.body, self.truncated, self.timing(), message, kind)


def _span_ms(since: float | None, until: float | None) -> float | None:
    return None if since is None or until is None else (until - since) * 1000
