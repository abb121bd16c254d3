"""Where providers post: the hot path, in front of the framework's routing.

Litestar's routing and request objects would cost half of what the rest of a provider's request costs.
"""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import quote

import structlog
from litestar.types import Receive, Send

from adapters.request import NativeRequest
from app.answers import Answer
from app.gateway import Gateway
from app.metrics import count_refusal
from app.web.auth import KEY_CHARS_MAX, bearer_key
from app.web.problems import MEDIA_TYPE, Problem, loggable, problem_body

PATH = "/api/webhooks"
METHODS = frozenset({"POST", "GET", "HEAD", "OPTIONS"})
"""What a provider may send: its events, and what some ask for before they do."""
RESERVED_NAMES = frozenset({"manage"})
"""Names that no source may have, because they are paths of the API."""

_INBOUND = re.compile(PATH + r"(?:/(?!manage(?:/|$))([^/]+))?/?")

_JSON = (b"content-type", b"application/json")

log = structlog.get_logger()


class _Disconnected(Exception):
    """The provider hung up before its body had arrived."""


class Posted(NamedTuple):
    """One request of a provider, whole."""

    method: str
    path: str
    """As it came, percent signs and all."""
    query: str
    headers: list[tuple[bytes, bytes]]
    """Names in small letters."""
    body: bytes
    peer: str
    """The address at the other end of the connection; empty where there is none."""


def inbound_source(path: str) -> tuple[bool, str | None]:
    """Whether providers post to this path, and the source that it names, if it names one."""
    found = _INBOUND.fullmatch(path)
    return found is not None, found[1] if found else None


async def receive_webhook(gateway: Gateway, source: str | None, scope: Any, receive: Receive, send: Send) -> None:
    """Answers one provider request that comes by ASGI; a provider that hangs up gets no answer."""
    try:
        _check_method(scope["method"])
        body = await _read_body(scope["headers"], receive, gateway.settings.body_bytes_max)
        answer = await answer_provider(gateway, source, _posted(scope, body))
    except _Disconnected:
        return
    except Problem as problem:
        answer = refused(problem)
    await _write(answer, send)


async def answer_provider(gateway: Gateway, source: str | None, posted: Posted) -> Answer:
    """The provider gets its answer whatever goes wrong: 500, or what makes it post again where that would not."""
    request = _native_request(gateway, posted)
    try:
        return await gateway.ingest.receive(source, request, api_key=_api_key(request.headers))
    except Exception as fault:  # noqa: BLE001 - any of them
        log.error("inbound.failed", source=source, method=request.method, **loggable(fault))  # noqa: TRY400 - not all of a database's account may be logged
        status = gateway.ingest.busy_status(source, request)
        detail = "Something broke on our side; it has been logged. Please post again."
        return _as_answer(Problem(500 if status == 503 else status, detail))


def refused(problem: Problem) -> Answer:
    """The answer to a request that was not even read to its end."""
    count_refusal("too_large" if problem.status == 413 else "method")
    return _as_answer(problem)


def check_length(headers: list[tuple[bytes, bytes]], bytes_max: int) -> None:
    """Raises Problem (413) when the body is announced as too large."""
    announced = next((value for name, value in headers if name == b"content-length"), b"")
    if announced.isdigit() and int(announced) > bytes_max:
        raise too_large(bytes_max)


def too_large(bytes_max: int) -> Problem:
    """413, with the setting to change."""
    return Problem(413, f"The body is larger than {bytes_max} bytes; MAILWEIR_BODY_BYTES_MAX sets the limit.")


def header_lines(answer: Answer) -> list[tuple[bytes, bytes]]:
    """The answer's headers, its length among them."""
    headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in answer.headers]
    headers = headers or [_JSON]
    headers.append((b"content-length", b"%d" % len(answer.body)))
    return headers


def _check_method(method: str) -> None:
    if method not in METHODS:
        raise Problem(405, f"Providers post their webhooks here; {method} means nothing.", headers={"Allow": "POST"})


def _posted(scope: Any, body: bytes) -> Posted:
    raw_path: bytes | None = scope.get("raw_path")
    path = raw_path.partition(b"?")[0].decode("latin-1") if raw_path else quote(scope["path"])
    peer: str = (scope.get("client") or ("",))[0]
    return Posted(scope["method"], path, scope["query_string"].decode("latin-1"), scope["headers"], body, peer)


def _native_request(gateway: Gateway, posted: Posted) -> NativeRequest:
    url = f"{gateway.settings.base_url}{posted.path}"
    return NativeRequest(
        method=posted.method,
        url=f"{url}?{posted.query}" if posted.query else url,
        headers={name.decode("latin-1"): value.decode("latin-1") for name, value in posted.headers},
        body=posted.body,
        client=gateway.proxies.client(posted.peer, posted.headers),
    )


def _api_key(headers: Mapping[str, str]) -> str | None:
    key = bearer_key(headers)
    return key if key and len(key) <= KEY_CHARS_MAX else None


async def _read_body(headers: list[tuple[bytes, bytes]], receive: Receive, bytes_max: int) -> bytes:
    check_length(headers, bytes_max)
    parts = list[bytes]()
    size = 0
    while True:
        message: Any = await receive()
        if message["type"] == "http.disconnect":
            raise _Disconnected
        part: bytes = message.get("body", b"")
        size += len(part)
        if size > bytes_max:
            raise too_large(bytes_max)
        parts.append(part)
        if not message.get("more_body", False):
            return b"".join(parts)


def _as_answer(problem: Problem) -> Answer:
    headers = {"Content-Type": MEDIA_TYPE, **problem.headers}
    return Answer(problem.status, problem_body(problem), tuple(headers.items()))


async def _write(answer: Answer, send: Send) -> None:
    await send({"type": "http.response.start", "status": answer.status, "headers": header_lines(answer)})
    await send({"type": "http.response.body", "body": answer.body, "more_body": False})
