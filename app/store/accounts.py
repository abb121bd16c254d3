"""Organizations, environments and the API keys that open them."""

import hashlib
import secrets
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from app.clock import Clock
from app.store.alerts import add_defaults
from app.store.errors import LastAdminKey
from app.store.tables import ApiKeyRow, EnvironmentRow, OrganizationRow, table_of
from app.store.transactions import alone, writing
from app.store.views import shown, shown_or_none
from app.vault import Vault

ADMIN, WRITE, READ = "admin", "write", "read"
ROLES = (ADMIN, WRITE, READ)

KEY_PREFIX = "mw_live_"
KEY_RANDOM_BYTES = 30
PSEUDONYM_KEY_BYTES = 32
HINT_CHARS = len(KEY_PREFIX) + 4
FIRST_KEY_NAME = "first start"
SETTINGS_KEY_NAME = "settings"
"""The name of the admin key that MAILWEIR_API_KEY fixes."""

_organization, _environment, _key = table_of(OrganizationRow), table_of(EnvironmentRow), table_of(ApiKeyRow)
_standing = _key.c.revoked_at.is_(None)
PRINCIPALS = (
    sa.select(
        _environment.c.id,
        _environment.c.public_id.label("env_id"),
        _organization.c.public_id.label("org_id"),
        _key.c.role,
        _key.c.id.label("key_id"),
        _key.c.name,
    )
    .select_from(_key)
    .join(_environment, _environment.c.id == _key.c.environment_id)
    .join(_organization, _organization.c.id == _environment.c.organization_id)
    .where(_standing)
)
"""The columns of `Principal`, of every key that stands."""


class Principal(msgspec.Struct, frozen=True):
    """Who a key stands for."""

    environment_id: int
    env_id: str
    org_id: str
    role: str
    key_id: int
    name: str


class ApiKey(msgspec.Struct, frozen=True):
    """A key as it is listed: `hint` is how it begins, the rest is not kept."""

    id: int
    name: str
    role: str
    hint: str
    created_at: str
    revoked_at: str | None


async def first_start(engine: AsyncEngine, clock: Clock, api_key: str | None) -> str | None:
    """Makes sure that there is an organization, an environment and an admin key; returns the key if it generated one.

    `api_key`, from the settings, becomes the admin key "settings" and replaces the one of that name.
    """
    now = clock.now()
    async with writing(engine) as connection:
        await alone(engine, connection)
        environment_id = await _first_environment(connection, now)
        if api_key is not None:
            await _fix_key(connection, environment_id, api_key, now)
            return None
        if await _admin_keys(connection, environment_id):
            return None
        key = _new_key()
        await _insert_key(connection, environment_id, FIRST_KEY_NAME, ADMIN, key, now)
        return key


async def authenticate(engine: AsyncEngine, key: str) -> Principal | None:
    """Whom the key stands for; None when there is no such key, or it was revoked."""
    query = PRINCIPALS.where(_key.c.digest == _digest(key))
    async with engine.connect() as connection:
        row = (await connection.execute(query)).one_or_none()
    return None if row is None else Principal(*row)


async def list_keys(engine: AsyncEngine, environment_id: int) -> Sequence[ApiKey]:
    """The keys of the environment, revoked ones included, oldest first."""
    query = sa.select(_key).where(_key.c.environment_id == environment_id).order_by(_key.c.id)
    async with engine.connect() as connection:
        return [_shown(row) for row in await connection.execute(query)]


async def create_key(
    engine: AsyncEngine, environment_id: int, name: str, role: str, now: datetime
) -> tuple[ApiKey, str]:
    """A new key: how it is listed, and the key itself, which is in this answer alone. `role` is one of ROLES."""
    key = _new_key()
    async with writing(engine) as connection:
        row = await _insert_key(connection, environment_id, name, role, key, now)
    return _shown(row), key


async def revoke_key(engine: AsyncEngine, environment_id: int, key_id: int, now: datetime) -> ApiKey | None:
    """Ends a key at once; None when the environment has no such key. Raises LastAdminKey."""
    mine = sa.and_(_key.c.id == key_id, _key.c.environment_id == environment_id)
    async with writing(engine) as connection:
        await connection.execute(sa.select(_environment).where(_environment.c.id == environment_id).with_for_update())
        row = (await connection.execute(sa.select(_key).where(mine))).one_or_none()
        if row is None:
            return None
        if row.revoked_at is not None:
            return _shown(row)
        if await _admin_keys(connection, environment_id) == [key_id]:
            raise LastAdminKey("This is the last admin key; create another before you revoke it.")
        await connection.execute(sa.update(_key).where(mine).values(revoked_at=now))
        return _shown((await connection.execute(sa.select(_key).where(mine))).one())


async def bump_config(connection: AsyncConnection, environment_id: int) -> None:
    """Tells every node that the environment's configuration changes in this transaction.

    It comes first in the transaction: until it ends, whoever else would change this environment waits.
    """
    await connection.execute(
        sa.update(_environment)
        .where(_environment.c.id == environment_id)
        .values(config_version=_environment.c.config_version + 1)
    )


async def make_pseudonym_key(connection: AsyncConnection, vault: Vault, environment_id: int) -> None:
    """Gives the environment the key of its pseudonyms, unless it has one; for all time, so that they stay the same."""
    await connection.execute(
        sa.update(_environment)
        .where(_environment.c.id == environment_id, _environment.c.pseudonym_key_sealed.is_(None))
        .values(pseudonym_key_sealed=vault.seal(secrets.token_hex(PSEUDONYM_KEY_BYTES)))
    )


async def _first_environment(connection: AsyncConnection, now: datetime) -> int:
    found = await connection.scalar(sa.select(sa.func.min(_environment.c.id)))
    if found is not None:
        return found
    organization = sa.insert(_organization).values(public_id=_random_id("org_"), name="default", created_at=now)
    organization_id = await connection.scalar(organization.returning(_organization.c.id))
    environment = sa.insert(_environment).values(
        public_id=_random_id("env_"),
        organization_id=organization_id,
        name="production",
        config_version=1,
        created_at=now,
    )
    environment_id = (await connection.execute(environment.returning(_environment.c.id))).scalar_one()
    await add_defaults(connection, environment_id, now)
    return environment_id


async def _fix_key(connection: AsyncConnection, environment_id: int, api_key: str, now: datetime) -> None:
    """Revokes the earlier keys of that name; a key that comes back, whoever revoked it, stands again."""
    mine = _key.c.environment_id == environment_id
    await connection.execute(
        sa.update(_key)
        .where(mine, _key.c.name == SETTINGS_KEY_NAME, _key.c.digest != _digest(api_key), _standing)
        .values(revoked_at=now)
    )
    revived = await connection.execute(
        sa.update(_key)
        .where(_key.c.digest == _digest(api_key))
        .values(revoked_at=None, role=ADMIN, name=SETTINGS_KEY_NAME)
    )
    if not revived.rowcount:
        await _insert_key(connection, environment_id, SETTINGS_KEY_NAME, ADMIN, api_key, now)


async def _admin_keys(connection: AsyncConnection, environment_id: int) -> list[int]:
    query = sa.select(_key.c.id).where(_key.c.environment_id == environment_id, _key.c.role == ADMIN, _standing)
    return list((await connection.scalars(query)).all())


async def _insert_key(
    connection: AsyncConnection, environment_id: int, name: str, role: str, key: str, now: datetime
) -> sa.Row[Any]:
    insert = sa.insert(_key).values(
        environment_id=environment_id,
        name=name,
        role=role,
        digest=_digest(key),
        hint=key[:HINT_CHARS] if key.startswith(KEY_PREFIX) else "",
        created_at=now,
    )
    return (await connection.execute(insert.returning(*_key.c))).one()


def _shown(row: sa.Row[Any]) -> ApiKey:
    return ApiKey(
        id=row.id,
        name=row.name,
        role=row.role,
        hint=row.hint,
        created_at=shown(row.created_at),
        revoked_at=shown_or_none(row.revoked_at),
    )


def _new_key() -> str:
    return KEY_PREFIX + secrets.token_urlsafe(KEY_RANDOM_BYTES)


def _random_id(prefix: str) -> str:
    return prefix + secrets.token_hex(10)


def _digest(key: str) -> bytes:
    """Keys are random or long, so that a plain hash is enough and an index can find it."""
    return hashlib.sha256(key.encode()).digest()
