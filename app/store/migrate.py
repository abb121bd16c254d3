"""What a start brings up to date: the tables for this version of the code, the stored secrets for the newest key."""

from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from app.store.errors import DatabaseTooNew
from app.store.tables import EndpointRow, SourceRow, table_of
from app.store.transactions import alone, writing
from app.vault import Vault, is_sealed

HEAD = "0005"
"""The newest revision under `migrations/versions`; a database that is there needs nothing, not even Alembic."""

_MIGRATIONS = Path(__file__).parent / "migrations"
_VERSION = sa.table("alembic_version", sa.column("version_num", sa.String))


async def migrate(engine: AsyncEngine) -> bool:
    """Upgrades to `HEAD`; True when there was something to do. Nodes that start together take turns.

    Raises DatabaseTooNew, having changed nothing, when a newer version was here.
    """
    if await current_revision(engine) == HEAD:
        return False
    async with writing(engine) as connection:
        await alone(engine, connection)
        await connection.run_sync(_upgrade)
    return True


async def current_revision(engine: AsyncEngine) -> str | None:
    """The revision the tables are at, None for an empty database."""
    async with engine.connect() as connection:
        return await connection.run_sync(_revision)


async def reseal_secrets(engine: AsyncEngine, vault: Vault) -> int:
    """Seals anew what an older key of the vault sealed, and headers that none has; how many rows that were.

    Raises VaultError, having changed nothing, when no key of the vault opens one of them, so that a start with the
    wrong key ends here and not at the first request.
    """
    async with writing(engine) as connection:
        sources = await _reseal(connection, table_of(SourceRow), vault)
        endpoints = await _reseal(connection, table_of(EndpointRow), vault)
        return sources + endpoints + await _reseal_headers(connection, vault)


def _revision(connection: sa.Connection) -> str | None:
    if not sa.inspect(connection).has_table(_VERSION.name):
        return None
    return connection.scalar(sa.select(_VERSION.c.version_num))


def _upgrade(connection: sa.Connection) -> None:
    """Within the caller's transaction: both databases can take back what changes tables."""
    from alembic import command  # imported here: it takes longer than all that a usual start needs
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    revision = _revision(connection)
    if revision is not None and revision not in known:
        raise DatabaseTooNew(
            f"The database is at revision {revision}, which this version of Mailweir does not know; "
            "a newer version was here: run that one, or restore a backup from before"
        )
    command.upgrade(config, "head")


async def _reseal(connection: AsyncConnection, table: sa.Table, vault: Vault) -> int:
    query = sa.select(table.c.id, table.c.secrets_sealed).order_by(table.c.id).with_for_update()
    older = [
        (row.id, resealed)
        for row in await connection.execute(query)
        if (resealed := vault.reseal(row.secrets_sealed)) != row.secrets_sealed
    ]
    for number, resealed in older:
        await connection.execute(sa.update(table).where(table.c.id == number).values(secrets_sealed=resealed))
    return len(older)


async def _reseal_headers(connection: AsyncConnection, vault: Vault) -> int:
    """The values of endpoints' headers; until revision 0003 they were kept unsealed."""
    table = table_of(EndpointRow)
    query = sa.select(table.c.id, table.c.headers).order_by(table.c.id).with_for_update()
    resealed = 0
    for number, headers in (await connection.execute(query)).all():
        newest = {name: _newest_seal(value, vault) for name, value in headers.items()}
        if newest != headers:
            await connection.execute(sa.update(table).where(table.c.id == number).values(headers=newest))
            resealed += 1
    return resealed


def _newest_seal(value: str, vault: Vault) -> str:
    return (vault.reseal(value.encode()) if is_sealed(value) else vault.seal(value)).decode()
