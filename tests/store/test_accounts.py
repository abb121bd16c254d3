import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from app.clock import Clock
from app.store import accounts
from app.store.accounts import authenticate, create_key, first_start, list_keys, revoke_key
from app.store.engine import open_engine
from app.store.errors import LastAdminKey
from app.store.tables import ApiKeyRow, OrganizationRow, table_of
from tests.conftest import FrozenClock
from tests.store.world import World

pytestmark = pytest.mark.anyio

KEY = "mw_live_chosen-by-the-operator"


async def test_the_first_start_makes_an_admin_key_and_shows_it_once(engine: AsyncEngine, clock: FrozenClock) -> None:
    key = await first_start(engine, clock, None)
    assert key is not None
    assert key.startswith("mw_live_")
    assert len(key) >= len("mw_live_") + 32
    principal = await authenticate(engine, key)
    assert principal is not None
    assert (principal.role, principal.environment_id) == ("admin", 1)
    assert principal.env_id.startswith("env_")
    assert principal.org_id.startswith("org_")
    assert await first_start(engine, clock, None) is None


async def test_only_the_digest_of_a_key_is_kept(world: World) -> None:
    row = await world.row(ApiKeyRow)
    assert world.key.encode() not in row.digest
    assert world.key.startswith(row.hint)
    assert len(row.hint) < len(world.key) / 2


async def test_a_key_from_the_settings_is_the_admin_key_and_none_is_generated(
    engine: AsyncEngine, clock: FrozenClock
) -> None:
    assert await first_start(engine, clock, KEY) is None
    assert await first_start(engine, clock, KEY) is None
    principal = await authenticate(engine, KEY)
    assert principal is not None
    assert (principal.role, principal.name) == ("admin", "settings")
    assert len(await list_keys(engine, principal.environment_id)) == 1


async def test_another_key_in_the_settings_replaces_the_one_before_and_no_other(world: World) -> None:
    await first_start(world.engine, world.clock, KEY)
    await first_start(world.engine, world.clock, KEY + "-2")
    assert await authenticate(world.engine, KEY) is None
    assert await authenticate(world.engine, KEY + "-2") is not None
    assert await authenticate(world.engine, world.key) is not None


async def test_a_revoked_key_that_the_settings_name_stands_again_after_a_start(world: World) -> None:
    await first_start(world.engine, world.clock, KEY)
    principal = await authenticate(world.engine, KEY)
    assert principal is not None
    await revoke_key(world.engine, 1, principal.key_id, world.clock.now())
    assert await authenticate(world.engine, KEY) is None
    await first_start(world.engine, world.clock, KEY)
    assert await authenticate(world.engine, KEY) is not None


async def test_the_hint_of_a_chosen_key_tells_nothing_of_it(engine: AsyncEngine, clock: FrozenClock) -> None:
    await first_start(engine, clock, "sixteen characters")
    assert [key.hint for key in await list_keys(engine, 1)] == [""]


async def test_when_every_admin_key_is_gone_the_next_start_makes_one(world: World) -> None:
    async with world.engine.begin() as connection:
        await connection.execute(sa.update(table_of(ApiKeyRow)).values(revoked_at=world.clock.now()))
    key = await first_start(world.engine, world.clock, None)
    assert key is not None
    assert await authenticate(world.engine, key) is not None


@pytest.mark.parametrize("key", ["", "mw_live_", "mw_live_unknown", "ключ", "x" * 10_000])
async def test_an_unknown_key_stands_for_nobody(world: World, key: str) -> None:
    assert await authenticate(world.engine, key) is None


@pytest.mark.parametrize("role", accounts.ROLES)
async def test_a_created_key_carries_its_role_and_name(world: World, role: str) -> None:
    listed, key = await create_key(world.engine, 1, "billing", role, world.clock.now())
    principal = await authenticate(world.engine, key)
    assert principal is not None
    assert (principal.role, principal.name, principal.key_id) == (role, "billing", listed.id)
    assert (await list_keys(world.engine, 1))[-1] == listed
    assert listed.created_at == "2026-03-03T08:15:00.000Z"


async def test_a_revoked_key_opens_nothing_and_stays_in_the_list(world: World) -> None:
    listed, key = await create_key(world.engine, 1, "old", "read", world.clock.now())
    revoked = await revoke_key(world.engine, 1, listed.id, world.clock.now())
    assert revoked is not None
    assert revoked.revoked_at == "2026-03-03T08:15:00.000Z"
    assert await authenticate(world.engine, key) is None
    assert revoked in await list_keys(world.engine, 1)
    assert await revoke_key(world.engine, 1, listed.id, world.clock.now()) == revoked


async def test_the_last_admin_key_cannot_be_revoked(world: World) -> None:
    principal = await authenticate(world.engine, world.key)
    assert principal is not None
    with pytest.raises(LastAdminKey):
        await revoke_key(world.engine, 1, principal.key_id, world.clock.now())
    await create_key(world.engine, 1, "another", "admin", world.clock.now())
    assert await revoke_key(world.engine, 1, principal.key_id, world.clock.now()) is not None


async def test_two_admins_cannot_revoke_each_other_at_once(world: World) -> None:
    other, _ = await create_key(world.engine, 1, "another", "admin", world.clock.now())
    results = await asyncio.gather(
        *(revoke_key(world.engine, 1, key_id, world.clock.now()) for key_id in (1, other.id)), return_exceptions=True
    )
    assert len([result for result in results if isinstance(result, LastAdminKey)]) == 1


async def test_keys_of_another_environment_are_neither_seen_nor_revoked(world: World, other_world: World) -> None:
    listed, key = await create_key(world.engine, other_world.environment_id, "theirs", "admin", world.clock.now())
    principal = await authenticate(world.engine, key)
    assert principal is not None
    assert (principal.environment_id, principal.env_id) == (2, "env_other")
    assert await revoke_key(world.engine, 1, listed.id, world.clock.now()) is None
    assert listed not in await list_keys(world.engine, 1)


def test_nodes_that_start_for_the_first_time_together_make_one_environment(database_url: str) -> None:
    async def start() -> str | None:
        engine = open_engine(database_url)
        try:
            return await first_start(engine, Clock(), None)
        finally:
            await engine.dispose()

    async def organizations() -> int:
        engine = open_engine(database_url)
        async with engine.connect() as connection:
            rows = (await connection.execute(sa.select(table_of(OrganizationRow)))).all()
        await engine.dispose()
        return len(rows)

    with ThreadPoolExecutor(4) as threads:
        keys = list(threads.map(lambda _: asyncio.run(start()), range(4)))
    assert len([key for key in keys if key]) == 1
    assert asyncio.run(organizations()) == 1
