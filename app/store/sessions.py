"""Who is logged in to the dashboard: links that log in once, and the sessions that browsers keep.

Both stand for an API key: what the key may do, the session may do, and when the key is revoked it is over. Of links and
sessions only digests are kept.
"""

import hashlib
import secrets
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from app.store.accounts import ADMIN, PRINCIPALS, Principal
from app.store.tables import ApiKeyRow, LoginLinkRow, WebSessionRow, table_of
from app.store.transactions import writing

LINK_FOR = timedelta(hours=1)
SESSION_FOR = timedelta(days=14)
TOKEN_BYTES = 32

_link, _session, _key = table_of(LoginLinkRow), table_of(WebSessionRow), table_of(ApiKeyRow)


async def create_link(engine: AsyncEngine, now: datetime) -> str | None:
    """The token of a link that logs in once, within LINK_FOR, as the oldest admin key; None when there is none."""
    oldest = sa.select(sa.func.min(_key.c.id)).where(_key.c.role == ADMIN, _key.c.revoked_at.is_(None))
    async with writing(engine) as connection:
        key_id = await connection.scalar(oldest)
        return None if key_id is None else await _insert(connection, _link, key_id, now, now + LINK_FOR)


async def follow_link(engine: AsyncEngine, token: str, now: datetime) -> str | None:
    """The token of a new session; None when there is no such link any more. A link is followed once."""
    used = sa.delete(_link).where(_link.c.digest == _digest(token)).returning(_link.c.key_id, _link.c.expires_at)
    async with writing(engine) as connection:
        row = (await connection.execute(used)).one_or_none()
        if row is None or row.expires_at <= now:
            return None
        return await _insert(connection, _session, row.key_id, now, now + SESSION_FOR)


async def create_session(engine: AsyncEngine, key_id: int, now: datetime) -> str:
    """The token of a new session of that key."""
    async with writing(engine) as connection:
        return await _insert(connection, _session, key_id, now, now + SESSION_FOR)


async def find_session(engine: AsyncEngine, token: str, now: datetime) -> Principal | None:
    """Whose session it is; None when there is none, it has expired, or its key was revoked."""
    query = PRINCIPALS.join(_session, _session.c.key_id == _key.c.id).where(
        _session.c.digest == _digest(token), _session.c.expires_at > now
    )
    async with engine.connect() as connection:
        row = (await connection.execute(query)).one_or_none()
    return None if row is None else Principal(*row)


async def end_session(engine: AsyncEngine, token: str) -> None:
    """Ends it at once, wherever else its cookie may be."""
    async with writing(engine) as connection:
        await connection.execute(sa.delete(_session).where(_session.c.digest == _digest(token)))


async def _insert(
    connection: AsyncConnection, table: sa.Table, key_id: int, now: datetime, expires_at: datetime
) -> str:
    """A new row, in whose place the expired ones go; the token that it is found by."""
    token = secrets.token_urlsafe(TOKEN_BYTES)
    values: dict[str, Any] = {"digest": _digest(token), "key_id": key_id, "expires_at": expires_at}
    await connection.execute(sa.delete(table).where(table.c.expires_at <= now))
    await connection.execute(sa.insert(table).values(values))
    return token


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
