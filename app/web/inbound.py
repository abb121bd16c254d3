"""Where providers post: the hot path, a plain ASGI function in front of the framework's routing.

Litestar's routing and request objects would cost half of what the rest of a provider's request costs.
"""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import structlog
from litestar.types import Receive, Send

from adapters.request import NativeRequest
from app.gateway import Gateway
from app.ingest import Answer
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


def inbound_source(scope: Any) -> tuple[bool, str | None]:
    """Whether the request is a provider's, and the source that its path names, if it names one."""
    found = _INBOUND.fullmatch(scope["path"]) if scope["type"] == "http" else None
    return found is not None, found[1] if found else None


async def receive_webhook(gateway: Gateway, source: str | None, scope: Any, receive: Receive, send: Send) -> None:
    """Reads one provider request, hands it to ingest and writes the answer; a provider that hangs up gets none."""
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    try:
        _check_method(scope["method"])
        body = await _read_body(headers, receive, gateway.settings.body_bytes_max)
        answer = await _received(gateway, source, _native_request(gateway, scope, headers, body))
    except _Disconnected:
        return
    except Problem as problem:
        count_refusal("too_large" if problem.status == 413 else "method")
        answer = _as_answer(problem)
    await _write(answer, send)


async def _received(gateway: Gateway, source: str | None, request: NativeRequest) -> Answer:
    """The provider gets its answer whatever goes wrong: 500, or what makes it post again where that would not."""
    try:
        return await gateway.ingest.receive(source, request, api_key=_api_key(request.headers))
    except Exception as fault:  # noqa: BLE001 - any of them
        log.error("inbound.failed", source=source, method=request.method, **loggable(fault))  # noqa: TRY400 - not all of a database's account may be logged
        status = gateway.ingest.busy_status(source, request)
        detail = "Something broke on our side; it has been logged. Please post again."
        return _as_answer(Problem(500 if status == 503 else status, detail))


def _check_method(method: str) -> None:
    if method not in METHODS:
        raise Problem(405, f"Providers post their webhooks here; {method} means nothing.", headers={"Allow": "POST"})


def _native_request(gateway: Gateway, scope: Any, headers: dict[str, str], body: bytes) -> NativeRequest:
    path: str = (
        scope["raw_path"].partition(b"?")[0].decode("latin-1") if scope.get("raw_path") else quote(scope["path"])
    )
    query: bytes = scope["query_string"]
    url = f"{gateway.settings.base_url}{path}" + (f"?{query.decode('latin-1')}" if query else "")
    client = gateway.proxies.client(scope)
    return NativeRequest(method=scope["method"], url=url, headers=headers, body=body, client=client)


def _api_key(headers: Mapping[str, str]) -> str | None:
    key = bearer_key(headers)
    return key if key and len(key) <= KEY_CHARS_MAX else None


async def _read_body(headers: dict[str, str], receive: Receive, bytes_max: int) -> bytes:
    announced = headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > bytes_max:
        raise _too_large(bytes_max)
    parts = list[bytes]()
    size = 0
    while True:
        message: Any = await receive()
        if message["type"] == "http.disconnect":
            raise _Disconnected
        part: bytes = message.get("body", b"")
        size += len(part)
        if size > bytes_max:
            raise _too_large(bytes_max)
        parts.append(part)
        if not message.get("more_body", False):
            return b"".join(parts)


def _too_large(bytes_max: int) -> Problem:
    return Problem(413, f"The body is larger than {bytes_max} bytes; MAILWEIR_BODY_BYTES_MAX sets the limit.")


def _as_answer(problem: Problem) -> Answer:
    headers = {"Content-Type": MEDIA_TYPE, **problem.headers}
    return Answer(problem.status, problem_body(problem), tuple(headers.items()))


async def _write(answer: Answer, send: Send) -> None:
    headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in answer.headers]
    headers = headers or [_JSON]
    headers.append((b"content-length", b"%d" % len(answer.body)))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body, "more_body": False})
