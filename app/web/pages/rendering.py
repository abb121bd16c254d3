"""A page from its template, and the way back after a form: what every route of the dashboard answers with."""

import base64
import binascii
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import msgspec
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from litestar.datastructures import Cookie
from litestar.plugins.jinja import JinjaTemplateEngine
from litestar.response import Redirect, Template

from app import __version__
from app.store.accounts import Principal
from app.web.auth import RANK
from app.web.context import gateway_of
from app.web.pages.assets import static_url
from app.web.pages.charts import sparkline, stacked_bars
from app.web.pages.words import TEXT_SHOWN_MAX, ago, clipped, count, duration, moment, percent, size, spelled, visible
from app.web.problems import AnyRequest
from app.web.sessions import bound_to, cookie_in, csrf_token

FOLDER = Path(__file__).parents[1] / "templates"
PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
    "object-src 'none'",
    "X-Content-Type-Options": "nosniff",
    # Not no-referrer: with that, browsers would not say which site a form was on.
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}
THEMES = ("auto", "light", "dark")
THEME_COOKIE = "mailweir_theme"
FLASH_COOKIE = "mailweir_flash"
FLASH_CHARS_MAX = 2_000
_VIEWER = "viewer"

_FILTERS: dict[str, Any] = {
    "visible": visible,
    "spelled": spelled,
    "clipped": clipped,
    "moment": moment,
    "ago": ago,
    "count": count,
    "size": size,
    "percent": percent,
    "duration": duration,
}
_EVERYWHERE: dict[str, Any] = {
    "static": static_url,
    "sparkline": sparkline,
    "stacked_bars": stacked_bars,
    "themes": THEMES,
    "text_shown_max": TEXT_SHOWN_MAX,
    "version": __version__,
}


class Viewer(NamedTuple):
    """Who looks at the page."""

    principal: Principal
    token: str
    """Of the session."""

    @property
    def csrf(self) -> str:
        """What the page's forms carry."""
        return csrf_token(self.token)

    def may(self, role: str) -> bool:
        """Whether the viewer has that role, or more."""
        return RANK.get(self.principal.role, -1) >= RANK[role]


class Flash(msgspec.Struct, array_like=True, frozen=True):
    """What the page after a form says of it; `tone` is good or bad."""

    tone: str
    text: str


class NavigationEntry(NamedTuple):
    """A page that the navigation names."""

    label: str
    path: str

    def leads_to(self, path: str) -> bool:
        """Whether the page at `path` is this one, or below it."""
        return path == self.path or (self.path != "/" and path.startswith(f"{self.path}/"))


def template_engine(navigation: Sequence[NavigationEntry]) -> JinjaTemplateEngine:
    """The engine, with what all templates may use."""
    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters.update(_FILTERS)
    environment.globals.update(_EVERYWHERE, navigation=cast("Any", navigation))
    return JinjaTemplateEngine.from_environment(environment)


def page(request: AnyRequest, template: str, *, status: int = 200, **context: Any) -> Template:
    """The page, with what its template asks for and what every page has."""
    viewer = viewer_or_none(request)
    flash = _flash_of(request, viewer)
    every_page: dict[str, Any] = {
        "viewer": viewer,
        "here": request.scope["path"],
        "now": gateway_of(request).clock.now(),
        "theme": _theme_of(request),
        "flash": flash,
    }
    cookies = [_flash_cookie("", max_age=0)] if flash else []
    return Template(
        template,
        context=every_page | context,
        status_code=status,
        headers=PAGE_HEADERS,
        cookies=cookies,
        media_type="text/html",
    )


def redirect(request: AnyRequest, path: str, said: str = "", *, tone: str = "good") -> Redirect:
    """On to another page, with GET; what was `said` stands at its top, once."""
    viewer = viewer_or_none(request)
    cookies = [_flash_cookie(_flash_text(Flash(tone, said), viewer))] if said and viewer else []
    return Redirect(path, status_code=303, headers=PAGE_HEADERS, cookies=cookies)


def viewer_of(request: AnyRequest) -> Viewer:
    """Who looks at a page that needs a session; `entrance.Entrance` put it there."""
    return request.state[_VIEWER]


def viewer_or_none(request: AnyRequest) -> Viewer | None:
    """Who looks, None where nobody is logged in or the page does not ask."""
    return request.state.get(_VIEWER)


def admit(scope: Any, viewer: Viewer) -> None:
    """Lets the route and its template know who looks."""
    scope["auth"] = viewer.principal
    scope.setdefault("state", {})[_VIEWER] = viewer


def local_path(path: str | None, otherwise: str = "/") -> str:
    """The path if it is one of this site, as it came with a form; a browser takes //host and /\\host for another."""
    is_local = path is not None and path.startswith("/") and path[1:2] not in ("/", "\\") and path.isprintable()
    return path if path is not None and is_local else otherwise


def _theme_of(request: AnyRequest) -> str:
    chosen = request.cookies.get(THEME_COOKIE, "")
    return chosen if chosen in THEMES else THEMES[0]


def _flash_of(request: AnyRequest, viewer: Viewer | None) -> Flash | None:
    given = cookie_in({"cookie": request.headers.get("cookie", "")}, FLASH_COOKIE, characters_max=FLASH_CHARS_MAX)
    if given is None or viewer is None:
        return None
    text, _, proof = given.partition(".")
    if proof != bound_to(viewer.token, text):
        return None
    try:
        return msgspec.json.decode(base64.urlsafe_b64decode(text), type=Flash)
    except (binascii.Error, ValueError, msgspec.MsgspecError):
        return None


def _flash_text(flash: Flash, viewer: Viewer) -> str:
    short = Flash(flash.tone, flash.text[:500])
    text = base64.urlsafe_b64encode(msgspec.json.encode(short)).decode()
    return f"{text}.{bound_to(viewer.token, text)}"


def _flash_cookie(value: str, max_age: int = 60) -> Cookie:
    return Cookie(FLASH_COOKIE, value=value, max_age=max_age, httponly=True, samesite="lax")
