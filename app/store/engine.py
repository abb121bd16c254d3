"""The engine under every table: SQLite through aiosqlite, PostgreSQL through asyncpg; what differs stands here."""

import json
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

import aiosqlite
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import insert as insert_postgresql
from sqlalchemy.dialects.sqlite import insert as insert_sqlite
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry, StaticPool

from app.store.checkpoints import Checkpoints
from app.store.locks import Turns

T = TypeVar("T")
Query = TypeVar("Query", bound=sa.Select[*tuple[Any, ...]])

READERS_MAX = 8
SQLITE_BUSY_TIMEOUT_S = 5
SQLITE_CACHE_KIB = 2_048
SQLITE_WRITER_CACHE_KIB = 8_192
"""The writer goes through all indexes with every event. What is not in these caches is in the system's."""
SQLITE_CHECKPOINT_PAGES = 16_000
"""64 MB of log before a commit moves it into the database; `Checkpoints` is there before, and leaves it little."""


class DatabaseUrlInvalid(Exception):
    """The database URL names neither of the two databases, or cannot be read."""


def open_engine(database_url: str) -> AsyncEngine:
    """The engine for `database_url`; creates the folder of an SQLite file. Raises DatabaseUrlInvalid."""
    url = parse_url(database_url)
    if url.get_backend_name() == "postgresql":
        return create_async_engine(url, pool_size=READERS_MAX, max_overflow=0, pool_pre_ping=True, hide_parameters=True)
    Path(url.database or "").parent.mkdir(parents=True, exist_ok=True)
    engine = create_async_engine(
        url,
        pool_size=READERS_MAX,
        max_overflow=0,
        connect_args={"timeout": SQLITE_BUSY_TIMEOUT_S},
        hide_parameters=True,
    )
    event.listen(engine.sync_engine, "connect", partial(_durable, cache_kib=SQLITE_CACHE_KIB))
    event.listen(engine.sync_engine, "begin", _begin)
    return engine


def parse_url(database_url: str) -> sa.URL:
    """The URL of one of the two databases. Raises DatabaseUrlInvalid."""
    try:
        url = sa.make_url(database_url)
    except ArgumentError as error:
        raise DatabaseUrlInvalid("MAILWEIR_DATABASE_URL is not a database URL") from error
    if url.drivername not in ("sqlite+aiosqlite", "postgresql+asyncpg"):
        raise DatabaseUrlInvalid(
            f"MAILWEIR_DATABASE_URL starts with {url.drivername}://; use sqlite+aiosqlite:/// or postgresql+asyncpg://"
        )
    if url.drivername == "sqlite+aiosqlite" and url.database in (None, "", ":memory:"):
        raise DatabaseUrlInvalid("MAILWEIR_DATABASE_URL needs a file: sqlite+aiosqlite:///data/mailweir.db")
    return url


def _durable(connection: Any, _entry: ConnectionPoolEntry, *, cache_kib: int) -> None:
    """Every SQLite connection: write-ahead log, synced to the disk at each commit; `_begin` begins transactions.

    `auto_vacuum` counts for a new file alone, and before anything else has written to it.
    """
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in (
        "auto_vacuum=INCREMENTAL",
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        "temp_store=MEMORY",
        f"cache_size=-{cache_kib}",
        f"wal_autocheckpoint={SQLITE_CHECKPOINT_PAGES}",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


WRITES = "writes"
"""Execution option of a connection that will write: SQLite takes its one write lock at once instead of on the way."""


def _begin(connection: sa.Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.get_execution_options().get(WRITES) else "BEGIN")


def is_sqlite(engine: AsyncEngine) -> bool:
    """True for SQLite: one writer, one machine."""
    return engine.dialect.name == "sqlite"


def insert_new(dialect: sa.Dialect, table: sa.Table, unique: Sequence[str], where: Any = None) -> sa.Insert:
    """INSERT that leaves out rows whose `unique` columns (with the partial index's `where`) are already there."""
    insert = insert_sqlite(table) if dialect.name == "sqlite" else insert_postgresql(table)
    return insert.on_conflict_do_nothing(index_elements=list(unique), index_where=where)


def insert_adding(dialect: sa.Dialect, table: sa.Table, added: str) -> sa.Insert:
    """INSERT that adds the column `added` to that of a row with the same primary key, where there is one."""
    insert = insert_sqlite(table) if dialect.name == "sqlite" else insert_postgresql(table)
    column = table.c[added]
    keys = [key.name for key in table.primary_key]
    return insert.on_conflict_do_update(index_elements=keys, set_={added: column + insert.excluded[added]})


def skip_locked(dialect: sa.Dialect, query: Query) -> Query:
    """Rows that another node is changing are passed over; SQLite has one writer and needs no such word."""
    return query if dialect.name == "sqlite" else query.with_for_update(skip_locked=True)


def lock_rows(dialect: sa.Dialect, query: Query, *, shared: bool) -> Query:
    """Rows that nobody else may change, or `shared` nobody at all, until the transaction ends; so it is on SQLite."""
    return query if dialect.name == "sqlite" else query.with_for_update(read=shared)


def is_among(dialect: sa.Dialect, column: sa.ColumnElement[int], name: str) -> sa.ColumnElement[bool]:
    """Whether the column is one of the numbers in the parameter of that name, which `as_one_value` has made.

    However many these are, the statement is the same, and is compiled once.
    """
    numbers = sa.bindparam(name, type_=sa.Text() if dialect.name == "sqlite" else ARRAY(sa.BigInteger))
    if dialect.name == "sqlite":
        return column.in_(sa.select(sa.func.json_each(numbers).table_valued("value").c.value))
    return column == sa.any_(numbers)


def as_one_value(dialect: sa.Dialect, numbers: Sequence[int]) -> Any:
    """The numbers as the one value of a parameter."""
    return json.dumps(numbers) if dialect.name == "sqlite" else list(numbers)


INDEXED_CHARACTERS_MAX = 500


def findable(text: str | None) -> str | None:
    """As much of the text as an index takes."""
    return storable(text[:INDEXED_CHARACTERS_MAX]) if text else text


def storable(text: str | None) -> str | None:
    """The text without NUL, which PostgreSQL does not take."""
    return text.replace("\x00", "\ufffd") if text and "\x00" in text else text


class Writer(Protocol):
    """Runs a whole transaction, given as a function over a connection, and returns once it is durable."""

    async def run(self, work: Callable[[sa.Connection], T]) -> T:
        """What `work` returned; nothing is written if it, or the commit, raises."""
        ...

    async def close(self) -> None:
        """Lets go of the connection."""
        ...


async def open_writer(engine: AsyncEngine, *, shared: bool = False) -> Writer:
    """The writer of the hot path, with a connection of its own, so that no reader ever keeps it waiting.

    `shared`: other processes of this gateway have one as well.
    """
    if not is_sqlite(engine):
        return _PostgresWriter(engine)
    database = Path(engine.url.database or "")
    return await _SqliteWriter.open(database, Turns(database) if shared else None)


class _PostgresWriter:
    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = create_async_engine(
            engine.url, pool_size=1, max_overflow=0, pool_pre_ping=True, hide_parameters=True
        )

    async def run(self, work: Callable[[sa.Connection], T]) -> T:
        async with self._engine.begin() as connection:
            return await connection.run_sync(work)

    async def close(self) -> None:
        await self._engine.dispose()


class _SqliteWriter:
    """Strategy: aiosqlite gives each connection a thread and sends it one call at a time, four for a statement. A
    transaction of eight statements would cost more in changing threads than in SQLite, so it is sent over as a whole.
    """

    def __init__(self, connection: "_Connection", database: Path, turns: Turns | None) -> None:
        self._connection = connection
        self._checkpoints = Checkpoints(database)
        self._turns = turns
        self._engine = sa.create_engine("sqlite://", creator=connection.raw, poolclass=StaticPool, hide_parameters=True)
        event.listen(self._engine, "connect", partial(_durable, cache_kib=SQLITE_WRITER_CACHE_KIB))
        event.listen(self._engine, "begin", _begin_writing)

    @classmethod
    async def open(cls, database: Path, turns: Turns | None) -> "_SqliteWriter":
        connection = _Connection(lambda: sqlite3.connect(database, timeout=SQLITE_BUSY_TIMEOUT_S), iter_chunk_size=64)
        await connection
        return cls(connection, database, turns)

    async def run(self, work: Callable[[sa.Connection], T]) -> T:
        result = await self._connection.run(lambda: self._transact(work))
        self._checkpoints.note(self._connection.total_changes)
        return result

    def _transact(self, work: Callable[[sa.Connection], T]) -> T:
        with self._turns or nullcontext(), self._engine.begin() as connection:
            return work(connection)

    async def close(self) -> None:
        await self._checkpoints.close()
        await self._connection.close()
        if self._turns is not None:
            self._turns.close()


class _Connection(aiosqlite.Connection):
    """A connection whose thread runs whole functions."""

    async def run(self, function: Callable[[], T]) -> T:
        """What the function returned, on the connection's thread."""
        return await self._execute(function)  # pyright: ignore[reportUnknownMemberType] - it has no types

    def raw(self) -> sqlite3.Connection:
        """The connection itself, for use on its thread."""
        return self._conn


def _begin_writing(connection: sa.Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")
