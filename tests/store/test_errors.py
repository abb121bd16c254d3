import sqlite3
from collections.abc import Awaitable, Callable

import asyncpg
import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnectionFree
from sqlalchemy.ext.asyncio import AsyncEngine

from app.store.accounts import first_start
from app.store.engine import open_engine
from app.store.errors import driver_message, is_unavailable
from app.store.tables import EndpointRow, EnvironmentRow, table_of
from app.store.transactions import writing
from tests.conftest import FrozenClock, PostgresServer

pytestmark = pytest.mark.anyio


def _of_postgresql(cause: Exception, *, gone: bool = False) -> DBAPIError:
    """As SQLAlchemy hands on what asyncpg raised."""
    translated = Exception(str(cause))
    translated.sqlstate = getattr(cause, "sqlstate", None)  # pyright: ignore[reportAttributeAccessIssue]
    translated.__cause__ = cause
    return DBAPIError("COMMIT", {}, translated, connection_invalidated=gone)


def _of_sqlite(code: int) -> OperationalError:
    cause = sqlite3.OperationalError("as SQLite puts it")
    cause.sqlite_errorcode = code
    return OperationalError("COMMIT", {}, cause)


@pytest.mark.parametrize(
    "error",
    [
        _of_postgresql(asyncpg.ConnectionDoesNotExistError("as PostgreSQL puts it")),
        _of_postgresql(asyncpg.ConnectionFailureError("as PostgreSQL puts it")),
        _of_postgresql(asyncpg.ReadOnlySQLTransactionError("as PostgreSQL puts it")),
        _of_postgresql(asyncpg.InvalidPasswordError("as PostgreSQL puts it")),
        _of_postgresql(asyncpg.InvalidCatalogNameError("as PostgreSQL puts it")),
        _of_postgresql(asyncpg.SerializationError("as PostgreSQL puts it")),
        _of_postgresql(asyncpg.DeadlockDetectedError("as PostgreSQL puts it")),
        _of_postgresql(asyncpg.DiskFullError("as PostgreSQL puts it")),
        _of_postgresql(asyncpg.TooManyConnectionsError("as PostgreSQL puts it")),
        _of_postgresql(asyncpg.LockNotAvailableError("as PostgreSQL puts it")),
        _of_postgresql(asyncpg.QueryCanceledError("as PostgreSQL puts it")),
        _of_postgresql(asyncpg.AdminShutdownError("as PostgreSQL puts it")),
        _of_postgresql(asyncpg.CrashShutdownError("as PostgreSQL puts it")),
        _of_postgresql(asyncpg.CannotConnectNowError("as PostgreSQL puts it")),
        _of_postgresql(asyncpg.PostgresIOError("as PostgreSQL puts it")),
        _of_postgresql(asyncpg.InterfaceError("connection is closed"), gone=True),
        _of_postgresql(ConnectionResetError()),
        _of_sqlite(sqlite3.SQLITE_BUSY),
        _of_sqlite(sqlite3.SQLITE_BUSY_SNAPSHOT),
        _of_sqlite(sqlite3.SQLITE_FULL),
        _of_sqlite(sqlite3.SQLITE_READONLY_DBMOVED),
        _of_sqlite(sqlite3.SQLITE_IOERR_FSYNC),
        _of_sqlite(sqlite3.SQLITE_CANTOPEN),
        _of_sqlite(sqlite3.SQLITE_CORRUPT),
        OperationalError("COMMIT", {}, Exception("of a driver without codes")),
        NoConnectionFree("QueuePool limit reached"),
        ConnectionRefusedError(),
        TimeoutError(),
    ],
    ids=repr,
)
def test_trouble_of_the_database_itself_is_told_from_its_code(error: Exception) -> None:
    assert is_unavailable(error)


@pytest.mark.parametrize(
    "error",
    [
        _of_postgresql(asyncpg.CharacterNotInRepertoireError("as PostgreSQL puts it")),
        _of_postgresql(asyncpg.UniqueViolationError("as PostgreSQL puts it")),
        _of_postgresql(asyncpg.ProgramLimitExceededError("as PostgreSQL puts it")),
        _of_postgresql(asyncpg.UndefinedTableError("as PostgreSQL puts it")),
        _of_postgresql(asyncpg.InFailedSQLTransactionError("as PostgreSQL puts it")),
        _of_postgresql(asyncpg.exceptions.DataError("value out of int64 range")),
        _of_sqlite(sqlite3.SQLITE_ERROR),
        _of_sqlite(sqlite3.SQLITE_CONSTRAINT),
        _of_sqlite(sqlite3.SQLITE_TOOBIG),
        ValueError(),
    ],
    ids=repr,
)
def test_a_statement_that_fails_by_itself_is_no_trouble_of_the_database(error: Exception) -> None:
    assert not is_unavailable(error)


Breaking = Callable[[AsyncEngine], Awaitable[object]]


async def _raised_by(engine: AsyncEngine, breaking: Breaking) -> Exception:
    with pytest.raises(Exception) as caught:  # noqa: PT011 - which one it is, is what the test is about
        await breaking(engine)
    return caught.value


async def _write(engine: AsyncEngine) -> None:
    async with writing(engine) as connection:
        await connection.execute(sa.update(table_of(EnvironmentRow)).values(name="other"))


async def _write_too_large_a_number(engine: AsyncEngine) -> None:
    async with writing(engine) as connection:
        await connection.execute(sa.select(sa.bindparam("number", 1 << 80, sa.BigInteger)))


async def _ask_for_no_such_table(engine: AsyncEngine) -> None:
    async with writing(engine) as connection:
        await connection.execute(sa.text("SELECT * FROM nowhere"))


@pytest.mark.parametrize("breaking", [_write_too_large_a_number, _ask_for_no_such_table])
async def test_what_a_living_database_refuses_is_the_statements_fault(engine: AsyncEngine, breaking: Breaking) -> None:
    assert not is_unavailable(await _raised_by(engine, breaking))


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_locked_sqlite_file_is_unavailable(database_url: str) -> None:
    engine = open_engine(f"{database_url}?timeout=0")
    async with writing(engine):
        assert is_unavailable(await _raised_by(engine, _write))
    await engine.dispose()


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_read_only_sqlite_file_is_unavailable(engine: AsyncEngine, clock: FrozenClock) -> None:
    await first_start(engine, clock, None)
    async with engine.connect() as connection:
        await connection.execute(sa.text("PRAGMA query_only=1"))
    assert is_unavailable(await _raised_by(engine, _write))


async def test_a_postgresql_that_ends_sessions_or_only_reads_is_unavailable(postgres: PostgresServer) -> None:
    engine = open_engine(postgres.url(postgres.MIGRATED))
    assert is_unavailable(await _raised_by(engine, _end_own_session))
    assert is_unavailable(await _raised_by(engine, _write_in_a_read_only_transaction))
    await engine.dispose()


async def _end_own_session(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        await connection.execute(sa.text("SELECT pg_terminate_backend(pg_backend_pid())"))


async def _write_in_a_read_only_transaction(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        await connection.execute(sa.text("SET TRANSACTION READ ONLY"))
        await connection.execute(sa.update(table_of(EnvironmentRow)).values(name="other"))


@pytest.mark.parametrize("place", ["127.0.0.1:1", "/nowhere?host=/nowhere"])
async def test_a_postgresql_that_cannot_be_reached_is_unavailable(place: str) -> None:
    engine = open_engine(f"postgresql+asyncpg://someone@{place}")
    assert is_unavailable(await _raised_by(engine, _write))
    await engine.dispose()


async def test_the_drivers_message_tells_no_parameters(engine: AsyncEngine, clock: FrozenClock) -> None:
    await first_start(engine, clock, None)

    async def add_half_an_endpoint(engine: AsyncEngine) -> None:
        async with writing(engine) as connection:
            await connection.execute(sa.insert(table_of(EndpointRow)).values(environment_id=1, url="https://SECRET/"))

    error = await _raised_by(engine, add_half_an_endpoint)
    assert "SECRET" not in driver_message(error)
    assert "events" in driver_message(error) or "null" in driver_message(error)
