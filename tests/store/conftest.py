"""What the tests of the store begin with: an environment, and a second one that must never show."""

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from app.store.accounts import first_start
from app.store.ids import IdSource
from app.store.tables import EnvironmentRow, table_of
from app.store.transactions import writing
from app.vault import Vault
from tests.conftest import FrozenClock
from tests.store.world import World


@pytest.fixture
async def world(engine: AsyncEngine, clock: FrozenClock, ids: IdSource, vault: Vault) -> World:
    """A database as after the first start."""
    key = await first_start(engine, clock, None)
    return World(engine, clock, ids, vault, environment_id=1, key=key or "")


@pytest.fixture
async def other_world(world: World) -> World:
    """Another environment of the same database."""
    insert = sa.insert(table_of(EnvironmentRow)).values(
        public_id="env_other", organization_id=1, name="staging", config_version=1, created_at=world.clock.now()
    )
    async with writing(world.engine) as connection:
        await connection.execute(insert)
    return World(world.engine, world.clock, world.ids, world.vault, environment_id=2, key="")
