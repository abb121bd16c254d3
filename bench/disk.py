"""What a long run leaves behind: on the disk by table and index, and in the memory of each process."""

import sqlite3
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from app.store.packing import HEAD_BYTES, plain_size
from bench.figures import Figure, Limit, Options
from bench.rig import Rig
from bench.runs import post_events
from bench.server import database_of, running

EVENTS, STEPS = 200_000, 4
SMALL_BYTES = 1.0
"""Tables and indexes with less than this per event are left out; they are in the sum."""


def disk(rig: Rig, folder: Path, options: Options) -> list[Figure]:
    """Bytes per single event to one recipient, delivered once, by table and index; memory over 200,000 of them."""
    step = options.events or max(1, options.scaled(EVENTS) // STEPS)
    resident = list[list[float]]()
    with running(folder, rig.server_core, rig.sink_port) as server:
        empty = _bytes_by_name(database_of(folder))
        for _ in range(STEPS):
            post_events(rig, server, "single", step, options)
            resident.append(server.resident_mib())
    grown = _bytes_by_name(database_of(folder))
    grown.subtract(empty)
    return [
        *_disk_figures(grown, _bytes_of_bodies(database_of(folder)), step * STEPS),
        *_memory_figures(resident, step),
    ]


def _bytes_by_name(database: Path) -> Counter[str]:
    """What each table and index takes, in whole pages; all together where this SQLite cannot tell."""
    with closing(sqlite3.connect(database)) as connection:
        try:
            return Counter(dict(connection.execute("SELECT name, sum(pgsize) FROM dbstat GROUP BY name")))
        except sqlite3.OperationalError:
            pages = connection.execute("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size")
            return Counter({"everything": pages.fetchone()[0]})


def _bytes_of_bodies(database: Path) -> int:
    """What was posted and what was sent on, unpacked, and nothing beside it."""
    halves = (f"SELECT substr(body, 1, {HEAD_BYTES}), length(body) FROM {table}" for table in ("receipt", "event"))  # noqa: S608 - two fixed names
    with closing(sqlite3.connect(database)) as connection:
        return sum(plain_size(head, size) for head, size in connection.execute(" UNION ALL ".join(halves)))


def _disk_figures(grown: Counter[str], bodies: int, events: int) -> list[Figure]:
    limit = Limit("the request and the event as they were posted and sent", bodies / events)
    each = [(name, size / events) for name, size in grown.most_common() if size / events >= SMALL_BYTES]
    return [
        Figure("on the disk, everything", "bytes per event", [grown.total() / events], limit),
        *(Figure(f"on the disk, {name}", "bytes per event", [size]) for name, size in each),
    ]


def _memory_figures(resident: Sequence[Sequence[float]], step: int) -> list[Figure]:
    """Of each process after each step, beside what it was after the first."""
    return [
        Figure(
            f"process {number} after {step * taken:,} events",
            "MiB",
            [mib],
            Limit(f"after {step:,}", resident[0][number - 1]) if taken > 1 and number <= len(resident[0]) else None,
        )
        for taken, processes in enumerate(resident, 1)
        for number, mib in enumerate(processes, 1)
    ]
