"""Endpoints: the subscribers' registrations."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
import sqlalchemy as sa
from msgspec import UNSET, UnsetType
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from adapters.events import iso_millis
from app.store import settling
from app.store.accounts import bump_config
from app.store.errors import SecretInUse
from app.store.health import ENABLED, MOVED, begin_anew
from app.store.settling import settle
from app.store.tables import NONE, SINGLE, EndpointRow, table_of
from app.store.transactions import writing
from app.store.views import HIDDEN, shown
from app.vault import Vault

PAUSED = "paused"
"""The reason kept where a person, not the gateway, made the endpoint inactive."""

SECRETS_MAX = 4
"""How many secrets may sign at once; a rotation lets go of the oldest beyond that."""

_endpoint = table_of(EndpointRow)
_living = _endpoint.c.deleted_at.is_(None)

MakeKnown = Callable[[], Awaitable[object]]
"""Called between the change of an endpoint and that of its deliveries, so that whoever sends knows of it by then: a
sender that takes the endpoint for inactive would hold again what has just been released."""


async def to_nobody() -> None:
    """For a change that nobody needs to know of at once."""


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
    retry_max_age_s: float | None = None
    retry_on: Sequence[int | str] | None = None
    ordering: str = NONE
    delivery: str = SINGLE
    batch_max_events: int | None = None
    batch_max_wait_ms: int | None = None


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
    retry_max_age_s: float | UnsetType | None = UNSET
    retry_on: Sequence[int | str] | UnsetType | None = UNSET
    ordering: str | UnsetType = UNSET
    delivery: str | UnsetType = UNSET
    batch_max_events: int | UnsetType | None = UNSET
    batch_max_wait_ms: int | UnsetType | None = UNSET


class OldSecret(msgspec.Struct, frozen=True):
    """A secret that signs along with the newest until `ends_at`."""

    ends_at: str
    public_key: str | None = None
    """whpk_…, of an ed25519 endpoint."""


class Endpoint(msgspec.Struct, frozen=True):
    """An endpoint as it is listed; its secrets are not in it, and of its headers only the names."""

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
    retry_max_age_s: float | None
    retry_on: list[int | str] | None
    ordering: str
    delivery: str
    batch_max_events: int | None
    batch_max_wait_ms: int | None
    old_secrets: list[OldSecret]
    """Of the secrets after the newest, in their order, and also of those that have ended since the last change."""


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
    """The secrets, newest first, in the order of `old_secrets`, for public keys; never to be shown."""
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
    engine: AsyncEngine,
    vault: Vault,
    environment_id: int,
    endpoint_id: int,
    change: EndpointChange,
    now: datetime,
    make_known: MakeKnown = to_nobody,
) -> Endpoint | None:
    """Changes an endpoint and returns it as it is then; None when there is none.

    One made inactive keeps its deliveries held, one made active releases them.
    """
    values = _values(change, vault)
    if "active" in values:
        values["disabled_reason"] = None if values["active"] else PAUSED
    return await _update(engine, environment_id, endpoint_id, values, now, make_known)


async def rotate_secret(
    engine: AsyncEngine,
    vault: Vault,
    environment_id: int,
    endpoint_id: int,
    secret: str,
    overlap: timedelta,
    now: datetime,
) -> Endpoint | None:
    """Makes `secret` the newest; those before it sign along for `overlap` at most. None when there is no endpoint.

    Raises SecretInUse when it signs already.
    """
    async with writing(engine) as connection:
        await bump_config(connection, environment_id)
        row = await _find(connection, environment_id, endpoint_id)
        if row is None:
            return None
        old = _signing_on(row, vault, now, until=now + overlap)
        if secret in old:
            raise SecretInUse(f"Endpoint {endpoint_id} signs with that secret already; give another, or none.")
        values = {"secrets_sealed": vault.seal([secret, *old]), "old_secrets_end_at": [*old.values()]}
        update = sa.update(_endpoint).where(_endpoint.c.id == row.id).values(values | {"updated_at": now})
        return _shown((await connection.execute(update.returning(*_endpoint.c))).one())


async def enable_endpoint(
    engine: AsyncEngine, environment_id: int, endpoint_id: int, now: datetime, make_known: MakeKnown = to_nobody
) -> Endpoint | None:
    """Makes the endpoint active; its held deliveries are due now. None when there is none."""
    values = {"active": True, "disabled_reason": None}
    return await _update(engine, environment_id, endpoint_id, values, now, make_known)


async def drop_held(engine: AsyncEngine, environment_id: int, endpoint_id: int, now: datetime) -> int:
    """Cancels what has been held for the endpoint until now, before it is enabled; how many."""
    async with engine.connect() as connection:
        row = await _find(connection, environment_id, endpoint_id)
    return 0 if row is None else await settling.drop_held(engine, row, now)


async def delete_endpoint(
    engine: AsyncEngine,
    vault: Vault,
    environment_id: int,
    endpoint_id: int,
    now: datetime,
    make_known: MakeKnown = to_nobody,
) -> bool:
    """Takes the endpoint and its secrets away and cancels what it is owed; False when there was none."""
    values: dict[str, Any] = {"deleted_at": now, "active": False, "secrets_sealed": vault.seal([]), "headers": {}}
    return await _update(engine, environment_id, endpoint_id, values, now, make_known) is not None


async def _update(
    engine: AsyncEngine,
    environment_id: int,
    endpoint_id: int,
    values: dict[str, Any],
    now: datetime,
    make_known: MakeKnown,
) -> Endpoint | None:
    update = (
        sa.update(_endpoint)
        .where(_endpoint.c.id == endpoint_id, _endpoint.c.environment_id == environment_id, _living)
        .values(values | {"updated_at": now})
        .returning(*_endpoint.c)
    )
    async with writing(engine) as connection:
        await bump_config(connection, environment_id)
        before = await _find(connection, environment_id, endpoint_id)
        row = (await connection.execute(update)).one_or_none()
        if before is not None and row is not None and (how := _how_begun_anew(before, row, values)):
            was_disabled = not before.active and before.disabled_reason != PAUSED
            at = round(now.timestamp() * 1000)
            await connection.run_sync(begin_anew, endpoint_id, how, at, was_disabled=was_disabled)
    if row is None:
        return None
    await make_known()
    await settle(engine, row, now)
    return _shown(row)


def _how_begun_anew(before: sa.Row[Any], changed: sa.Row[Any], values: dict[str, Any]) -> str | None:
    """Why what is known of the endpoint's health says nothing any more; None where it does. One at rest is left so."""
    if not changed.active:
        return None
    if values.get("active"):
        return ENABLED
    return MOVED if changed.url != before.url else None


def _values(fields: NewEndpoint | EndpointChange, vault: Vault) -> dict[str, Any]:
    values = {name: value for name in fields.__struct_fields__ if (value := getattr(fields, name)) is not UNSET}
    if "secrets" in values:
        values |= {"secrets_sealed": vault.seal(values.pop("secrets")), "old_secrets_end_at": None}
    if "headers" in values:
        values["headers"] = {name: vault.seal(value).decode() for name, value in values["headers"].items()}
    return values


def _signing_on(row: sa.Row[Any], vault: Vault, now: datetime, until: datetime) -> dict[str, int]:
    """The endpoint's secrets that may sign along with a new one, newest first, and when each of them ends."""
    now_ms, until_ms = (round(moment.timestamp() * 1000) for moment in (now, until))
    ends = [min(end, until_ms) for end in (until_ms, *(row.old_secrets_end_at or ()))]
    old = {secret: end for secret, end in zip(vault.open(row.secrets_sealed), ends, strict=False) if end > now_ms}
    return dict(list(old.items())[: SECRETS_MAX - 1])


async def _find(connection: AsyncConnection, environment_id: int, endpoint_id: int) -> sa.Row[Any] | None:
    query = sa.select(_endpoint).where(
        _endpoint.c.id == endpoint_id, _endpoint.c.environment_id == environment_id, _living
    )
    return (await connection.execute(query)).one_or_none()


def _shown(row: sa.Row[Any]) -> Endpoint:
    columns: dict[str, Any] = {name: getattr(row, name) for name in Endpoint.__struct_fields__ if name != "old_secrets"}
    columns |= {"created_at": shown(row.created_at), "updated_at": shown(row.updated_at)}
    columns["headers"] = dict.fromkeys(row.headers, HIDDEN)
    columns["old_secrets"] = [OldSecret(iso_millis(end_ms)) for end_ms in row.old_secrets_end_at or ()]
    return Endpoint(**columns)
