"""The database itself, for verbs that need no running gateway and may work beside one."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncEngine

from app.cli.errors import Misconfigured
from app.store.engine import is_sqlite, open_engine
from app.store.migrate import HEAD, current_revision


@asynccontextmanager
async def opened_database(database_url: str) -> AsyncGenerator[AsyncEngine]:
    """The engine of a database that is there and at this version's revision. Raises Misconfigured."""
    engine = open_engine(database_url)
    try:
        if is_sqlite(engine) and not (path := Path(engine.url.database or "")).exists():
            raise Misconfigured(f"there is no database {path}; check MAILWEIR_DATABASE_URL and the working folder")
        if (revision := await current_revision(engine)) != HEAD:
            raise Misconfigured(
                f"the database is at revision {revision}, this version works with {HEAD}; run `mailweir migrate`"
            )
        yield engine
    finally:
        await engine.dispose()
