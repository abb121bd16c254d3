"""The log of events."""

from collections.abc import Collection, Iterator, Sequence

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from app.store.ids import EVENT, parse_id
from app.store.log.lines import (
    DELIVERY_LINES,
    EVENT_LINES,
    LISTED_MAX,
    RECEIPT_LINES,
    delivery,
    delivery_line,
    event,
    event_line,
    looked_up,
    receipt,
    receipt_line,
    source,
)
from app.store.tables import COMMONEST_TYPE
from app.store.views import DeliveryLine, EventDetail, EventLine, FollowedEvent, LiveEvent, Page, ReceiptLine
from app.store.walks import Condition, Span, Walk, read_page


class EventFilter(msgspec.Struct, frozen=True):
    """Which events; `recipient` in any case, `q` a part of recipient, email id or type, or the whole public id."""

    type: str | None = None
    provider: str | None = None
    source: str | None = None
    recipient: str | None = None
    email_id: str | None = None
    q: str | None = None

    def takes(self, one: LiveEvent) -> bool:
        """Whether it is one of them: what `event_conditions` asks the database, of an event that was read already."""
        return (
            (self.type is None or self.type == one.type)
            and (self.provider is None or self.provider == one.provider)
            and (self.source is None or self.source == one.source)
            and (self.recipient is None or self.recipient.lower() == one.recipient)
            and (self.email_id is None or self.email_id == one.email_id)
            and (self.q is None or _is_found(self.q, one))
        )


async def list_events(
    engine: AsyncEngine, environment_id: int, wanted: EventFilter, span: Span, limit: int
) -> Page[EventLine]:
    """A page of events, newest first."""
    walk = Walk(EVENT_LINES, event.c.id, *event_conditions(wanted), event.c.environment_id == environment_id)
    async with engine.connect() as connection:
        rows, cursor = await read_page(connection, walk, span, limit)
    return Page([event_line(row) for row in rows], cursor)


async def get_event(engine: AsyncEngine, environment_id: int, event_id: int) -> EventDetail | None:
    """An event with its receipt and its deliveries; None when the environment has none of that number."""
    query = sa.select(event.c.body, event.c.receipt_id).where(
        event.c.id == event_id, event.c.environment_id == environment_id
    )
    async with engine.connect() as connection:
        row = (await connection.execute(query)).one_or_none()
        if row is None:
            return None
        return EventDetail(
            event=msgspec.Raw(row.body),
            receipt=await _receipt_line(connection, row.receipt_id),
            deliveries=await _delivery_lines(connection, event_id),
        )


async def recent_events(
    engine: AsyncEngine, environment_id: int, types: Collection[str], limit: int
) -> Sequence[FollowedEvent]:
    """The newest events of these types, newest first, of those that one walk of the log comes to."""
    query = sa.select(event.c.id, event.c.type, event.c.body)
    walk = Walk(query, event.c.id, [], [event.c.type.in_(types)], event.c.environment_id == environment_id)
    async with engine.connect() as connection:
        rows, _ = await read_page(connection, walk, Span(), limit)
    return [FollowedEvent(*row) for row in rows]


async def follow_events(
    engine: AsyncEngine, environment_id: int, wanted: EventFilter, after: int, before: int, limit: int
) -> Sequence[FollowedEvent]:
    """The first events, oldest first, whose numbers lie between `after` and `before`, both exclusive.

    Numbers become visible out of order: they are given before the commit. `before` keeps a follower behind the commits
    that are still under way.
    """
    along, checked = event_conditions(wanted)
    query = (
        sa.select(event.c.id, event.c.type, event.c.body)
        .where(event.c.id > after, event.c.id < before, event.c.environment_id == environment_id)
        .where(*along, *checked)
        .order_by(event.c.id)
        .limit(limit)
    )
    async with engine.connect() as connection:
        return [FollowedEvent(*row) for row in await connection.execute(query)]


def event_conditions(wanted: EventFilter) -> tuple[list[Condition], list[Condition]]:
    """What the index of the walk knows (the number itself, or the most telling column), and what has to be checked."""
    recipient = None if wanted.recipient is None else wanted.recipient.lower()
    columns = {event.c.email_id: wanted.email_id, event.c.recipient: recipient, event.c.type: wanted.type}
    equal: list[Condition] = [column == value for column, value in columns.items() if value is not None]
    number = _number(wanted.q)
    if number is not None:
        return [event.c.id == number], [*equal, *_looked_up(wanted)]
    if wanted.email_id is None and recipient is None:
        return _by_type(wanted.type), [*(equal if wanted.type == COMMONEST_TYPE else ()), *_looked_up(wanted)]
    return equal[:1], [*equal[1:], *_looked_up(wanted)]


def _by_type(wanted: str | None) -> list[Condition]:
    """What the index of types knows."""
    if wanted in (None, COMMONEST_TYPE):
        return []
    return [event.c.type == wanted, event.c.type != sa.literal_column(f"'{COMMONEST_TYPE}'")]


def _looked_up(wanted: EventFilter) -> Iterator[Condition]:
    if wanted.source is not None:
        yield looked_up(source.c.name, event.c.source_id) == wanted.source
    if wanted.provider is not None:
        yield looked_up(source.c.provider, event.c.source_id) == wanted.provider
    if wanted.q is not None and _number(wanted.q) is None:
        columns = (event.c.recipient, event.c.email_id, event.c.type)
        yield sa.or_(*(column.icontains(wanted.q, autoescape=True) for column in columns))


def _is_found(q: str, one: LiveEvent) -> bool:
    number = _number(q)
    if number is not None:
        return number == one.id
    part = q.lower()
    return any(text is not None and part in text.lower() for text in (one.recipient, one.email_id, one.type))


def _number(q: str | None) -> int | None:
    return None if q is None else parse_id(EVENT, q)


async def _receipt_line(connection: AsyncConnection, receipt_id: int | None) -> ReceiptLine | None:
    row = (await connection.execute(RECEIPT_LINES.where(receipt.c.id == receipt_id))).one_or_none()
    return None if row is None else receipt_line(row)


async def _delivery_lines(connection: AsyncConnection, event_id: int) -> list[DeliveryLine]:
    query = DELIVERY_LINES.where(delivery.c.event_id == event_id).order_by(delivery.c.id.desc()).limit(LISTED_MAX)
    return [delivery_line(row) for row in await connection.execute(query)]
