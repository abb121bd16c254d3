"""What happened to one message, and to one address, over all providers.

Both are read along an index, and bounded: a page has its limit, and of what a standing follows from the newest
FACTS_MAX events are looked at, of the last ROWS_WALKED_MAX.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from app.store.log.deliveries import states_by_event
from app.store.log.lines import EVENT_LINES, event, event_line
from app.store.views import Page, TimelineEvent
from app.store.walks import ROWS_WALKED_MAX, Condition

FACTS_MAX = 1_000
DELIVERED_MAX = 50


class Subject(NamedTuple):
    """Whose timeline: the columns that may hold the text."""

    environment_id: int
    columns: Sequence[sa.Column[Any]]
    text: str


def message(environment_id: int, email_id: str) -> Subject:
    """A message, by the provider's id or by its Message-ID."""
    return Subject(environment_id, (event.c.email_id, event.c.message_id), email_id)


def address(environment_id: int, recipient: str) -> Subject:
    """An address, in any case."""
    return Subject(environment_id, (event.c.recipient,), recipient.lower())


async def read_timeline(engine: AsyncEngine, subject: Subject, cursor: int | None, limit: int) -> Page[TimelineEvent]:
    """The events that came last, before `cursor`, in the order in which they happened."""
    older = [] if cursor is None else [event.c.id < cursor]
    query = EVENT_LINES.where(_is_of(subject, *older)).order_by(event.c.id.desc()).limit(limit + 1)
    async with engine.connect() as connection:
        rows = (await connection.execute(query)).all()
        page = rows[:limit]
        before = await _last_occurrence(connection, subject, page[-1].id) if len(rows) > limit else None
        deliveries = await states_by_event(connection, [row.id for row in page])
    events = [
        TimelineEvent(event_line(row), late, deliveries.get(row.id, []))
        for row, late in zip(reversed(page), _late(page, before), strict=True)
    ]
    events.sort(key=lambda one: (one.event.occurred_at, one.event.id))
    return Page(events, page[-1].id if len(rows) > limit else None)


async def read_facts(engine: AsyncEngine, subject: Subject, types: Sequence[str] = ()) -> tuple[Sequence[bytes], bool]:
    """The bodies of the newest events, of those types or of all; and whether these are all there are."""
    wanted = [_among(types)] if types else []
    query = sa.select(event.c.body).where(_is_of(subject), *wanted).order_by(event.c.id.desc()).limit(FACTS_MAX + 1)
    async with engine.connect() as connection:
        bodies = (await connection.scalars(query)).all()
        walked = (await connection.execute(sa.select(sa.func.count()).select_from(_numbers(subject)))).scalar_one()
    return bodies[:FACTS_MAX], len(bodies) <= FACTS_MAX and walked < ROWS_WALKED_MAX


async def read_delivered(engine: AsyncEngine, subject: Subject) -> Sequence[bytes]:
    """The bodies of the newest events that say that something was delivered."""
    query = sa.select(event.c.body).where(_is_of(subject), _among(["email.delivered"]))
    async with engine.connect() as connection:
        return (await connection.scalars(query.order_by(event.c.id.desc()).limit(DELIVERED_MAX))).all()


def _is_of(subject: Subject, *bounds: Condition) -> Condition:
    numbers = sa.select(_numbers(subject, *bounds).c.id)
    return sa.and_(event.c.id.in_(numbers), event.c.environment_id == subject.environment_id)


def _numbers(subject: Subject, *bounds: Condition) -> sa.Subquery:
    """The newest of its events, in a query of its own for each column, so that each is read along its own index."""
    walks = [
        sa.select(event.c.id)
        .where(column == subject.text, *bounds)
        .order_by(event.c.id.desc())
        .limit(ROWS_WALKED_MAX)
        .subquery()
        for column in subject.columns
    ]
    return sa.union_all(*(sa.select(walk.c.id) for walk in walks)).subquery()


def _among(types: Sequence[str]) -> Condition:
    """In words that keep the planner off the index of types."""
    return event.c.type.concat("").in_(types)


async def _last_occurrence(connection: AsyncConnection, subject: Subject, before: int) -> datetime | None:
    query = sa.select(sa.func.max(event.c.occurred_at)).where(_is_of(subject, event.c.id < before))
    return await connection.scalar(query)


def _late(newest_first: Sequence[Any], before: datetime | None) -> list[bool]:
    """In the order of arrival: whether something that happened later had arrived before."""
    late = list[bool]()
    for row in reversed(newest_first):
        late.append(before is not None and row.occurred_at < before)
        before = row.occurred_at if before is None else max(before, row.occurred_at)
    return late
