"""The database: reachable, writable, of this version, durable, and of one mind with this machine about the time."""

from collections.abc import Iterator
from pathlib import Path

import sqlalchemy as sa
from asyncpg.exceptions import PostgresError
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from app.cli.doctor.findings import Finding, ok, warning, wrong
from app.clock import Clock
from app.settings import without_password
from app.store.condition import Condition, read_condition
from app.store.engine import is_sqlite
from app.store.errors import driver_message
from app.store.migrate import HEAD, current_revision

CLOCK_OFF_S_MAX = 60.0
"""Providers sign the time, and many of their signatures are good for five minutes."""
_FIRST_YEAR = 2026


def sqlite_file(url: sa.URL) -> Path | None:
    """Where it is; None for PostgreSQL."""
    return Path(url.database or "") if url.get_backend_name() == "sqlite" else None


def look_for_database(file: Path, clock: Clock) -> list[Finding]:
    """What there is to say of a file that is not there: opening it would make it."""
    return [*_clock(clock, None), warning("database", f"{file} is not there yet.", "mailweir serve, which makes it")]


async def look_at_database(engine: AsyncEngine, clock: Clock) -> list[Finding]:
    """Everything. Where the last finding is not ok, what is stored cannot be looked at."""
    url = without_password(engine.url.render_as_string(hide_password=False))
    try:
        return [*await _look(engine, clock), ok("database", f"{url} can be read and written to.")]
    except (SQLAlchemyError, PostgresError, OSError) as error:
        mend = "check MAILWEIR_DATABASE_URL, and that the database runs"
        if is_sqlite(engine):
            mend = (
                "check who owns the file and its folder, and whether the disk is full; MAILWEIR_DATABASE_URL names it"
            )
        return [*_clock(clock, None), wrong("database", f"{url} cannot be used: {driver_message(error)}", mend)]
    except _NotOfThisVersion as old:
        return [*_clock(clock, None), wrong("database", str(old), "mailweir migrate; or the version that was here")]


class _NotOfThisVersion(Exception):
    """Its tables are of another version."""


async def _look(engine: AsyncEngine, clock: Clock) -> list[Finding]:
    revision = await current_revision(engine)
    if revision != HEAD:
        raise _NotOfThisVersion(f"The database is at revision {revision}; this version works with {HEAD}.")
    condition = await read_condition(engine)
    return [*_journal(condition), *_clock(clock, condition)]


def _journal(condition: Condition) -> Iterator[Finding]:
    if condition.journal is None:
        return
    if condition.journal == "wal":
        yield ok("journal", "SQLite keeps a write-ahead log.")
    else:
        says = f"SQLite's journal is {condition.journal}: the file system does not allow a write-ahead log."
        yield wrong("journal", says, "move the database to a local disk: MAILWEIR_DATABASE_URL")


def _clock(clock: Clock, condition: Condition | None) -> Iterator[Finding]:
    now = clock.now()
    mend = "set this machine's clock, and keep it by NTP: signatures of providers hold for minutes"
    if now.year < _FIRST_YEAR:
        yield wrong("clock", f"This machine thinks that it is {now:%Y-%m-%d %H:%M} UTC.", mend)
        return
    if condition is not None and condition.newest_ms is not None:
        ahead_s = (condition.newest_ms - clock.ms()) / 1000
        if ahead_s > CLOCK_OFF_S_MAX:
            yield wrong("clock", f"What is stored came {ahead_s:.0f} s after what this machine calls now.", mend)
            return
    if condition is not None and condition.now is not None:
        off_s = abs((now - condition.now).total_seconds())
        if off_s > CLOCK_OFF_S_MAX:
            yield wrong("clock", f"This machine and that of PostgreSQL are {off_s:.0f} s apart.", mend)
            return
    yield ok("clock", f"It is {now:%Y-%m-%d %H:%M} UTC, and nothing speaks against that.")
