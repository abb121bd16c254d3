"""Who calls: an API key, its environment and role, and what the role may do."""

import hashlib
from collections import OrderedDict
from typing import Any, cast

from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Receive, Scope, Send
from sqlalchemy.ext.asyncio import AsyncEngine

from app.clock import Clock
from app.store.accounts import Principal, authenticate
from app.store.ledger import STORE_ERRORS
from app.web.problems import AnyRequest, Problem

KEY_REMEMBERED_S = 5.0
KEYS_REMEMBERED_MAX = 1_000
KEY_CHARS_MAX = 512

RANK = {"read": 0, "write": 1, "admin": 2}
ROLE_OPTION = "role"
"""Handler option: the least role for every method of a router, where it is not read for GET and write for the rest."""

_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="Mailweir"'}


class KeyRing:
    """Keys that were looked up in the last seconds; only digests of keys are kept, and no key that was wrong."""

    def __init__(self, engine: AsyncEngine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock
        self._known: OrderedDict[bytes, tuple[Principal, float]] = OrderedDict()

    async def principal(self, key: str) -> Principal | None:
        """Whose key it is, None for one that is unknown or revoked; a revocation is seen within KEY_REMEMBERED_S."""
        digest = hashlib.sha256(key.encode()).digest()
        remembered = self._known.get(digest)
        if remembered and self._clock.monotonic() < remembered[1]:
            return remembered[0]
        self._known.pop(digest, None)
        principal = await authenticate(self._engine, key)
        if principal is not None:
            self._remember(digest, principal)
        return principal

    def forget(self) -> None:
        """Looks every key up anew; called when one was revoked."""
        self._known.clear()

    def _remember(self, digest: bytes, principal: Principal) -> None:
        self._known[digest] = (principal, self._clock.monotonic() + KEY_REMEMBERED_S)
        while len(self._known) > KEYS_REMEMBERED_MAX:
            self._known.popitem(last=False)


class Authentication(ASGIMiddleware):
    """Lets a request through to its route with `scope["auth"]` set, or answers 401 or 403."""

    scopes = (ScopeType.HTTP, ScopeType.WEBSOCKET)

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        """Checks the key, then the role."""
        ring = cast("KeyRing", scope["litestar_app"].state.key_ring)
        principal = await _principal(scope, ring)
        _check_role(principal, _least_role(scope))
        scope["auth"] = principal
        await next_app(scope, receive, send)


def key_ring_of(request: AnyRequest) -> KeyRing:
    """The key ring of the application."""
    return cast("KeyRing", request.app.state.key_ring)


def bearer_key(headers: dict[str, str]) -> str | None:
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


async def _principal(scope: Any, ring: KeyRing) -> Principal:
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    key = bearer_key(headers)
    if key is None:
        raise Problem(401, "This needs an API key: send Authorization: Bearer mw_live_…", headers=_CHALLENGE)
    principal = await ring.principal(key) if len(key) <= KEY_CHARS_MAX else None
    if principal is None:
        raise Problem(401, "This API key is unknown or revoked; create one with an admin key.", headers=_CHALLENGE)
    return principal


def _least_role(scope: Any) -> str:
    role = scope["route_handler"].opt.get(ROLE_OPTION)
    return role or ("read" if scope.get("method", "GET") in ("GET", "HEAD") else "write")


def _check_role(principal: Principal, least: str) -> None:
    if RANK.get(principal.role, -1) < RANK[least]:
        raise Problem(403, f'The key "{principal.name}" has the role {principal.role}; this needs {least}.')
