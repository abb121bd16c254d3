"""`mailweir prune`: what is too old goes now."""

import asyncio

import rich_click as click
from click import option

from app.cli.output import json_option, say, show_one

DAYS_MAX = 3_650


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
    from app.cli.configuration import settings_in_force  # all imported here, so that the help need not wait
    from app.cli.pruning import prune_database
    from app.cli.starting import explained

    settings = settings_in_force()
    kept_days = settings.retention_days if days is None else days
    with explained():
        done, room = asyncio.run(prune_database(settings.database_url, kept_days, dry_run=dry_run))
    show_one({"older_than_days": kept_days, "dry_run": dry_run, **done})
    if room is not None and not room.can_shrink and not dry_run:
        say(f"{room.free_bytes:,} bytes of the file are free and will be used again; docs/operating.md shrinks it.")
