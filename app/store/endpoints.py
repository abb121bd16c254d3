"""Endpoints: the subscribers' registrations, and what a change of one means for the deliveries it is owed."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa
from msgspec import UNSET, UnsetType
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from app.store.accounts import bump_config
from app.store.moves import MOVED_MAX, move
from app.store.tables import CANCELLED, HELD, PENDING, SENDING, DeliveryRow, EndpointRow, table_of
from app.store.transactions import writing
from app.store.views import shown
from app.vault import Vault

PAUSED = "paused"
"""The reason kept where a person, not the gateway, made the endpoint inactive."""

_endpoint, _delivery = table_of(EndpointRow), table_of(DeliveryRow)
_living = _endpoint.c.deleted_at.is_(None)


class NewEndpoint(msgspec.Struct, frozen=True, kw_only=True):
    """What it takes to add an endpoint; None means the setting's value. `secrets` are the newest first."""

    url: str
    events: str
    secrets: Sequence[str]
    description: str = ""
    active: bool = True
    filter: str | None = None
    transform: str | None = None
    headers: dict[str, str] = {}
    signature: str = "hmac"
    max_in_flight: int | None = None
    rate_limit_per_s: float | None = None
    timeout_s: float | None = None
    retry_schedule_s: Sequence[float] | None = None


class EndpointChange(msgspec.Struct, frozen=True, kw_only=True):
    """What shall be different; each field as in NewEndpoint."""

    url: str | UnsetType = UNSET
    events: str | UnsetType = UNSET
    secrets: Sequence[str] | UnsetType = UNSET
    description: str | UnsetType = UNSET
    active: bool | UnsetType = UNSET
    filter: str | UnsetType | None = UNSET
    transform: str | UnsetType | None = UNSET
    headers: dict[str, str] | UnsetType = UNSET
    signature: str | UnsetType = UNSET
    max_in_flight: int | UnsetType | None = UNSET
    rate_limit_per_s: float | UnsetType | None = UNSET
    timeout_s: float | UnsetType | None = UNSET
    retry_schedule_s: Sequence[float] | UnsetType | None = UNSET


class Endpoint(msgspec.Struct, frozen=True):
    """An endpoint as it is listed; its secrets are not in it."""

    id: int
    url: str
    events: str
    active: bool
    created_at: str
    updated_at: str
    description: str
    disabled_reason: str | None
    filter: str | None
    transform: str | None
    headers: dict[str, str]
    signature: str
    max_in_flight: int | None
    rate_limit_per_s: float | None
    timeout_s: float | None
    retry_schedule_s: list[float] | None


async def list_endpoints(engine: AsyncEngine, environment_id: int) -> Sequence[Endpoint]:
    """The endpoints of the environment, oldest first."""
    query = sa.select(_endpoint).where(_endpoint.c.environment_id == environment_id, _living).order_by(_endpoint.c.id)
    async with engine.connect() as connection:
        return [_shown(row) for row in await connection.execute(query)]


async def get_endpoint(engine: AsyncEngine, environment_id: int, endpoint_id: int) -> Endpoint | None:
    """The endpoint, None when the environment has none of that number."""
    async with engine.connect() as connection:
        row = await _find(connection, environment_id, endpoint_id)
    return None if row is None else _shown(row)


async def endpoint_secrets(
    engine: AsyncEngine, vault: Vault, environment_id: int, endpoint_id: int
) -> list[str] | None:
    """The valid secrets, newest first, for rotations and public keys; never to be shown."""
    async with engine.connect() as connection:
        row = await _find(connection, environment_id, endpoint_id)
    return None if row is None else vault.open(row.secrets_sealed)


async def create_endpoint(
    engine: AsyncEngine, vault: Vault, environment_id: int, new: NewEndpoint, now: datetime
) -> Endpoint:
    """Adds an endpoint."""
    values = _values(new, vault) | {"environment_id": environment_id, "created_at": now, "updated_at": now}
    values["disabled_reason"] = None if new.active else PAUSED
    async with writing(engine) as connection:
        await bump_config(connection, environment_id)
        return _shown((await connection.execute(sa.insert(_endpoint).values(values).returning(*_endpoint.c))).one())


async def change_endpoint(
    engine: AsyncEngine, vault: Vault, environment_id: int, endpoint_id: int, change: EndpointChange, now: datetime
) -> Endpoint | None:
    """Changes an endpoint and returns it as it is then; None when there is none.

    One made inactive keeps its deliveries held, one made active releases them.
    """
    values = _values(change, vault)
    if "active" in values:
        values["disabled_reason"] = None if values["active"] else PAUSED
    return await _update(engine, environment_id, endpoint_id, values, now)


async def enable_endpoint(engine: AsyncEngine, environment_id: int, endpoint_id: int, now: datetime) -> Endpoint | None:
    """Makes the endpoint active; its held deliveries are due now. None when there is none."""
    return await _update(engine, environment_id, endpoint_id, {"active": True, "disabled_reason": None}, now)


async def disable_endpoint(
    engine: AsyncEngine, environment_id: int, endpoint_id: int, reason: str, now: datetime
) -> Endpoint | None:
    """Makes the endpoint inactive, `reason` saying why; its pending deliveries are held. None when there is none."""
    return await _update(engine, environment_id, endpoint_id, {"active": False, "disabled_reason": reason}, now)


async def delete_endpoint(
    engine: AsyncEngine, vault: Vault, environment_id: int, endpoint_id: int, now: datetime
) -> bool:
    """Takes the endpoint and its secrets away and cancels what it is owed; False when there was none."""
    values = {"deleted_at": now, "active": False, "secrets_sealed": vault.seal([])}
    return await _update(engine, environment_id, endpoint_id, values, now) is not None


async def settle_endpoints(engine: AsyncEngine, now: datetime) -> int:
    """Finishes, at a start, the changes that a crash cut short; the number of deliveries it moved."""
    async with engine.connect() as connection:
        rows = (await connection.execute(sa.select(_endpoint))).all()
    return sum([await _settle(engine, row, now) for row in rows])


async def _update(
    engine: AsyncEngine, environment_id: int, endpoint_id: int, values: dict[str, Any], now: datetime
) -> Endpoint | None:
    update = (
        sa.update(_endpoint)
        .where(_endpoint.c.id == endpoint_id, _endpoint.c.environment_id == environment_id, _living)
        .values(values | {"updated_at": now})
        .returning(*_endpoint.c)
    )
    async with writing(engine) as connection:
        await bump_config(connection, environment_id)
        row = (await connection.execute(update)).one_or_none()
    if row is None:
        return None
    await _settle(engine, row, now)
    return _shown(row)


async def _settle(engine: AsyncEngine, endpoint: sa.Row[Any], now: datetime) -> int:
    """Moves the endpoint's open deliveries to where its state wants them, a commit's worth at a time."""
    if endpoint.deleted_at is not None:
        moves = [(status, CANCELLED) for status in (PENDING, SENDING, HELD)]
    else:
        moves = [(HELD, PENDING)] if endpoint.active else [(PENDING, HELD)]
    return sum([await _move_all(engine, endpoint.id, start, target, now) for start, target in moves])


async def _move_all(engine: AsyncEngine, endpoint_id: int, start: str, target: str, now: datetime) -> int:
    moved = 0
    while True:
        async with writing(engine) as connection:
            batch = await move(connection, start, target, now, _delivery.c.endpoint_id == endpoint_id, MOVED_MAX)
        moved += len(batch)
        if len(batch) < MOVED_MAX:
            return moved


def _values(fields: NewEndpoint | EndpointChange, vault: Vault) -> dict[str, Any]:
    values = {name: value for name in fields.__struct_fields__ if (value := getattr(fields, name)) is not UNSET}
    if "secrets" in values:
        values["secrets_sealed"] = vault.seal(values.pop("secrets"))
    return values


async def _find(connection: AsyncConnection, environment_id: int, endpoint_id: int) -> sa.Row[Any] | None:
    query = sa.select(_endpoint).where(
        _endpoint.c.id == endpoint_id, _endpoint.c.environment_id == environment_id, _living
    )
    return (await connection.execute(query)).one_or_none()


def _shown(row: sa.Row[Any]) -> Endpoint:
    columns: dict[str, Any] = {name: getattr(row, name) for name in Endpoint.__struct_fields__}
    columns |= {"created_at": shown(row.created_at), "updated_at": shown(row.updated_at)}
    return Endpoint(**columns)
