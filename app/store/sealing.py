"""What is sealed in the database, sealed anew with the newest key of the vault, so that older keys may go."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from app.store.tables import EndpointRow, EnvironmentRow, IdempotentReplyRow, SourceRow, table_of
from app.store.transactions import writing
from app.vault import Vault, VaultError, is_sealed

STEP_REPLIES = 200

_reply = table_of(IdempotentReplyRow)
_identity = sa.tuple_(_reply.c.environment_id, _reply.c.key)


async def reseal_secrets(engine: AsyncEngine, vault: Vault) -> int:
    """Seals anew what an older key of the vault sealed, and headers that none has; how many rows that were.

    Every start does it. Raises VaultError, having changed nothing, when no key of the vault opens one of them, so that
    a start with the wrong key ends here and not at the first request.
    """
    async with writing(engine) as connection:
        keys = await _reseal(connection, table_of(EnvironmentRow), "pseudonym_key_sealed", vault)
        sources = await _reseal(connection, table_of(SourceRow), "secrets_sealed", vault)
        endpoints = await _reseal(connection, table_of(EndpointRow), "secrets_sealed", vault)
        return keys + sources + endpoints + await _reseal_headers(connection, vault)


async def reseal_replies(engine: AsyncEngine, vault: Vault) -> int:
    """The same for answers kept by Idempotency-Key, some in each transaction.

    What no key opens stays as it is: it expires within a day.
    """
    resealed, after = 0, (0, "")
    while True:
        async with writing(engine) as connection:
            rows = await _replies_after(connection, after)
            for row in rows:
                resealed += await _reseal_reply(connection, row, vault)
        if not rows:
            return resealed
        after = (rows[-1].environment_id, rows[-1].key)


async def _replies_after(connection: AsyncConnection, after: tuple[int, str]) -> Sequence[Any]:
    query = (
        sa.select(_reply.c.environment_id, _reply.c.key, _reply.c.body)
        .where(_identity > after)
        .order_by(_reply.c.environment_id, _reply.c.key)
        .limit(STEP_REPLIES)
        .with_for_update()
    )
    return (await connection.execute(query)).all()


async def _reseal_reply(connection: AsyncConnection, row: Any, vault: Vault) -> int:
    try:
        resealed = vault.reseal(row.body)
    except VaultError:
        return 0
    if resealed == row.body:
        return 0
    mine = sa.and_(_reply.c.environment_id == row.environment_id, _reply.c.key == row.key)
    return (await connection.execute(sa.update(_reply).where(mine).values(body=resealed))).rowcount


async def _reseal(connection: AsyncConnection, table: sa.Table, name: str, vault: Vault) -> int:
    column = table.c[name]
    query = sa.select(table.c.id, column).where(column.is_not(None)).order_by(table.c.id).with_for_update()
    older = [
        (number, resealed)
        for number, sealed in await connection.execute(query)
        if (resealed := vault.reseal(sealed)) != sealed
    ]
    for number, resealed in older:
        await connection.execute(sa.update(table).where(table.c.id == number).values({name: resealed}))
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
