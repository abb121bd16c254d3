"""One line in the log per API call."""

import time
from typing import Any

import structlog
from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Receive, Scope, Send

from app.web.problems import loggable_path, status_of

log = structlog.get_logger()


class RequestLog(ASGIMiddleware):
    """Logs method, path, status, duration and whose key it was; no query, header or body."""

    scopes = (ScopeType.HTTP,)

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        """Lets the request through and logs it when it is answered."""
        began = time.perf_counter()
        status = 0

        async def watch(message: Any) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        try:
            await next_app(scope, receive, watch)
        except Exception as error:
            # Answered further out, where every error becomes problem details.
            status = status_of(error)
            raise
        finally:
            _log_call(scope, status, began)


def _log_call(scope: Any, status: int, began: float) -> None:
    principal = scope.get("auth")
    log.info(
        "api.called",
        method=scope["method"],
        path=loggable_path(scope),
        status=status,
        duration_ms=round((time.perf_counter() - began) * 1000, 1),
        key=principal.name if principal else None,
    )
