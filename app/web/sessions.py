"""A browser's session as it comes with a request: its cookie, and the proof that our own page sent a form.

The session itself is in `store.sessions`. The proof is a text that only a page of that session could hold, because it
follows from the session's token; besides, a browser says which site a form was on (Origin).
"""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie
from urllib.parse import urlsplit

from litestar.datastructures import Cookie

from app.store.sessions import SESSION_FOR

COOKIE = "mailweir_session"
TOKEN_CHARS_MAX = 200
FORM_FIELD = "csrf"
HEADER = "x-csrf-token"


def session_token(headers: Mapping[str, str]) -> str | None:
    """The session's token, of headers with names in lower case; None without one."""
    return cookie_in(headers, COOKIE)


def cookie_in(headers: Mapping[str, str], name: str, *, characters_max: int = TOKEN_CHARS_MAX) -> str | None:
    """The value of a cookie; None where there is none, or it is longer than any of ours."""
    try:
        jar = SimpleCookie(headers.get("cookie", ""))
    except CookieError:
        return None
    value = jar[name].value if name in jar else ""
    return value if 0 < len(value) <= characters_max else None


def session_cookie(token: str, *, secure: bool) -> Cookie:
    """Keeps the session in the browser, out of the reach of scripts."""
    max_age = round(SESSION_FOR.total_seconds())
    return Cookie(COOKIE, value=token, max_age=max_age, httponly=True, samesite="lax", secure=secure)


def ended_cookie(*, secure: bool) -> Cookie:
    """Takes the session out of the browser."""
    return Cookie(COOKIE, value="", max_age=0, httponly=True, samesite="lax", secure=secure)


def csrf_token(token: str) -> str:
    """What a form of this session carries."""
    return bound_to(token, "csrf")


def bound_to(token: str, text: str) -> str:
    """A text that follows from the session's token and the other text, and that nobody without the token can make."""
    digest = hmac.digest(token.encode(), text.encode(), hashlib.sha256)
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def is_csrf_token(given: str | None, token: str) -> bool:
    """Whether a page of this session sent it."""
    return given is not None and hmac.compare_digest(given.encode(), csrf_token(token).encode())


def is_own_origin(headers: Mapping[str, str], base_url: str) -> bool:
    """Whether the browser says that the request came from one of our pages, or says nothing of where it came from."""
    origin = headers.get("origin")
    if origin is None:
        return headers.get("sec-fetch-site", "same-origin") in ("same-origin", "none")
    if origin == "null":
        return False
    public = urlsplit(base_url)
    return origin == f"{public.scheme}://{public.netloc}" or urlsplit(origin).netloc == headers.get("host")
