"""The way into every page: the link that logs in once, the session, the role, and the proof on every form."""

from http import HTTPStatus
from typing import Any

from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.response import Redirect
from litestar.types import ASGIApp, Receive, Scope, Send

from app.store.sessions import follow_link
from app.web.auth import check_role, headers_of, session_principal
from app.web.context import gateway_of
from app.web.pages.rendering import PAGE_HEADERS, Viewer, admit
from app.web.problems import AnyRequest, Problem
from app.web.sessions import FORM_FIELD, TOKEN_CHARS_MAX, is_csrf_token, is_own_origin, session_cookie

LOGIN_PARAMETER = "login"
LINK_IS_OVER = "/login?link=over"
OPEN = "open"
"""Handler option of pages that need no session."""
LOGIN_NEEDED = "login-needed"
FORM_TYPE = "application/x-www-form-urlencoded"


class Entrance(ASGIMiddleware):
    """Lets a request through to its page, or raises the problem that keeps it out."""

    scopes = (ScopeType.HTTP,)

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        """Checks all of it; `rendering.viewer_of` tells the page who looks."""
        request = AnyRequest(scope, receive)
        link = request.query_params.get(LOGIN_PARAMETER) if request.method == "GET" else None
        if link is not None:
            answer: Any = await _follow(request, link)
            await answer.to_asgi_response(app=None, request=request)(scope, receive, send)
            return
        await _let_in(request, scope)
        await next_app(scope, receive, send)


def is_https(request: AnyRequest) -> bool:
    """Whether users reach us over https, so that cookies are to stay on it."""
    return gateway_of(request).settings.base_url.startswith("https:")


async def _follow(request: AnyRequest, link: str) -> Redirect:
    """On to the same page without the link in its address, logged in."""
    gateway = gateway_of(request)
    token = await follow_link(gateway.engine, link, gateway.clock.now()) if len(link) <= TOKEN_CHARS_MAX else None
    if token is None:
        is_in = await session_principal(request.scope, headers_of(request.scope)) is not None
        return Redirect(request.url.path if is_in else LINK_IS_OVER, status_code=303, headers=PAGE_HEADERS)
    cookie = session_cookie(token, secure=is_https(request))
    return Redirect(request.url.path, status_code=303, headers=PAGE_HEADERS, cookies=[cookie])


async def _let_in(request: AnyRequest, scope: Any) -> None:
    headers = headers_of(scope)
    changes = request.method not in ("GET", "HEAD")
    if changes and not is_own_origin(headers, gateway_of(request).settings.base_url):
        raise Problem(403, "Another site sent this form; nothing was done.")
    found = await session_principal(scope, headers)
    if found is not None:
        admit(scope, Viewer(*found))
    if scope["route_handler"].opt.get(OPEN):
        return
    if found is None:
        raise Problem(401, "Log in to see this page.", kind=LOGIN_NEEDED)
    principal, token = found
    check_role(principal, scope)
    if changes:
        await _check_form(request, token)


async def _check_form(request: AnyRequest, token: str) -> None:
    """Every form carries the session's proof; what is no form cannot."""
    if request.headers.get("content-type", "").partition(";")[0] != FORM_TYPE:
        raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Pages take forms; the API under /api takes JSON.")
    given = (await request.form()).get(FORM_FIELD)
    if not is_csrf_token(given, token):
        raise Problem(403, "This form is of another session; go back, reload the page and send it again.")
