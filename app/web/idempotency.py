"""`Idempotency-Key`: a POST that comes again is answered with the first answer, and nothing is done twice.

Only answers of success are kept: after an error nothing was done, and the next try counts as the first. Two requests
with one key wait for each other, whichever workers of this gateway they are with. What one API key was answered,
another is not: it may be a secret.
"""

import asyncio
import hashlib
import re
from typing import Any, cast
from weakref import WeakValueDictionary

from litestar import Request
from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Receive, Scope, Send

from app.gateway import Gateway
from app.store.accounts import Principal
from app.store.idempotency import KEY_CHARS_MAX, find_reply, keep_reply
from app.web.problems import FieldError, invalid

HEADER = b"idempotency-key"
REPLAYED_HEADER = (b"idempotency-replayed", b"true")
_KEY = re.compile(rf"[!-~]{{1,{KEY_CHARS_MAX}}}")


class IdempotentPosts(ASGIMiddleware):
    """Answers a POST whose Idempotency-Key has been answered before; stands behind `Authentication`."""

    scopes = (ScopeType.HTTP,)

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[tuple[int, str], asyncio.Lock] = WeakValueDictionary()

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        """Looks for the first answer; without one lets the request through and keeps the answer."""
        given = next((value for name, value in scope["headers"] if name == HEADER), None)
        if given is None or not _is_post(scope):
            await next_app(scope, receive, send)
            return
        principal = cast("Principal", scope["auth"])
        key = f"{principal.key_id} {_checked(given.decode('latin-1'))}"
        lock = self._locks.setdefault((principal.environment_id, key), asyncio.Lock())
        turns = cast("Gateway", scope["litestar_app"].state.gateway).turns
        async with lock, turns.of(f"{principal.environment_id} {key}"):
            await _answer_once(key, principal, scope, receive, send, next_app)


async def _answer_once(
    key: str, principal: Principal, scope: Any, receive: Receive, send: Send, next_app: ASGIApp
) -> None:
    gateway = cast("Gateway", scope["litestar_app"].state.gateway)
    body = await Request[Any, Any, Any](scope, receive).body()
    digest = hashlib.sha256(f"{scope['method']} {scope['path']}\n".encode() + body).digest()
    now = gateway.clock.now()
    kept = await find_reply(gateway.engine, principal.environment_id, key, digest, now)
    if kept is not None:
        await _send_again(send, kept.status, gateway.vault.open(kept.body).encode())
        return
    answer = _Answer()
    await next_app(scope, receive, answer)
    if 200 <= answer.status < 300:
        # Kept before it is sent: whoever has seen the answer will see it again.
        sealed = gateway.vault.seal(answer.body.decode())
        await keep_reply(gateway.engine, principal.environment_id, key, digest, answer.status, sealed, now)
    for message in answer.messages:
        await send(message)


class _Answer:
    """Holds an answer back."""

    def __init__(self) -> None:
        self.messages = list[Any]()

    async def __call__(self, message: Any) -> None:
        self.messages.append(message)

    @property
    def status(self) -> int:
        return next(message["status"] for message in self.messages if message["type"] == "http.response.start")

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.messages)


async def _send_again(send: Send, status: int, body: bytes) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)), REPLAYED_HEADER]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})


def _checked(key: str) -> str:
    if not _KEY.fullmatch(key):
        message = f"must be 1 to {KEY_CHARS_MAX} printable ASCII characters without spaces."
        raise invalid([FieldError("Idempotency-Key", message)])
    return key


def _is_post(scope: Any) -> bool:
    return scope["method"] == "POST"
