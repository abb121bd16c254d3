"""SQLite's log moved into the database beside the writer, so that no commit has to wait for it.

Strategy: left to itself, SQLite has the commit that finds the log long move all of it, which takes as long as dozens of
commits. Here another connection does so while the writer goes on; what is written meanwhile it moves in a second round.
Whatever comes then is left to the writer, whose limit is higher (`engine.SQLITE_CHECKPOINT_PAGES`) and who finds little
to do there.
"""

import asyncio
import sqlite3
from contextlib import suppress
from pathlib import Path

import aiosqlite

CHECKPOINT_ROWS = 10_000
"""Changed rows: some 5,500 pages of log, 22 MB."""


class Checkpoints:
    """Of the database that one writer writes to, which tells what it wrote."""

    def __init__(self, database: Path) -> None:
        self._database = database
        self._rows_moved = 0
        self._moving: asyncio.Task[None] | None = None

    def note(self, rows_changed: int) -> None:
        """How many rows the writer has changed since it was opened; enough new ones begin a checkpoint."""
        if self._moving is None and rows_changed - self._rows_moved >= CHECKPOINT_ROWS:
            self._rows_moved = rows_changed
            self._moving = asyncio.create_task(self._move(), name="checkpoint")

    async def _move(self) -> None:
        """A checkpoint that fails, or finds another process at it, does no harm: the writer makes up for it."""
        try:
            with suppress(sqlite3.Error):
                async with aiosqlite.connect(self._database, isolation_level=None) as connection:
                    for _ in range(2):
                        await connection.execute_fetchall("PRAGMA wal_checkpoint(PASSIVE)")
        finally:
            self._moving = None

    async def close(self) -> None:
        """Waits for the one under way."""
        if self._moving is not None:
            await self._moving
