"""`mailweir prune`: what is too old goes now."""

import asyncio
from typing import Any

import msgspec
import rich_click as click
from click import option
from sqlalchemy.ext.asyncio import AsyncEngine

from app.cli.configuration import settings_in_force
from app.cli.database import opened_database
from app.cli.output import json_option, say, show_one
from app.cli.starting import explained
from app.clock import Clock
from app.store.ids import first_id_at
from app.store.retention import Removed, count_older, remove_older, write_with
from app.store.space import Room, give_back, room_in

DAYS_MAX = 3_650
DAY_MS = 86_400_000


@click.command()
@option(
    "--older-than",
    "days",
    type=click.FloatRange(0, DAYS_MAX),
    metavar="DAYS",
    help="What came longer ago than this; MAILWEIR_RETENTION_DAYS unless given.",
)
@option("--dry-run", is_flag=True, help="Count what would go, and remove nothing.")
@json_option
def prune(days: float | None, dry_run: bool) -> None:
    """Remove receipts, events, deliveries and attempts that are too old, and give the space back.

    A running gateway does this every hour. By hand it may be done beside it at any time: it goes in small steps that
    keep nobody waiting. An event of which a delivery is pending or being sent stays until that has ended.

    \b
    Examples:
        mailweir prune --dry-run
        mailweir prune --older-than 7
    """
    settings = settings_in_force()
    kept_days = settings.retention_days if days is None else days
    before = first_id_at(round(Clock().ms() - kept_days * DAY_MS))
    with explained():
        done, room = asyncio.run(_prune(settings.database_url, before, dry_run=dry_run))
    show_one({"older_than_days": kept_days, "dry_run": dry_run, **done})
    if room is not None and not room.can_shrink and not dry_run:
        say(f"{room.free_bytes:,} bytes of the file are free and will be used again; docs/operating.md shrinks it.")


async def _prune(database_url: str, before: int, *, dry_run: bool) -> tuple[dict[str, Any], Room | None]:
    """What went, and the room that it left in an SQLite file."""
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
