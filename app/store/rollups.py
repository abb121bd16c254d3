"""What happened, counted by the minute in the very commit that stores it; older minutes are added up to hours.

Strategy: the writer adds up a whole commit in memory and writes each sum once, so that a count costs next to nothing
per event and can neither be lost nor doubled. Charts and alerts read ranges of these rows and never the log.

Of a source (by the time of arrival) are counted
    receipt.STATUS      accepted, duplicate, quarantined, rejected; a receipt that is read again counts once
    event.TYPE          new events: event.email.bounced
    bounce.CLASS        of new email.bounced: hard, soft, block, suppressed, unknown
and of an endpoint (by the start of the attempt)
    attempt.OUTCOME     delivered; 5xx, 4xx, 3xx, 1xx; or why there was no answer: timeout, connect, tls, dns, …
    delivery.failed     deliveries that were given up
    duration.NN         attempts whose duration lies in the bucket NN of BOUNDS_MS
    latency.NN          the same for first attempts, from the arrival of the event to the end of the attempt
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Sequence
from functools import lru_cache, partial
from typing import Any

import sqlalchemy as sa

from app.store.arrivals import Arrival
from app.store.engine import insert_adding, skip_locked
from app.store.ids import NODES_MAX, first_id_at, node_of
from app.store.outcomes import Outcome
from app.store.prepared import Prepared
from app.store.tables import DELIVERED, FAILED, EndpointRow, RollupHourRow, RollupRow, SourceRow, table_of

SOURCE, ENDPOINT = "source", "endpoint"
MINUTE_MS, HOUR_MS = 60_000, 3_600_000
MINUTES_KEPT_MS = 48 * HOUR_MS
"""How long minutes stay before they are added up to hours."""

BOUNDS_MS = [2 ** (half / 2) for half in range(56)]
"""The upper bounds of the buckets, each √2 times the one before, up to two days; one more bucket is above them all."""
DURATIONS, LATENCIES = (
    [f"{name}.{number:02}" for number in range(len(BOUNDS_MS) + 1)] for name in ("duration", "latency")
)

_IDS_A_MINUTE = first_id_at(MINUTE_MS)
STEP_ROWS_MAX = 500
PRUNED_MS_MAX = 24 * HOUR_MS

_minute, _hour = table_of(RollupRow), table_of(RollupHourRow)
_MINUTE_NAMES = ("environment_id", "kind", "subject_id", "minute", "node", "measure", "count")
_HOUR_NAMES = ("environment_id", "kind", "subject_id", "hour", "measure", "count")
_ADD_MINUTES = Prepared(_MINUTE_NAMES, partial(insert_adding, table=_minute, added="count"))
_ADD_HOURS = Prepared(_HOUR_NAMES, partial(insert_adding, table=_hour, added="count"))
_REMOVE_MINUTES = Prepared(
    _MINUTE_NAMES[:-1],
    lambda _dialect: sa.delete(_minute).where(*(_minute.c[name] == sa.bindparam(name) for name in _MINUTE_NAMES[:-1])),
)

Place = tuple[int, str, int, int, int]
"""Environment, kind, subject, minute and node."""
Sums = defaultdict[str, int]
"""By measure."""


def count_up(connection: sa.Connection, arrivals: Sequence[Arrival], outcomes: Sequence[Outcome]) -> None:
    """Adds what this commit brings. Goes last, so that nobody waits for anything while holding these rows."""
    counts = defaultdict[Place, Sums](_zeroes)
    for arrival in arrivals:
        if (receipt := arrival.receipt) is None or (receipt.again and not arrival.stored):
            continue
        number = arrival.stored[0].id if receipt.again else receipt.id
        place = receipt.environment_id, SOURCE, receipt.source_id, _minute_of(number), node_of(number)
        _count_arrival(counts[place], arrival, again=receipt.again)
    for outcome in outcomes:
        if outcome.counted_for is not None:
            environment_id, endpoint_id = outcome.counted_for
            number = outcome.attempt.id if outcome.attempt else first_id_at(outcome.due_at)
            place = environment_id, ENDPOINT, endpoint_id, _minute_of(number), outcome.node % NODES_MAX
            _count_outcome(counts[place], outcome)
    rows = [(*place, measure, number) for place, sums in counts.items() for measure, number in sums.items()]
    _ADD_MINUTES.run(connection, sorted(rows))


def _zeroes() -> Sums:
    return defaultdict(int)


def _minute_of(number: int) -> int:
    return number // _IDS_A_MINUTE * MINUTE_MS


def _count_arrival(sums: Sums, arrival: Arrival, *, again: bool) -> None:
    if not again:
        sums["receipt." + arrival.status] += 1
    for event in arrival.stored:
        sums["event." + event.type] += 1
        if event.bounce_class is not None:
            sums["bounce." + event.bounce_class] += 1


def _count_outcome(sums: Sums, outcome: Outcome) -> None:
    if outcome.status == FAILED:
        sums["delivery.failed"] += 1
    if (attempt := outcome.attempt) is None:
        return
    if outcome.status == DELIVERED:
        sums["attempt.delivered"] += 1
    elif attempt.status_code is not None:
        sums[f"attempt.{attempt.status_code // 100}xx"] += 1
    else:
        sums[f"attempt.{attempt.error_kind}"] += 1
    sums[DURATIONS[_bucket(attempt.duration_ms)]] += 1
    if outcome.latency_ms is not None:
        sums[LATENCIES[_bucket(outcome.latency_ms)]] += 1


@lru_cache(4_096)
def _bucket(duration_ms: int) -> int:
    return bisect_left(BOUNDS_MS, duration_ms)


def fold_minutes(connection: sa.Connection, before: int) -> int:
    """Adds some minutes that began before `before` (milliseconds since 1970) to their hours; how many rows it took.

    None when there are no more. Two nodes may do it at once, each takes other rows.
    """
    old = _of_some_subject(connection, _minute, _minute.c.minute < before)
    if old is None:
        return 0
    taken = connection.execute(
        skip_locked(connection.dialect, sa.select(_minute).where(old).limit(STEP_ROWS_MAX))
    ).all()
    sums = defaultdict[tuple[Any, ...], int](int)
    for environment_id, kind, subject_id, minute, _node, measure, count in taken:
        sums[environment_id, kind, subject_id, minute - minute % HOUR_MS, measure] += count
    _REMOVE_MINUTES.run(connection, [tuple(row[:-1]) for row in taken])
    _ADD_HOURS.run(connection, sorted((*key, count) for key, count in sums.items()))
    return len(taken)


def prune_rollups(connection: sa.Connection, before: int) -> int:
    """Removes what was counted before `before` (milliseconds since 1970), a day of one subject; how many rows.

    None when there is nothing left.
    """
    for table, moment in ((_hour, _hour.c.hour), (_minute, _minute.c.minute)):
        old = _of_some_subject(connection, table, moment < before)
        if old is not None:
            oldest: int = connection.execute(sa.select(sa.func.min(moment)).where(old)).scalar_one()
            return connection.execute(sa.delete(table).where(old, moment < oldest + PRUNED_MS_MAX)).rowcount
    return 0


def _of_some_subject(
    connection: sa.Connection, table: sa.Table, old: sa.ColumnElement[bool]
) -> sa.ColumnElement[bool] | None:
    """What tells the old rows of a source or endpoint that has some: a stretch of the primary key."""
    for kind, subject in ((SOURCE, table_of(SourceRow)), (ENDPOINT, table_of(EndpointRow))):
        of_kind = sa.and_(table.c.kind == kind, old)
        its_own = sa.and_(table.c.environment_id == subject.c.environment_id, table.c.subject_id == subject.c.id)
        query = sa.select(subject.c.environment_id, subject.c.id).where(sa.exists().where(of_kind, its_own)).limit(1)
        if (found := connection.execute(query).first()) is not None:
            return sa.and_(of_kind, table.c.environment_id == found[0], table.c.subject_id == found[1])
    return None
