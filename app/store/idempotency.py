"""Replies kept by Idempotency-Key, so that a POST that comes again is answered the same and does nothing twice."""

from datetime import datetime, timedelta
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from app.store.engine import insert_new
from app.store.errors import KeyReused
from app.store.tables import IdempotentReplyRow, table_of
from app.store.transactions import writing

KEY_CHARS_MAX = 255
KEPT_FOR = timedelta(hours=24)
PRUNED_MAX = 1_000
"""How many expired replies go in one transaction."""

_reply = table_of(IdempotentReplyRow)


class Reply(msgspec.Struct, frozen=True):
    """What a request was answered; `body` is as it was given to `keep_reply`."""

    status: int
    body: bytes


async def find_reply(
    engine: AsyncEngine, environment_id: int, key: str, request_digest: bytes, now: datetime
) -> Reply | None:
    """The reply under this key, None when there is none or it has expired.

    Raises KeyReused when the key was used for another request.
    """
    query = sa.select(_reply).where(_mine(environment_id, key), _reply.c.created_at > now - KEPT_FOR)
    async with engine.connect() as connection:
        row = (await connection.execute(query)).one_or_none()
    if row is None:
        return None
    if row.request_digest != request_digest:
        raise KeyReused("This Idempotency-Key was used for another request; take a new key for each.")
    return Reply(row.status, row.body)


async def keep_reply(
    engine: AsyncEngine,
    environment_id: int,
    key: str,
    request_digest: bytes,
    status: int,
    body: bytes,
    now: datetime,
) -> None:
    """Keeps a reply for KEPT_FOR; where another node kept one under the same key meanwhile, that one stays."""
    expired = sa.delete(_reply).where(_mine(environment_id, key), _reply.c.created_at <= now - KEPT_FOR)
    values: dict[str, Any] = {
        "environment_id": environment_id,
        "key": key,
        "request_digest": request_digest,
        "status": status,
        "body": body,
        "created_at": now,
    }
    async with writing(engine) as connection:
        await connection.execute(expired)
        await connection.execute(insert_new(engine.dialect, _reply, ("environment_id", "key")).values(values))


async def prune_replies(engine: AsyncEngine, now: datetime) -> int:
    """Removes up to PRUNED_MAX expired replies; how many it was."""
    oldest = (
        sa.select(_reply.c.environment_id, _reply.c.key)
        .where(_reply.c.created_at <= now - KEPT_FOR)
        .order_by(_reply.c.created_at)
        .limit(PRUNED_MAX)
    )
    delete = sa.delete(_reply).where(sa.tuple_(_reply.c.environment_id, _reply.c.key).in_(oldest))
    async with writing(engine) as connection:
        return (await connection.execute(delete)).rowcount


def _mine(environment_id: int, key: str) -> sa.ColumnElement[bool]:
    return sa.and_(_reply.c.environment_id == environment_id, _reply.c.key == key)
