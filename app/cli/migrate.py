"""`mailweir migrate`: the database's tables."""

import asyncio
from contextlib import nullcontext
from pathlib import Path

import rich_click as click


@click.command()
def migrate() -> None:
    """Bring the database to the form that this version needs.

    `mailweir serve` does the same at its start; on its own it is for a deployment that migrates before the new version
    serves. It may be run again at any time. Back up the database before a new version migrates it.

    \b
    Examples:
        mailweir migrate
        MAILWEIR_DATABASE_URL=postgresql+asyncpg://user:password@db/mailweir mailweir migrate
    """
    from app.cli.configuration import settings_in_force  # all imported here, so that the help need not wait
    from app.cli.starting import explained
    from app.store.migrate import HEAD

    settings = settings_in_force()
    with explained():
        changed = asyncio.run(_migrate(settings.database_url))
    click.echo(f"The database is now at revision {HEAD}." if changed else f"Nothing to do: at revision {HEAD}.")


async def _migrate(database_url: str) -> bool:
    from app.store.engine import is_sqlite, open_engine
    from app.store.locks import sole_user
    from app.store.migrate import HEAD, current_revision
    from app.store.migrate import migrate as upgrade

    engine = open_engine(database_url)
    try:
        if await current_revision(engine) == HEAD:
            return False
        alone = sole_user(Path(engine.url.database or "")) if is_sqlite(engine) else nullcontext()
        with alone:
            return await upgrade(engine)
    finally:
        await engine.dispose()
