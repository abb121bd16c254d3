"""The copy of an SQLite file, and how else a PostgreSQL is copied."""

import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy as sa

from app.cli.errors import CommandFailed, Misconfigured
from app.cli.starting import explained
from app.clock import Clock
from app.store.copies import copy_database
from app.store.engine import parse_url


def copied(database_url: str, file: Path | None) -> tuple[Path, int]:
    """The copy, `file` or one whose name tells the time, and its size in bytes."""
    with explained():
        url = parse_url(database_url)
    if url.get_backend_name() == "postgresql":
        raise CommandFailed(f"nothing was copied; PostgreSQL's own program does that: {_pg_dump(url, file)}")
    copy = file or Path(f"mailweir-{datetime.fromtimestamp(Clock().ms() / 1000, UTC):%Y%m%dT%H%M%SZ}.db")
    return copy, _copy(Path(url.database or ""), copy)


def _copy(database: Path, copy: Path) -> int:
    try:
        return copy_database(database, copy)
    except FileExistsError as error:
        raise Misconfigured(f"{copy} is there already; name a new file") from error
    except OSError as error:
        raise Misconfigured(f"{error.filename} cannot be used: {error.strerror}") from error
    except sqlite3.Error as error:
        raise CommandFailed(f"{database} could not be copied: {error}") from error


def _pg_dump(url: sa.URL, file: Path | None) -> str:
    # pg_dump asks for the password, or takes it from ~/.pgpass: on a command line every user of the machine sees it.
    plain = sa.URL.create("postgresql", url.username, None, url.host, url.port, url.database)
    return f"pg_dump --format=custom --file={file or 'mailweir.dump'} {plain.render_as_string()}"
