"""Logging in with an API key, logging out, and the choice between light and dark."""

from math import ceil
from typing import Annotated, Any, Literal, cast

import msgspec
from litestar import Response, get, post
from litestar.datastructures import Cookie
from litestar.response import Redirect
from msgspec import Meta

from app.store.sessions import create_session, end_session
from app.web.auth import KEY_CHARS_MAX, ROLE_OPTION, key_ring_of
from app.web.context import gateway_of
from app.web.pages.entrance import OPEN, is_https
from app.web.pages.forms import read_form
from app.web.pages.rendering import PAGE_HEADERS, THEME_COOKIE, THEMES, local_path, page, viewer_of, viewer_or_none
from app.web.problems import AnyRequest
from app.web.sessions import ended_cookie, session_cookie
from app.web.wrong_keys import WrongKeys

THEME_KEPT_S = 365 * 86_400
UNKNOWN = "This API key is unknown or revoked."
WAIT = "Too many wrong keys came from your address; try again in %d s."


class LoginForm(msgspec.Struct):
    """An API key, and where to go with it."""

    key: Annotated[str, Meta(max_length=KEY_CHARS_MAX)] = ""
    next: Annotated[str, Meta(max_length=2_000)] = "/"


class ThemeForm(msgspec.Struct):
    """How pages are to look, and which page it was that asked."""

    theme: Literal["auto", "light", "dark"]
    next: Annotated[str, Meta(max_length=2_000)] = "/"


@get("/login", opt={OPEN: True})
async def show_login(request: AnyRequest) -> Response[Any]:
    """The form, and how to come by a link instead."""
    next_page = local_path(request.query_params.get("next"))
    if viewer_or_none(request):
        return Redirect(next_page, status_code=303, headers=PAGE_HEADERS)
    return page(request, "login.html", next_page=next_page, link_is_over="link" in request.query_params, wrong="")


@post("/login", opt={OPEN: True})
async def log_in(request: AnyRequest) -> Response[Any]:
    """A session for the key, if there is such a key."""
    form, gateway = await read_form(request, LoginForm), gateway_of(request)
    next_page, client = local_path(form.next), _client(request)
    if wait_s := ceil(wrong_keys_of(request).wait_s(client)):
        refused = page(request, "login.html", status=429, next_page=next_page, link_is_over=False, wrong=WAIT % wait_s)
        refused.headers["Retry-After"] = str(wait_s)
        return refused
    principal = await key_ring_of(request).principal(form.key.strip())
    if principal is None:
        wrong_keys_of(request).count(client)
        return page(request, "login.html", status=401, next_page=next_page, link_is_over=False, wrong=UNKNOWN)
    token = await create_session(gateway.engine, principal.key_id, gateway.clock.now())
    cookie = session_cookie(token, secure=is_https(request))
    return Redirect(next_page, status_code=303, headers=PAGE_HEADERS, cookies=[cookie])


@post("/logout", opt={ROLE_OPTION: "read"})
async def log_out(request: AnyRequest) -> Redirect:
    """The end of the session."""
    await end_session(gateway_of(request).engine, viewer_of(request).token)
    key_ring_of(request).forget()
    return Redirect("/login", status_code=303, headers=PAGE_HEADERS, cookies=[ended_cookie(secure=is_https(request))])


@post("/theme", opt={ROLE_OPTION: "read"})
async def choose_theme(request: AnyRequest) -> Redirect:
    """The same page in another light."""
    form = await read_form(request, ThemeForm)
    cookie = Cookie(THEME_COOKIE, value=form.theme, max_age=THEME_KEPT_S if form.theme != THEMES[0] else 0)
    return Redirect(local_path(form.next), status_code=303, headers=PAGE_HEADERS, cookies=[cookie])


def wrong_keys_of(request: AnyRequest) -> WrongKeys:
    """Those of the application."""
    return cast("WrongKeys", request.app.state.wrong_keys)


def _client(request: AnyRequest) -> str:
    """Its address; empty where nobody knows it."""
    peer = request.client
    return gateway_of(request).proxies.client(peer.host if peer else "", request.scope["headers"])


LOGIN = [show_login, log_in, log_out, choose_theme]
