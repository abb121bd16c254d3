"""What providers are told."""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from adapters.adapter import Adapter
from adapters.handshake import Answer as Handshaken

RETRY_AFTER_S = 5


class Answer(NamedTuple):
    """One HTTP answer; without headers it is JSON."""

    status: int
    body: bytes
    headers: Sequence[tuple[str, str]] = ()


RECEIVED = Answer(200, b'{"received": true}')


def problem(status: int, title: str, detail: str, *headers: tuple[str, str]) -> Answer:
    """Problem details (RFC 9457)."""
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    return Answer(status, msgspec.json.encode(body), (("Content-Type", "application/problem+json"), *headers))


def unknown_source(name: str | None) -> Answer:
    """404, with what to do about it."""
    if name is None:
        return problem(
            404,
            "Unknown source",
            "No source's provider sends requests of this shape; add it, or post to /api/webhooks/{source}.",
        )
    return problem(404, "Unknown source", f"There is no source named {name[:100]!r}; add it with POST /api/sources.")


def wrong_method(adapter: Adapter) -> Answer:
    """405, for a method by which this provider neither sends events nor asks for anything."""
    allowed = ", ".join(adapter.answered_methods)
    return problem(405, "Method not allowed", "Providers post their webhooks here.", ("Allow", allowed))


def not_authentic(adapter: Adapter, reason: str | None, *, by_password: bool) -> Answer:
    """What a refused request is told. Some providers send credentials only after a 401 that asks for them."""
    status = adapter.refused_status
    challenge = adapter.challenge if status == 401 and by_password else None
    headers = [("WWW-Authenticate", challenge)] if challenge else []
    return problem(status, "Not authentic", f"{reason}.", *headers)


def busy(status: int, detail: str) -> Answer:
    """The status that makes the provider try again."""
    return problem(status, "Try again later", detail, ("Retry-After", str(RETRY_AFTER_S)))


def handshaken(answer: Handshaken) -> Answer:
    """What a mapping says to a provider that tries the URL."""
    media_type = "application/json" if answer.body[:1] in (b"{", b"[") else "text/plain; charset=utf-8"
    headers = {"content-type": media_type, **{name.lower(): value for name, value in answer.headers.items()}}
    return Answer(answer.status, answer.body, tuple(headers.items()))
