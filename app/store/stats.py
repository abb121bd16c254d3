"""Ranges of the roll-ups, for charts and alerts, and how long the queues are."""

import sys
from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from app.store.moves import has_status
from app.store.rollups import DURATIONS, HOUR_MS, MINUTE_MS, SOURCE
from app.store.tables import (
    ACCEPTED,
    DUPLICATE,
    HELD,
    PENDING,
    QUARANTINED,
    QUEUED,
    SENDING,
    DeliveryRow,
    EndpointRow,
    RollupHourRow,
    RollupRow,
    SourceRow,
    table_of,
)

QUEUE_COUNTED_MAX = 100_000
"""More are not counted, so that asking costs the same with any backlog."""

_AUTHENTIC = [f"receipt.{status}" for status in (ACCEPTED, DUPLICATE, QUARANTINED)]
_minute, _hour, _delivery = table_of(RollupRow), table_of(RollupHourRow), table_of(DeliveryRow)
_source, _endpoint = table_of(SourceRow), table_of(EndpointRow)

Counts = Mapping[str, int]
"""By measure; see `rollups`."""


class Queue(msgspec.Struct, frozen=True):
    """The deliveries of an endpoint that are not finished; 100000 stands for that many or more."""

    pending: int
    sending: int
    held: int
    queued: int


async def counts_by_bucket(
    engine: AsyncEngine,
    environment_id: int,
    kind: str,
    since: int,
    until: int,
    bucket_ms: int,
    subject_id: int | None = None,
) -> Mapping[int, Counts]:
    """What was counted from `since` until before `until`, by the start of each bucket that has anything.

    Of one subject of the kind, or of all. Times are milliseconds since 1970.
    """

    def by_bucket(moment: sa.ColumnElement[int]) -> sa.ColumnElement[int]:
        return moment - moment % bucket_ms

    return await _sums(engine, environment_id, kind, since, until, subject_id, by_bucket)


async def counts_by_subject(
    engine: AsyncEngine, environment_id: int, kind: str, since: int, until: int
) -> Mapping[int, Counts]:
    """What was counted from `since` until before `until`, by the source or endpoint."""
    return await _sums(engine, environment_id, kind, since, until, None, None)


async def counts_by_bucket_and_subject(
    engine: AsyncEngine, environment_id: int, kind: str, since: int, until: int, bucket_ms: int
) -> Mapping[int, Mapping[int, Counts]]:
    """The same by the start of the bucket and, within it, by the source or endpoint.

    How long single attempts took is left out: it is half of all there is to read.
    """
    sums = defaultdict[int, defaultdict[int, defaultdict[str, int]]](_by_subject)
    async with engine.connect() as connection:
        for table, moment in ((_minute, _minute.c.minute), (_hour, _hour.c.hour)):
            bucket, subject, measure = (
                (moment - moment % bucket_ms).label("bucket"),
                table.c.subject_id,
                table.c.measure,
            )
            query = (
                sa.select(bucket, subject, measure, sa.func.sum(table.c.count))
                .where(
                    table.c.environment_id == environment_id,
                    table.c.kind == kind,
                    subject.in_(_subjects(environment_id, kind)),
                    moment >= since,
                    moment < until,
                    measure.not_in(DURATIONS),
                )
                .group_by("bucket", subject, measure)
            )
            for start, number, name, count in await connection.execute(query):
                sums[start][number][sys.intern(name)] += int(count)
    return sums


def _by_subject() -> defaultdict[int, defaultdict[str, int]]:
    return defaultdict(lambda: defaultdict(int))


async def last_heard(engine: AsyncEngine, environment_id: int) -> Mapping[int, int]:
    """Of every source that has sent something authentic, the end of the minute (or hour) in which it last did."""
    heard = dict[int, int]()
    async with engine.connect() as connection:
        for table, moment, length in ((_hour, _hour.c.hour, HOUR_MS), (_minute, _minute.c.minute, MINUTE_MS)):
            last = (
                sa.select(moment)
                .where(
                    _is_authentic(table), table.c.environment_id == environment_id, table.c.subject_id == _source.c.id
                )
                .order_by(moment.desc())
                .limit(1)
                .scalar_subquery()
            )
            query = sa.select(_source.c.id, last).where(_source.c.environment_id == environment_id)
            for number, start in await connection.execute(query):
                if start is not None:
                    heard[number] = start + length
    return heard


async def active_times(engine: AsyncEngine, environment_id: int, source_id: int, since: int) -> list[tuple[int, int]]:
    """The minutes, further back the hours, in which the source sent something authentic: start and end, in order."""
    found = list[tuple[int, int]]()
    async with engine.connect() as connection:
        for table, moment, length in ((_hour, _hour.c.hour, HOUR_MS), (_minute, _minute.c.minute, MINUTE_MS)):
            query = (
                sa.select(moment)
                .distinct()
                .where(
                    _is_authentic(table),
                    table.c.environment_id == environment_id,
                    table.c.subject_id == source_id,
                    moment >= since,
                )
            )
            found += [(start, start + length) for start in await connection.scalars(query)]
    return sorted(found)


def _is_authentic(table: sa.Table) -> sa.ColumnElement[bool]:
    return sa.and_(table.c.kind == SOURCE, table.c.measure.in_(_AUTHENTIC))


async def read_queue(engine: AsyncEngine, endpoint_id: int) -> Queue:
    """How many deliveries of the endpoint wait, are being sent, are held, are queued behind others."""
    mine = _delivery.c.endpoint_id
    async with engine.connect() as connection:
        return Queue(
            pending=await _count(connection, mine == endpoint_id, has_status(PENDING), _delivery.c.due_at >= 0),
            # Leads SQLite to the index of what is being sent, which is short.
            sending=await _count(connection, mine + 0 == endpoint_id, has_status(SENDING)),
            held=await _count(connection, mine == endpoint_id, has_status(HELD), _delivery.c.due_at >= 0),
            queued=await _count(connection, mine == endpoint_id, has_status(QUEUED), _delivery.c.order_key >= 0),
        )


async def read_queues(engine: AsyncEngine, environment_id: int, counted_max: int) -> Mapping[int, Queue]:
    """The same of every endpoint of the environment, each number counted up to `counted_max`."""
    mine = _delivery.c.endpoint_id == _endpoint.c.id
    query = sa.select(
        _endpoint.c.id,
        _counted(counted_max, mine, has_status(PENDING), _delivery.c.due_at >= 0),
        _counted(counted_max, _delivery.c.endpoint_id + 0 == _endpoint.c.id, has_status(SENDING)),
        _counted(counted_max, mine, has_status(HELD), _delivery.c.due_at >= 0),
        _counted(counted_max, mine, has_status(QUEUED), _delivery.c.order_key >= 0),
    ).where(_endpoint.c.environment_id == environment_id, _endpoint.c.deleted_at.is_(None))
    async with engine.connect() as connection:
        return {endpoint_id: Queue(*counts) for endpoint_id, *counts in await connection.execute(query)}


async def oldest_due(engine: AsyncEngine, environment_id: int) -> Mapping[int, datetime]:
    """Of every endpoint with pending deliveries, when the first of them is or was due."""
    first = (
        sa.select(sa.func.min(_delivery.c.due_at))
        .where(_delivery.c.endpoint_id == _endpoint.c.id, has_status(PENDING))
        .scalar_subquery()
    )
    query = sa.select(_endpoint.c.id, first).where(
        _endpoint.c.environment_id == environment_id, _endpoint.c.deleted_at.is_(None)
    )
    async with engine.connect() as connection:
        return {endpoint_id: due_at for endpoint_id, due_at in await connection.execute(query) if due_at is not None}


async def _sums(
    engine: AsyncEngine,
    environment_id: int,
    kind: str,
    since: int,
    until: int,
    subject_id: int | None,
    key: Any,
) -> Mapping[int, Counts]:
    sums = defaultdict[int, defaultdict[str, int]](lambda: defaultdict(int))
    async with engine.connect() as connection:
        for table, moment in ((_minute, _minute.c.minute), (_hour, _hour.c.hour)):
            subject = table.c.subject_id
            by = (subject if key is None else key(moment)).label("place")
            query = (
                sa.select(by, table.c.measure, sa.func.sum(table.c.count))
                .where(
                    table.c.environment_id == environment_id,
                    table.c.kind == kind,
                    subject.in_(_subjects(environment_id, kind)) if subject_id is None else subject == subject_id,
                    moment >= since,
                    moment < until,
                )
                .group_by("place", table.c.measure)
            )
            for place, measure, count in await connection.execute(query):
                sums[place][measure] += int(count)
    return sums


def _subjects(environment_id: int, kind: str) -> sa.Select[int]:
    """Spelled out, so that each is a stretch of the primary key of its own."""
    table = _source if kind == SOURCE else _endpoint
    return sa.select(table.c.id).where(table.c.environment_id == environment_id)


async def _count(connection: AsyncConnection, *which: sa.ColumnElement[bool]) -> int:
    return (await connection.execute(sa.select(_counted(QUEUE_COUNTED_MAX, *which)))).scalar_one()


def _counted(counted_max: int, *which: sa.ColumnElement[bool]) -> sa.ScalarSelect[int]:
    """How many deliveries are so; for each endpoint where `which` speaks of it."""
    some = sa.select(sa.literal(1)).select_from(_delivery).where(*which).limit(counted_max)
    inner = some.correlate(_endpoint).subquery()
    return sa.select(sa.func.count()).select_from(inner).scalar_subquery()
