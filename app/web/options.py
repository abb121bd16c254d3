"""OPTIONS: which methods a path takes."""

from typing import Any

from litestar import Litestar
from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.routes import HTTPRoute
from litestar.types import ASGIApp, Receive, Scope, Send


class AllowedMethods(ASGIMiddleware):
    """Answers OPTIONS to everybody. Litestar 2 by itself names only the methods of the path's first handler."""

    scopes = (ScopeType.HTTP,)

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        """Answers, or lets the request through."""
        if _is_options(scope):
            allowed = ", ".join(sorted(_methods(scope["litestar_app"], scope["path_template"])))
            await send({"type": "http.response.start", "status": 204, "headers": [(b"allow", allowed.encode())]})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        else:
            await next_app(scope, receive, send)


def _is_options(scope: Any) -> bool:
    return scope["method"] == "OPTIONS"


def _methods(app: Litestar, path: str) -> set[str]:
    return {
        method
        for route in app.routes
        if isinstance(route, HTTPRoute) and route.path_format == path
        for method in route.methods
    }
