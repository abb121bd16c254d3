"""Pages of a log, newest first, at a cost that does not grow with the log.

Strategy: a page is read backwards along one index: the primary key, or the one that the most telling filter has. What
no index knows is checked row by row on the way, and then the way is bounded: the page ends after ROWS_WALKED_MAX rows
even if it is not full, and its cursor tells where to go on. A page may therefore be short or empty and not the last.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from app.store.ids import first_id_at
from app.store.tables import EnvironmentRow, table_of

ROWS_WALKED_MAX = 20_000

_environment = table_of(EnvironmentRow)
Condition = sa.ColumnElement[bool]


class Span(NamedTuple):
    """A stretch of a log: after `since` and before `until` in time, and older than the number `cursor`."""

    since: datetime | None = None
    until: datetime | None = None
    cursor: int | None = None


class Walk(NamedTuple):
    """The rows a page is made of. Both queries are over one log, whose number is `key`."""

    query: sa.Select[*tuple[Any, ...]]
    key: sa.Column[int]
    along: Sequence[Condition]
    """What the index of the walk knows."""
    checked: Sequence[Condition]
    """What is looked up for every row on the way."""
    ours: Condition
    """The environment; other environments' rows lie in between, where there are several."""


async def read_page(
    connection: AsyncConnection, walk: Walk, span: Span, limit: int
) -> tuple[Sequence[sa.Row[*tuple[Any, ...]]], int | None]:
    """At most `limit` rows, newest first, and the cursor of the page after it; None after the last one."""
    along = [*walk.along, *_bounds(walk.key, span)]
    floor = await _floor(connection, walk.key, along) if await _is_bounded(connection, walk) else None
    within = [*along, *walk.checked, walk.ours, *([] if floor is None else [walk.key >= floor])]
    query = walk.query.where(*within).order_by(walk.key.desc()).limit(limit + 1)
    rows = (await connection.execute(query)).all()
    if len(rows) > limit:
        return rows[:limit], rows[limit - 1].id
    return rows, floor


async def window_end(connection: AsyncConnection, key: sa.Column[int], along: Sequence[Condition]) -> int | None:
    """Of a walk forwards: the last row that one look may reach; None when the walk ends before."""
    query = sa.select(key).where(*along).order_by(key).offset(ROWS_WALKED_MAX - 1).limit(1)
    return (await connection.execute(query)).scalar_one_or_none()


def _bounds(key: sa.Column[int], span: Span) -> list[Condition]:
    bounds = list[Condition]()
    if span.cursor is not None:
        bounds.append(key < span.cursor)
    if span.since is not None:
        bounds.append(key >= first_number(span.since))
    if span.until is not None:
        bounds.append(key < first_number(span.until))
    return bounds


def first_number(moment: datetime) -> int:
    """The smallest number that a row of that moment could have."""
    return first_id_at(round(moment.timestamp() * 1000))


async def _is_bounded(connection: AsyncConnection, walk: Walk) -> bool:
    """A walk on which every row counts fills its page and needs no bound."""
    if walk.checked:
        return True
    some = sa.select(_environment.c.id).limit(2)
    return len((await connection.execute(some)).all()) > 1


async def _floor(connection: AsyncConnection, key: sa.Column[int], along: Sequence[Condition]) -> int | None:
    """The last row that this page may look at; None when the log ends before."""
    query = sa.select(key).where(*along).order_by(key.desc()).offset(ROWS_WALKED_MAX - 1).limit(1)
    return (await connection.execute(query)).scalar_one_or_none()
