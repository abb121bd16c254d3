"""Space that removed rows have left in an SQLite file, given back to the disk. PostgreSQL's autovacuum needs no help.

Free pages are used again by what comes in, so a file that is as full as it always is need not shrink: pages are given
back only when there are many of them. Files that were made before auto_vacuum was set have to be rebuilt once.
"""

from functools import partial
from typing import NamedTuple

import sqlalchemy as sa

from app.store.retention import Write, unhurried

STEP_PAGES = 50
KEPT_SHARE = 0.25
"""How much of the file may stay free for what comes in."""
INCREMENTAL = 2
"""What `PRAGMA auto_vacuum` says of a file that can give pages back."""


class Room(NamedTuple):
    """An SQLite file's pages."""

    pages: int
    free: int
    page_bytes: int
    can_shrink: bool

    @property
    def free_bytes(self) -> int:
        return self.free * self.page_bytes


def room_in(connection: sa.Connection) -> Room | None:
    """The pages of the file; None for PostgreSQL."""
    if connection.dialect.name != "sqlite":
        return None
    pages, free, size, mode = (
        int(connection.exec_driver_sql(f"PRAGMA {name}").scalar_one())
        for name in ("page_count", "freelist_count", "page_size", "auto_vacuum")
    )
    return Room(pages, free, size, can_shrink=mode == INCREMENTAL)


async def give_back(write: Write, *, kept_share: float = KEPT_SHARE) -> int:
    """Shrinks the file step by step until no more than that share of it is free; the bytes it gave back."""
    given = 0
    while step := await unhurried(write, partial(_give_back_some, kept_share=kept_share)):
        given += step
    return given


def _give_back_some(connection: sa.Connection, kept_share: float) -> int:
    room = room_in(connection)
    if room is None or not room.can_shrink:
        return 0
    surplus = min(STEP_PAGES, room.free - int(room.pages * kept_share))
    for _ in range(surplus):
        # Python's sqlite3 takes only the first step of a statement without columns: one page each time.
        connection.exec_driver_sql("PRAGMA incremental_vacuum(1)")
    return max(0, surplus) * room.page_bytes
