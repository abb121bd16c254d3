"""Removing what is too old from a database that is there."""

from typing import Any

import msgspec
from sqlalchemy.ext.asyncio import AsyncEngine

from app.cli.database import opened_database
from app.clock import Clock
from app.store.ids import first_id_at
from app.store.retention import Removed, count_older, remove_older, write_with
from app.store.space import Room, give_back, room_in

DAY_MS = 86_400_000


async def prune_database(database_url: str, kept_days: float, *, dry_run: bool) -> tuple[dict[str, Any], Room | None]:
    """What went, or with `dry_run` would go, and the room that it left in an SQLite file."""
    before = first_id_at(round(Clock().ms() - kept_days * DAY_MS))
    async with opened_database(database_url) as engine:
        if dry_run:
            return msgspec.structs.asdict(await count_older(engine, before)), await _room(engine)
        write = write_with(engine)
        removed = await remove_older(write, before, _told_at_the_end)
        given = await give_back(write, kept_share=0.0)
        return {**msgspec.structs.asdict(removed), "bytes_given_back": given}, await _room(engine)


async def _room(engine: AsyncEngine) -> Room | None:
    async with engine.connect() as connection:
        return await connection.run_sync(room_in)


def _told_at_the_end(_removed: Removed) -> None:
    """Steps are too small to be told one by one."""
