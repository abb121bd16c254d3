"""A database filled before the server starts: events and deliveries by the million, made by SQLite itself.

Rows are numbered from 0 (`n` in the expressions) and get ids of the past, a millisecond apart, under a node of their
own. Every event is owed to each of some endpoints.
"""

import json
import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import msgspec

from app.store.ids import LOW_BITS, SEQUENCE_BITS
from app.store.rollups import DURATIONS, ENDPOINT, HOUR_MS, LATENCIES, MINUTE_MS, MINUTES_KEPT_MS, SOURCE
from bench.limits import sample_event
from bench.requests import MAILGUN_SOURCE

FILLING_NODE = 1023
AGE_MS = 3_600_000
"""How long before now the newest of the rows was made."""
CACHE_KIB = 262_144
COUNTED_DAYS = 30
_COUNTED = {
    SOURCE: [
        *(f"receipt.{status}" for status in ("accepted", "duplicate")),
        *(f"event.email.{name}" for name in ("sent", "delivered", "open", "click", "bounced", "deferred", "complaint")),
        *(f"bounce.{name}" for name in ("hard", "soft")),
    ],
    ENDPOINT: ["attempt.delivered", "attempt.5xx", "attempt.timeout", *DURATIONS[6:18], *LATENCIES[6:18]],
}
"""What a busy minute leaves behind of each source and endpoint; see `rollups`."""


class Filling(NamedTuple):
    """What the rows hold, as SQL expressions over `n`."""

    events: int
    endpoints: Sequence[int] = ()
    event_type: str = "'email.delivered'"
    source: str = f"'{MAILGUN_SOURCE}'"
    recipient: str = "printf('user%d@example.net', n % 50000)"
    status: str = "'pending'"
    status_code: str = "NULL"
    due_in_ms: str = "0"
    """Milliseconds after the row was made."""


def fill(database: Path, filling: Filling) -> None:
    """Adds the rows to the database of a server that does not run; older than those of the filling before."""
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = OFF")
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        newest_ms = _oldest_ms(connection) or round(time.time() * 1000) - AGE_MS
        names = {"first": newest_ms - filling.events, "count": filling.events}
        connection.execute(_events(filling), {**names, "body": msgspec.json.encode(sample_event())})
        for place, endpoint in enumerate(filling.endpoints, 1):
            connection.execute(_deliveries(filling), {**names, "endpoint": endpoint, "place": place})
        connection.execute("PRAGMA journal_mode = WAL")


def fill_counts(database: Path, sources: Sequence[int], endpoints: Sequence[int]) -> None:
    """Roll-ups of a month without a quiet minute: minutes as far back as they are kept, then hours."""
    now = round(time.time() * 1000)
    minutes_from = (now - MINUTES_KEPT_MS) // HOUR_MS * HOUR_MS + HOUR_MS
    hours = COUNTED_DAYS * 24 - MINUTES_KEPT_MS // HOUR_MS
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        for kind, subjects in ((SOURCE, sources), (ENDPOINT, endpoints)):
            names = {"kind": kind, "subjects": json.dumps(subjects), "measures": json.dumps(_COUNTED[kind])}
            minutes = {"first": minutes_from, "count": (now - minutes_from) // MINUTE_MS}
            connection.execute(_counts("rollup", "minute, node", f":first + n * {MINUTE_MS}, 1"), names | minutes)
            older = {"first": minutes_from - hours * HOUR_MS, "count": hours}
            connection.execute(_counts("rollup_hour", "hour", f":first + n * {HOUR_MS}"), names | older)


def _oldest_ms(connection: sqlite3.Connection) -> int | None:
    """When the first event that an earlier filling made was made."""
    of_filling = f"id >> {SEQUENCE_BITS} & {FILLING_NODE} = {FILLING_NODE}"
    oldest = connection.execute(f"SELECT id FROM event WHERE {of_filling} ORDER BY id LIMIT 1").fetchone()  # noqa: S608 - two fixed numbers
    return oldest and oldest[0] >> LOW_BITS


_NUMBERS = "WITH RECURSIVE numbers (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < :count)"
_ID = f"(:first + n) << {LOW_BITS} | {FILLING_NODE << SEQUENCE_BITS}"


def _events(filling: Filling) -> str:
    return f"""{_NUMBERS}
        INSERT INTO event
            (id, environment_id, source_id, type, recipient, email_id, occurred_at, dedup_key, body)
        SELECT {_ID}, 1, (SELECT id FROM source WHERE name = {filling.source}), {filling.event_type},
            {filling.recipient}, printf('filling-%d-%d', :first, n / 4), :first + n, randomblob(16), :body
        FROM numbers
    """  # noqa: S608 - the expressions are this package's own


def _deliveries(filling: Filling) -> str:
    return f"""{_NUMBERS}
        INSERT INTO delivery (id, event_id, endpoint_id, origin, status, attempts, due_at, status_code)
        SELECT {_ID} | :place, {_ID}, :endpoint, 'event', {filling.status}, 0, :first + n + {filling.due_in_ms},
            {filling.status_code}
        FROM numbers
    """  # noqa: S608 - the expressions are this package's own


def _counts(table: str, place: str, value: str) -> str:
    return f"""{_NUMBERS}
        INSERT OR REPLACE INTO {table} (environment_id, kind, subject_id, {place}, measure, count)
        SELECT 1, :kind, subjects.value, {value}, measures.value, 1 + n % 7
        FROM json_each(:subjects) AS subjects, numbers, json_each(:measures) AS measures
    """  # noqa: S608 - the names are this package's own
