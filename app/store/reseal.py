"""The end of a key rotation: stored secrets under the newest key."""

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from app.store.tables import EndpointRow, SourceRow, table_of
from app.store.transactions import writing
from app.vault import Vault


async def reseal_secrets(engine: AsyncEngine, vault: Vault) -> int:
    """Seals anew what an older key of the vault sealed; how many rows that were.

    Raises VaultError, having changed nothing, when no key of the vault opens one of them, so that a start with the
    wrong key ends here and not at the first request.
    """
    async with writing(engine) as connection:
        sources = await _reseal(connection, table_of(SourceRow), vault)
        return sources + await _reseal(connection, table_of(EndpointRow), vault)


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
