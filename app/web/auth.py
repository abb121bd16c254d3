"""Who calls: an API key, its environment and role, and what the role may do.

A browser that is logged in to the dashboard calls with the cookie of its session instead, which stands for a key. As a
browser sends its cookies on behalf of any site, whatever changes something then needs the proof in X-CSRF-Token too.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, cast

from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Receive, Scope, Send
from sqlalchemy.ext.asyncio import AsyncEngine

from app.clock import Clock
from app.gateway import Gateway
from app.store.accounts import Principal, authenticate
from app.store.ledger import STORE_ERRORS
from app.store.sessions import find_session
from app.web.problems import AnyRequest, Problem
from app.web.sessions import HEADER as CSRF_HEADER
from app.web.sessions import is_csrf_token, is_own_origin, session_token

KEY_REMEMBERED_S = 5.0
KEYS_REMEMBERED_MAX = 1_000
KEY_CHARS_MAX = 512

RANK = {"read": 0, "write": 1, "admin": 2}
ROLE_OPTION = "role"
"""Handler option: the least role for every method of a router, where it is not read for GET and write for the rest."""

_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="Mailweir"'}


class KeyRing:
    """Keys and sessions that were looked up in the last seconds: only digests, and none that was wrong."""

    def __init__(self, engine: AsyncEngine, clock: Clock, tell_others: Callable[[], None] | None = None) -> None:
        self._engine = engine
        self._clock = clock
        self._tell_others = tell_others
        self._known: OrderedDict[bytes, tuple[Principal, float]] = OrderedDict()

    async def principal(self, key: str) -> Principal | None:
        """Whose key it is, None for one that is unknown or revoked; a revocation is seen within KEY_REMEMBERED_S."""
        digest = hashlib.sha256(key.encode()).digest()
        return self._remembered(digest) or await self._found(digest, authenticate(self._engine, key))

    async def session(self, token: str) -> Principal | None:
        """Whose session it is, None for one that is unknown or over."""
        digest = hashlib.sha256(b"session " + token.encode()).digest()
        found = self._remembered(digest)
        return found or await self._found(digest, find_session(self._engine, token, self._clock.now()))

    def forget(self) -> None:
        """Looks every key and session up anew, in all workers; called when one was revoked or ended."""
        self.look_up_anew()
        if self._tell_others is not None:
            self._tell_others()

    def look_up_anew(self) -> None:
        """The same in this process alone."""
        self._known.clear()

    def _remembered(self, digest: bytes) -> Principal | None:
        known = self._known.get(digest)
        if known and self._clock.monotonic() < known[1]:
            return known[0]
        self._known.pop(digest, None)
        return None

    async def _found(self, digest: bytes, looked_up: Awaitable[Principal | None]) -> Principal | None:
        principal = await looked_up
        if principal is not None:
            self._known[digest] = (principal, self._clock.monotonic() + KEY_REMEMBERED_S)
            while len(self._known) > KEYS_REMEMBERED_MAX:
                self._known.popitem(last=False)
        return principal


class Authentication(ASGIMiddleware):
    """Lets a request through to its route with `scope["auth"]` set, or answers 401 or 403."""

    scopes = (ScopeType.HTTP, ScopeType.WEBSOCKET)

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        """Checks the key, then the role."""
        ring = cast("KeyRing", scope["litestar_app"].state.key_ring)
        principal = await _principal(scope, ring)
        check_role(principal, scope)
        scope["auth"] = principal
        await next_app(scope, receive, send)


def key_ring_of(request: AnyRequest) -> KeyRing:
    """The key ring of the application."""
    return cast("KeyRing", request.app.state.key_ring)


def bearer_key(headers: Mapping[str, str]) -> str | None:
    """The key of `Authorization: Bearer KEY`; None without one. Header names are in lower case."""
    scheme, _, key = headers.get("authorization", "").partition(" ")
    return key.strip() or None if scheme.lower() == "bearer" else None


async def is_still_valid(scope: Any) -> bool:
    """Whether what a request came with still counts, for connections that last; True while the store cannot tell."""
    try:
        principal = await _principal(scope, cast("KeyRing", scope["litestar_app"].state.key_ring))
    except Problem:
        return False
    except STORE_ERRORS:
        return True
    return principal.key_id == scope["auth"].key_id


def headers_of(scope: Any) -> dict[str, str]:
    """The headers of a request, names in lower case; of a repeated one the last counts."""
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}


def check_role(principal: Principal, scope: Any) -> None:
    """Raises Problem 403 unless the role may do what the request asks for."""
    least = _least_role(scope)
    if RANK.get(principal.role, -1) < RANK[least]:
        raise Problem(403, f'The key "{principal.name}" has the role {principal.role}; this needs {least}.')


async def session_principal(scope: Any, headers: Mapping[str, str]) -> tuple[Principal, str] | None:
    """Whose session a request comes with, and the session's token; None when there is none any more."""
    token = session_token(headers)
    ring = cast("KeyRing", scope["litestar_app"].state.key_ring)
    principal = await ring.session(token) if token else None
    return None if principal is None or token is None else (principal, token)


async def _principal(scope: Any, ring: KeyRing) -> Principal:
    headers = headers_of(scope)
    key = bearer_key(headers)
    if key is None and session_token(headers):
        return await _principal_of_browser(scope, headers)
    if key is None:
        raise Problem(401, "This needs an API key: send Authorization: Bearer mw_live_…", headers=_CHALLENGE)
    principal = await ring.principal(key) if len(key) <= KEY_CHARS_MAX else None
    if principal is None:
        raise Problem(401, "This API key is unknown or revoked; create one with an admin key.", headers=_CHALLENGE)
    return principal


async def _principal_of_browser(scope: Any, headers: Mapping[str, str]) -> Principal:
    gateway = cast("Gateway", scope["litestar_app"].state.gateway)
    if not is_own_origin(headers, gateway.settings.base_url):
        raise Problem(403, "Another site sent this; a session counts for the dashboard's own pages alone.")
    found = await session_principal(scope, headers)
    if found is None:
        raise Problem(401, "The session is over; log in to the dashboard again.", headers=_CHALLENGE)
    principal, token = found
    reads = scope.get("method", "GET") in ("GET", "HEAD")
    if not reads and not is_csrf_token(headers.get(CSRF_HEADER), token):
        raise Problem(403, "A session changes things only with the page's token in X-CSRF-Token.")
    return principal


def _least_role(scope: Any) -> str:
    role = scope["route_handler"].opt.get(ROLE_OPTION)
    return role or ("read" if scope.get("method", "GET") in ("GET", "HEAD") else "write")
