"""Sources: the provider accounts that post to us, and the secrets they sign with."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa
from msgspec import UNSET, UnsetType
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from app.store.accounts import bump_config, make_pseudonym_key
from app.store.errors import NameTaken
from app.store.tables import SourceRow, table_of
from app.store.transactions import writing
from app.store.views import shown
from app.vault import Vault, VaultError

REQUIRED, NONE = "required", "none"

Secrets = Mapping[str, Sequence[str]]
"""From each name ("signing_secret") to its values; more than one while it rotates."""

UNREADABLE = "(unreadable)"

_source = table_of(SourceRow)
_living = _source.c.deleted_at.is_(None)


class NewSource(msgspec.Struct, frozen=True):
    """What it takes to add a source; `verification` "none" accepts unsigned requests."""

    name: str
    provider: str
    secrets: Secrets = {}
    options: dict[str, Any] = {}
    verification: str = REQUIRED
    redact: Sequence[str] = ()


class SourceChange(msgspec.Struct, frozen=True):
    """What shall be different. Secrets are changed name by name, None removing one; options are replaced as a whole."""

    secrets: Mapping[str, Sequence[str] | None] | UnsetType = UNSET
    options: dict[str, Any] | UnsetType = UNSET
    verification: str | UnsetType = UNSET
    redact: Sequence[str] | UnsetType = UNSET


class Source(msgspec.Struct, frozen=True):
    """A source as it is listed: of its secrets only that they are set ("set", "set (2)" while one rotates).

    Secrets that cannot be opened are UNREADABLE.
    """

    name: str
    provider: str
    secrets: dict[str, str]
    options: dict[str, Any]
    verification: str
    redact: list[str]
    created_at: str
    updated_at: str


async def list_sources(engine: AsyncEngine, vault: Vault, environment_id: int) -> Sequence[Source]:
    """The sources of the environment by name."""
    query = sa.select(_source).where(_source.c.environment_id == environment_id, _living).order_by(_source.c.name)
    async with engine.connect() as connection:
        return [_shown(row, vault) for row in await connection.execute(query)]


async def get_source(engine: AsyncEngine, vault: Vault, environment_id: int, name: str) -> Source | None:
    """The source, None when the environment has none of that name."""
    async with engine.connect() as connection:
        row = await _find(connection, environment_id, name)
    return None if row is None else _shown(row, vault)


async def source_number(engine: AsyncEngine, environment_id: int, name: str) -> int | None:
    """The number by which other tables know the source."""
    async with engine.connect() as connection:
        row = await _find(connection, environment_id, name)
    return None if row is None else row.id


async def source_secrets(
    engine: AsyncEngine, vault: Vault, environment_id: int, name: str
) -> dict[str, list[str]] | None:
    """The secrets themselves, for those who must check a change before it is made; never to be shown."""
    async with engine.connect() as connection:
        row = await _find(connection, environment_id, name)
    return None if row is None else vault.open(row.secrets_sealed)


async def create_source(
    engine: AsyncEngine, vault: Vault, environment_id: int, new: NewSource, now: datetime
) -> Source:
    """Adds a source. Raises NameTaken."""
    insert = sa.insert(_source).values(
        environment_id=environment_id,
        name=new.name,
        provider=new.provider,
        secrets_sealed=vault.seal(new.secrets),
        options=new.options,
        verification=new.verification,
        redact=list(new.redact) or None,
        created_at=now,
        updated_at=now,
    )
    try:
        async with writing(engine) as connection:
            await bump_config(connection, environment_id)
            if new.redact:
                await make_pseudonym_key(connection, vault, environment_id)
            row = (await connection.execute(insert.returning(*_source.c))).one()
    except IntegrityError as error:
        raise NameTaken(f"A source named {new.name} is there already.") from error
    return _shown(row, vault)


async def change_source(
    engine: AsyncEngine, vault: Vault, environment_id: int, name: str, change: SourceChange, now: datetime
) -> Source | None:
    """Changes a source and returns it as it is then; None when the environment has none of that name."""
    async with writing(engine) as connection:
        await bump_config(connection, environment_id)
        row = await _find(connection, environment_id, name)
        if row is None:
            return None
        values: dict[str, Any] = {"updated_at": now}
        if change.secrets is not UNSET:
            values["secrets_sealed"] = vault.seal(changed_secrets(vault.open(row.secrets_sealed), change.secrets))
        if change.options is not UNSET:
            values["options"] = change.options
        if change.verification is not UNSET:
            values["verification"] = change.verification
        if change.redact is not UNSET:
            await make_pseudonym_key(connection, vault, environment_id)
            values["redact"] = list(change.redact) or None
        update = sa.update(_source).where(_source.c.id == row.id).values(values).returning(*_source.c)
        return _shown((await connection.execute(update)).one(), vault)


def changed_secrets(secrets: Secrets, change: Mapping[str, Sequence[str] | None]) -> dict[str, Sequence[str]]:
    """The secrets as `SourceChange.secrets` would leave them."""
    return {name: values for name, values in {**secrets, **change}.items() if values}


async def delete_source(engine: AsyncEngine, vault: Vault, environment_id: int, name: str, now: datetime) -> bool:
    """Takes a source and its secrets away; False when there was none. Its receipts and events stay in the log."""
    async with writing(engine) as connection:
        await bump_config(connection, environment_id)
        deleted = await connection.execute(
            sa.update(_source)
            .where(_source.c.environment_id == environment_id, _source.c.name == name, _living)
            .values(deleted_at=now, updated_at=now, secrets_sealed=vault.seal({}), verification=REQUIRED)
        )
        return deleted.rowcount > 0


async def _find(connection: AsyncConnection, environment_id: int, name: str) -> sa.Row[Any] | None:
    query = sa.select(_source).where(_source.c.environment_id == environment_id, _source.c.name == name, _living)
    return (await connection.execute(query)).one_or_none()


def _shown(row: sa.Row[Any], vault: Vault) -> Source:
    return Source(
        name=row.name,
        provider=row.provider,
        secrets=_shown_secrets(row.secrets_sealed, vault),
        options=row.options,
        verification=row.verification,
        redact=row.redact or [],
        created_at=shown(row.created_at),
        updated_at=shown(row.updated_at),
    )


def _shown_secrets(sealed: bytes, vault: Vault) -> dict[str, str]:
    try:
        secrets: dict[str, list[str]] = vault.open(sealed)
    except VaultError:
        return {UNREADABLE: "set"}
    return {name: "set" if len(values) == 1 else f"set ({len(values)})" for name, values in secrets.items()}
