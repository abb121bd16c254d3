"""`mailweir backup`: a copy of the database."""

import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import rich_click as click
import sqlalchemy as sa
from click import argument

from app.cli.configuration import settings_in_force
from app.cli.errors import CommandFailed, Misconfigured
from app.cli.output import json_option, say, show_one
from app.cli.starting import explained
from app.clock import Clock
from app.store.copies import copy_database
from app.store.engine import parse_url
from app.vault import KEY_FILE


@click.command()
@argument("file", required=False, type=click.Path(path_type=Path))
@json_option
def backup(file: Path | None) -> None:
    """Copy the database to FILE, whole and consistent, while the gateway runs.

    FILE must not be there yet; without one, its name tells the time. Nobody but its owner may read it. The secret key
    is not in it: keep that too, elsewhere. A PostgreSQL is copied by its own program; this verb says how.

    \b
    Examples:
        mailweir backup
        mailweir backup /mnt/backups/mailweir.db
    """
    settings = settings_in_force()
    with explained():
        url = parse_url(settings.database_url)
    if url.get_backend_name() == "postgresql":
        raise CommandFailed(f"nothing was copied; PostgreSQL's own program does that: {_pg_dump(url, file)}")
    copy = file or Path(f"mailweir-{datetime.fromtimestamp(Clock().ms() / 1000, UTC):%Y%m%dT%H%M%SZ}.db")
    show_one({"file": str(copy), "bytes": _copied(Path(url.database or ""), copy)})
    if not settings.secret_key:
        say(f"Keep {settings.data_dir / KEY_FILE} as well, elsewhere: without it the secrets cannot be opened.")


def _copied(database: Path, copy: Path) -> int:
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
