"""The log of SQLite goes into the database while the writer writes, not by one of its commits."""

import shutil
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from app.store import checkpoints
from app.store.engine import Writer, open_engine, open_writer

pytestmark = pytest.mark.anyio

ROWS = 100


@pytest.fixture(autouse=True)
def few_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "CHECKPOINT_ROWS", ROWS)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "log.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE row (id INTEGER)")
    return path


@pytest.fixture
async def writer(database: Path) -> AsyncIterator[Writer]:
    engine = open_engine(f"sqlite+aiosqlite:///{database}")
    writer = await open_writer(engine)
    yield writer
    await writer.close()
    await engine.dispose()


async def write(writer: Writer, rows: int) -> None:
    await writer.run(lambda connection: connection.exec_driver_sql("INSERT INTO row VALUES (?)", [(1,)] * rows))


async def rest(writer: Writer) -> None:
    """Until no checkpoint is under way."""
    await writer._checkpoints.close()


def rows_beside_the_log(database: Path) -> int:
    """What the database's file holds without its log."""
    copy = database.with_name("copy.db")
    shutil.copyfile(database, copy)
    with closing(sqlite3.connect(copy)) as connection:
        found: int = connection.execute("SELECT count(*) FROM row").fetchone()[0]
    return found


def pages_of_log_left(database: Path) -> int:
    with closing(sqlite3.connect(database)) as connection:
        _busy, pages, moved = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    return pages - moved


async def test_enough_changed_rows_are_moved_into_the_database(writer: Writer, database: Path) -> None:
    await write(writer, ROWS - 1)
    await rest(writer)
    assert rows_beside_the_log(database) == 0

    await write(writer, 1)
    await rest(writer)
    assert rows_beside_the_log(database) == ROWS


async def test_rows_are_counted_from_one_checkpoint_to_the_next(writer: Writer, database: Path) -> None:
    for _ in range(3):
        await write(writer, ROWS)
        await rest(writer)
    assert rows_beside_the_log(database) == 3 * ROWS

    await write(writer, ROWS // 2)
    await rest(writer)
    assert rows_beside_the_log(database) == 3 * ROWS


async def test_a_reader_who_takes_long_holds_up_neither_the_writer_nor_the_next_checkpoint(
    writer: Writer, database: Path
) -> None:
    with closing(sqlite3.connect(database, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        assert reader.execute("SELECT count(*) FROM row").fetchone() == (0,)
        await write(writer, ROWS)
        await rest(writer)
        assert rows_beside_the_log(database) == 0
        assert reader.execute("SELECT count(*) FROM row").fetchone() == (0,)
    await write(writer, ROWS)
    await rest(writer)
    assert rows_beside_the_log(database) == 2 * ROWS


async def test_a_checkpoint_that_fails_is_left_to_the_writer(
    writer: Writer, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer._checkpoints, "_database", database.parent / "nowhere" / "log.db")
    await write(writer, ROWS)
    await rest(writer)
    assert rows_beside_the_log(database) == 0
    assert pages_of_log_left(database) == 0  # which this look has moved, as the writer's own checkpoint does
    assert rows_beside_the_log(database) == ROWS
