"""Mails that are to be sent: written with the news they carry, kept until a server has taken them."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from app.store.tables import AlertMailRow, table_of
from app.store.transactions import writing

LEASE = timedelta(minutes=5)
"""How long a mail is in the hands of the node that sends it."""
TAKEN_MAX = 20

_mail = table_of(AlertMailRow)


class NewMail(msgspec.Struct, frozen=True):
    """A text to some people; `message_id` makes it known again when it comes twice."""

    message_id: str
    recipients: Sequence[str]
    subject: str
    body: str


class Mail(NewMail, frozen=True, kw_only=True):
    """A mail that is to be sent."""

    id: int
    attempts: int
    """Made before."""
    created_at: datetime


def add_mail(connection: sa.Connection, mail: NewMail, now: datetime) -> None:
    """Keeps it, due at once, within the caller's transaction."""
    values = msgspec.structs.asdict(mail) | {"attempts": 0, "created_at": now, "due_at": now}
    connection.execute(sa.insert(_mail).values(values))


async def take_due(engine: AsyncEngine, now: datetime) -> list[Mail]:
    """Some mails that are due, the oldest first; for a while they are the caller's alone."""
    due = sa.select(_mail).where(_mail.c.due_at <= now).order_by(_mail.c.due_at).limit(TAKEN_MAX)
    async with engine.connect() as connection:
        found = (await connection.execute(due)).all()
    if not found:
        return []
    async with writing(engine) as connection:
        return [_read(row) for row in found if await _take(connection, row, now)]


async def put_off(engine: AsyncEngine, mail: Mail, due_at: datetime) -> None:
    """An attempt has failed; the next one is at that time."""
    later = sa.update(_mail).where(_mail.c.id == mail.id).values(attempts=mail.attempts + 1, due_at=due_at)
    async with writing(engine) as connection:
        await connection.execute(later)


async def remove(engine: AsyncEngine, mail: Mail) -> None:
    """It was sent, or never can be."""
    async with writing(engine) as connection:
        await connection.execute(sa.delete(_mail).where(_mail.c.id == mail.id))


async def _take(connection: AsyncConnection, row: sa.Row[Any], now: datetime) -> bool:
    """Of two nodes that found it, one gets it."""
    mine = sa.update(_mail).where(_mail.c.id == row.id, _mail.c.due_at == row.due_at).values(due_at=now + LEASE)
    return (await connection.execute(mine)).rowcount == 1


def _read(row: sa.Row[Any]) -> Mail:
    return Mail(
        id=row.id,
        message_id=row.message_id,
        recipients=row.recipients,
        subject=row.subject,
        body=row.body,
        attempts=row.attempts,
        created_at=row.created_at,
    )
