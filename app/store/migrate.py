"""The tables for this version of the code."""

import asyncio
from pathlib import Path
from time import monotonic

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from app.store import tables
from app.store.errors import DatabaseTooNew, is_locked
from app.store.transactions import alone, writing

HEAD = "0017"
"""The newest revision under `migrations/versions`; without an older database Alembic is not even loaded."""

TURN_WITHIN_S = 120.0
TURN_LOOK_INTERVAL_S = 0.02

_MIGRATIONS = Path(__file__).parent / "migrations"
_VERSION = sa.Table(  # as Alembic makes it
    "alembic_version", sa.MetaData(), sa.Column("version_num", sa.String(32), primary_key=True)
)


async def migrate(engine: AsyncEngine) -> bool:
    """Brings the tables to `HEAD`; True when there was something to do. Nodes that start together take turns.

    Raises DatabaseTooNew, having changed nothing, when a newer version was here.
    """
    until = monotonic() + TURN_WITHIN_S
    while True:
        try:
            if await current_revision(engine) == HEAD:
                return False
            async with writing(engine) as connection:
                await alone(engine, connection)
                await connection.run_sync(_bring_to_head)
        except DBAPIError as error:
            # SQLite waits five seconds for whoever writes, and a large database takes longer to change; for another
            # that gives a new one its log, it does not wait at all.
            if not is_locked(error) or monotonic() > until:
                raise
            await asyncio.sleep(TURN_LOOK_INTERVAL_S)
        else:
            return True


async def current_revision(engine: AsyncEngine) -> str | None:
    """The revision the tables are at, None for an empty database."""
    async with engine.connect() as connection:
        return await connection.run_sync(_revision)


def _revision(connection: sa.Connection) -> str | None:
    if not sa.inspect(connection).has_table(_VERSION.name):
        return None
    return connection.scalar(sa.select(_VERSION.c.version_num))


def _bring_to_head(connection: sa.Connection) -> None:
    """Within the caller's transaction: both databases can take back what changes tables."""
    revision = _revision(connection)
    if revision is None:
        _make(connection)
    elif revision != HEAD:  # who had this turn before has left nothing to do
        follow_revisions(connection)


def _make(connection: sa.Connection) -> None:
    """The tables of the code, to which the revisions lead too, without Alembic: it would stay in memory for good."""
    tables.SQLModel.metadata.create_all(connection, checkfirst=False)
    _VERSION.create(connection)
    connection.execute(sa.insert(_VERSION).values(version_num=HEAD))


def follow_revisions(connection: sa.Connection) -> None:
    """Runs what leads from the tables as they are, or from none, to those of the code. Raises DatabaseTooNew."""
    from alembic import command  # imported here: it takes longer than all that a usual start needs
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    revision = _revision(connection)
    if revision is not None and revision not in known:
        raise DatabaseTooNew(
            f"The database is at revision {revision}, which this version of Mailweir does not know; "
            "a newer version was here: run that one, or restore a backup from before"
        )
    command.upgrade(config, "head")
