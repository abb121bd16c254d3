"""The whole application with its store and sender, in the tests' own event loop; requests do not leave the process."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.web.gateways import Api, serving


@pytest.fixture
async def api(database_url: str, tmp_path: Path) -> AsyncIterator[Api]:
    """The API with an admin key, once on SQLite and once on PostgreSQL."""
    async with serving(database_url, tmp_path) as client:
        yield client


@pytest.fixture
async def small_api(sqlite_url: str, tmp_path: Path) -> AsyncIterator[Api]:
    """The API on SQLite alone, for what has nothing to do with the database."""
    async with serving(sqlite_url, tmp_path) as client:
        yield client


@pytest.fixture
def sqlite_url(sqlite_migrated: Path, tmp_path: Path) -> str:
    path = tmp_path / "mailweir.db"
    path.write_bytes(sqlite_migrated.read_bytes())
    return f"sqlite+aiosqlite:///{path}"
