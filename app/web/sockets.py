"""Refusals of WebSockets: the same problem details as everywhere, as the answer to the handshake."""

from typing import Any

from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Receive, Scope, Send

from app.web.problems import MEDIA_TYPE, Problem, problem_body

_INTERNAL_ERROR = 1011


class SocketProblems(ASGIMiddleware):
    """Answers a problem that a middleware raises; one that a handler raises the framework would answer with 403."""

    scopes = (ScopeType.WEBSOCKET,)

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        """Lets it through, or refuses it."""
        try:
            await next_app(scope, receive, send)
        except Problem as problem:
            await refuse(scope, send, problem)


async def refuse(scope: Any, send: Any, problem: Problem) -> None:
    """Answers the handshake with the problem; closes the connection where the server cannot do that."""
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close", "code": _INTERNAL_ERROR, "reason": problem.detail})
        return
    body = problem_body(problem)
    headers = {"content-type": MEDIA_TYPE, "content-length": str(len(body)), **problem.headers}
    encoded = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "websocket.http.response.start", "status": problem.status, "headers": encoded})
    await send({"type": "websocket.http.response.body", "body": body, "more_body": False})
