import asyncio
import contextlib
import sqlite3
import sys
from importlib import import_module
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlmodel import SQLModel

from app.store import migrations
from app.store.engine import open_engine
from app.store.errors import DatabaseTooNew
from app.store.migrate import HEAD, current_revision, follow_revisions, migrate
from app.store.transactions import writing

pytestmark = pytest.mark.anyio

_MIGRATING = """
import asyncio, sys
from app.store.engine import open_engine
from app.store.migrate import migrate
async def main():
    engine = open_engine(sys.argv[1])
    await migrate(engine)
    await engine.dispose()
asyncio.run(main())
"""


@pytest.fixture
async def empty(empty_database_url: str):
    engine = open_engine(empty_database_url)
    yield engine
    await engine.dispose()


def _differences(connection: sa.Connection) -> list[object]:
    opts = {"compare_type": True, "compare_server_default": True, "include_object": _is_no_index}
    context = MigrationContext.configure(connection, opts=opts)
    return compare_metadata(context, SQLModel.metadata)


def _is_no_index(_object: object, _name: str | None, kind: str, *_others: object) -> bool:
    """Indexes differ between the databases, and are looked at one by one."""
    return kind != "index"


async def test_the_revisions_make_exactly_the_tables_of_the_code(empty: AsyncEngine) -> None:
    async with writing(empty) as connection:
        await connection.run_sync(follow_revisions)
        assert await connection.run_sync(_differences) == []
        assert await connection.run_sync(_indexes_found) == _indexes_declared(empty.dialect.name)
    assert await migrate(empty) is False


async def test_an_empty_database_gets_the_tables_and_indexes_of_the_code_at_once(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        assert await connection.run_sync(_differences) == []
        assert await connection.run_sync(_indexes_found) == _indexes_declared(engine.dialect.name)


async def test_an_empty_database_is_made_without_loading_the_migrations(tmp_path: Path) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path}/mailweir.db"
    done = await asyncio.create_subprocess_exec(
        sys.executable, "-c", f"{_MIGRATING}\nassert 'alembic' not in sys.modules", url
    )
    assert await done.wait() == 0


def _indexes_found(connection: sa.Connection) -> set[tuple[str, tuple[str | None, ...], bool, bool]]:
    inspector = sa.inspect(connection)
    return {
        (
            str(index["name"]),
            tuple(index["column_names"]),
            bool(index["unique"]),
            f"{connection.dialect.name}_where" in index.get("dialect_options", {}),
        )
        for table in SQLModel.metadata.tables
        for index in inspector.get_indexes(table)
        if "duplicates_constraint" not in index
    }


def _indexes_declared(dialect: str) -> set[tuple[str, tuple[str | None, ...], bool, bool]]:
    return {
        (
            str(index.name),
            tuple(column.name for column in index.columns),
            bool(index.unique),
            index.dialect_options[dialect]["where"] is not None,
        )
        for table in SQLModel.metadata.tables.values()
        for index in table.indexes
        if index._ddl_if is None or index._ddl_if.dialect == dialect
    }


async def test_an_empty_database_is_brought_to_the_newest_revision_and_then_left_alone(empty: AsyncEngine) -> None:
    assert await current_revision(empty) is None
    assert await migrate(empty) is True
    assert await current_revision(empty) == HEAD
    assert await migrate(empty) is False


async def test_the_head_that_the_code_expects_is_the_newest_script() -> None:
    assert ScriptDirectory(migrations.__path__[0]).get_current_head() == HEAD


async def test_receipts_events_and_deliveries_are_rowids_of_sqlite(tmp_path) -> None:
    engine = open_engine(f"sqlite+aiosqlite:///{tmp_path}/mailweir.db")
    await migrate(engine)
    async with engine.connect() as connection:
        query = sa.text("SELECT name FROM sqlite_master WHERE name LIKE 'sqlite_autoindex%' ORDER BY name")
        own_indexes = set((await connection.scalars(query)).all())
    await engine.dispose()
    assert not {name for name in own_indexes if any(table in name for table in ("receipt", "event", "delivery"))}


async def test_two_nodes_that_start_together_take_turns(empty: AsyncEngine) -> None:
    other = open_engine(empty.url.render_as_string(hide_password=False))
    done = await asyncio.gather(migrate(empty), migrate(other))
    await other.dispose()
    assert True in done
    assert await current_revision(empty) == HEAD


async def test_two_processes_that_start_together_take_turns(empty_database_url: str) -> None:
    start = [sys.executable, "-W", "error", "-c", _MIGRATING, empty_database_url]
    processes = [await asyncio.create_subprocess_exec(*start) for _ in range(3)]
    assert [await process.wait() for process in processes] == [0, 0, 0]


async def test_a_database_of_a_newer_version_is_refused_and_left_as_it_is(empty: AsyncEngine) -> None:
    await migrate(empty)
    async with writing(empty) as connection:
        await connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(DatabaseTooNew, match="9999"):
        await migrate(empty)
    assert await current_revision(empty) == "9999"


async def test_a_migration_that_fails_leaves_nothing_behind(empty: AsyncEngine) -> None:
    async with writing(empty) as connection:
        await connection.execute(sa.text("CREATE TABLE idempotent_reply (x INTEGER)"))
    with pytest.raises(sa.exc.DBAPIError):
        await migrate(empty)
    async with empty.connect() as connection:
        tables = await connection.run_sync(lambda sync: set(sa.inspect(sync).get_table_names()))
    assert tables == {"idempotent_reply"}


async def test_recipients_of_before_are_found_in_any_case(empty: AsyncEngine) -> None:
    await migrate(empty)
    async with writing(empty) as connection:
        await connection.execute(_AN_EVENT, {"recipient": "Ann@Example.com"})
        await connection.run_sync(_run_again)
        assert await connection.scalar(sa.text("SELECT recipient FROM event")) == "ann@example.com"


_AN_EVENT = sa.text(
    "INSERT INTO event (id, environment_id, type, recipient, occurred_at, dedup_key, body)"
    " VALUES (1, 1, 'email.open', :recipient, 0, '', '')"
)


def _run_again(connection: sa.Connection) -> None:
    """The one revision, without those that came after it."""
    with Operations.context(MigrationContext.configure(connection)):
        import_module("app.store.migrations.versions.0012_recipients").upgrade()


@pytest.mark.parametrize("journal", ["WAL", "DELETE"])
async def test_a_database_that_is_locked_for_longer_than_one_waits_is_migrated_after_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, journal: str
) -> None:
    monkeypatch.setattr("app.store.engine.SQLITE_BUSY_TIMEOUT_S", 0.05)
    path = tmp_path / "mailweir.db"
    engine = open_engine(f"sqlite+aiosqlite:///{path}")
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute(f"PRAGMA journal_mode={journal}")
        other.execute("BEGIN IMMEDIATE")
        migrating = asyncio.create_task(migrate(engine))
        await asyncio.sleep(0.5)
        assert not migrating.done()
        other.execute("ROLLBACK")
        assert await migrating is True
    await engine.dispose()
