"""Where providers post: the hot path, in front of the framework's routing.

Litestar's routing and request objects would cost half of what the rest of a provider's request costs.
"""

import asyncio
import re
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import quote

import structlog
from litestar.types import Receive, Send

from adapters.request import NativeRequest
from app.admission import DAWDLES_AFTER_S, SMALL_BYTES, Crowded, Holding
from app.answers import Answer, busy
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
_REFUSALS = {405: "method", 408: "too_slow", 413: "too_large"}
"""The reason to count, by the status of the problem."""

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
        async with asyncio.timeout(None) as patience:
            holding = gateway.admission.holding(lambda: patience.reschedule(asyncio.get_running_loop().time()))
            try:
                body = await _read_body(scope["headers"], receive, gateway, source, holding)
                answer = await answer_provider(gateway, source, _posted(scope, body))
            finally:
                holding.give_back()
    except _Disconnected:
        return
    except TimeoutError:
        answer = refused(too_slow())
        answer = answer._replace(headers=[*answer.headers, ("Connection", "close")])
    except Crowded as crowded:
        answer = turned_away(gateway, source, _posted(scope, b""), crowded)
    except Problem as problem:
        answer = refused(problem)
    await _write(answer, send)


async def answer_provider(gateway: Gateway, source: str | None, posted: Posted) -> Answer:
    """The provider gets its answer whatever goes wrong: 500, or what makes it post again where that would not."""
    request = _native_request(gateway, posted)
    try:
        if source is None:  # only now it can be seen whose answer makes the provider come again
            gateway.admission.check_wait()
        return await gateway.ingest.receive(source, request, api_key=_api_key(request.headers))
    except Crowded as crowded:
        return turned_away(gateway, source, posted, crowded)
    except Exception as fault:  # noqa: BLE001 - any of them
        log.error("inbound.failed", source=source, method=request.method, **loggable(fault))  # noqa: TRY400 - not all of a database's account may be logged
        status = gateway.ingest.busy_status(source, request)
        detail = "Something broke on our side; it has been logged. Please post again."
        return _as_answer(Problem(500 if status == 503 else status, detail))


def turned_away(gateway: Gateway, source: str | None, posted: Posted, why: Crowded) -> Answer:
    """What makes the provider come again, when there is more to do."""
    count_refusal("overload")
    return busy(gateway.ingest.busy_status(source, _native_request(gateway, posted)), f"{why}; please send it again.")


def refused(problem: Problem) -> Answer:
    """The answer to a request that was not even read to its end."""
    count_refusal(_REFUSALS[problem.status])
    return _as_answer(problem)


def announced_length(headers: list[tuple[bytes, bytes]], bytes_max: int) -> int:
    """How long the body will be, 0 where that is not told. Raises Problem (413) when it is too large."""
    announced = next((value for name, value in headers if name == b"content-length"), b"")
    length = int(announced) if announced.isdigit() else 0
    if length > bytes_max:
        raise too_large(bytes_max)
    return length


def too_slow() -> Problem:
    """408, for a large body that others cannot wait for."""
    detail = f"The body took longer than {DAWDLES_AFTER_S:g} s to come, and others need the memory that it holds."
    return Problem(408, f"{detail} Please send it again.")


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


async def _read_body(
    headers: list[tuple[bytes, bytes]], receive: Receive, gateway: Gateway, source: str | None, holding: Holding
) -> bytes:
    bytes_max = gateway.settings.body_bytes_max
    announced = announced_length(headers, bytes_max)
    if source is not None:
        gateway.admission.check_wait()
    if announced > SMALL_BYTES:
        holding.expect(announced)
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
        if size > SMALL_BYTES:
            holding.take(len(part))
        parts.append(part)
        if not message.get("more_body", False):
            holding.has_come()
            return b"".join(parts)


def _as_answer(problem: Problem) -> Answer:
    headers = {"Content-Type": MEDIA_TYPE, **problem.headers}
    return Answer(problem.status, problem_body(problem), tuple(headers.items()))


async def _write(answer: Answer, send: Send) -> None:
    await send({"type": "http.response.start", "status": answer.status, "headers": header_lines(answer)})
    await send({"type": "http.response.body", "body": answer.body, "more_body": False})
