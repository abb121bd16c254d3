"""Whoever changes the configuration locks the environment first, so that no two changes wait for each other."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy import event

from app.store.accounts import revoke_key
from app.store.endpoints import (
    EndpointChange,
    change_endpoint,
    delete_endpoint,
    enable_endpoint,
)
from app.store.sources import SourceChange, change_source, delete_source
from tests.store.world import World

pytestmark = pytest.mark.anyio

Change = Callable[[World], Awaitable[Any]]

CHANGES: dict[str, Change] = {
    "add an endpoint": lambda world: world.endpoint(),
    "change an endpoint": lambda world: change_endpoint(
        world.engine, world.vault, 1, 1, EndpointChange(description="crm"), world.clock.now()
    ),
    "enable an endpoint": lambda world: enable_endpoint(world.engine, 1, 1, world.clock.now()),
    "pause an endpoint": lambda world: world.pause(1),
    "delete an endpoint": lambda world: delete_endpoint(world.engine, world.vault, 1, 1, world.clock.now()),
    "add a source": lambda world: world.source("other"),
    "change a source": lambda world: change_source(
        world.engine, world.vault, 1, "prod", SourceChange(options={"a": 1}), world.clock.now()
    ),
    "delete a source": lambda world: delete_source(world.engine, world.vault, 1, "prod", world.clock.now()),
    "revoke a key": lambda world: revoke_key(world.engine, 1, 7, world.clock.now()),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
async def test_the_environment_is_locked_first(world: World, change: Change) -> None:
    await world.source("prod")
    await world.endpoint()
    statements = list[str]()

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        statements.append(statement)

    event.listen(world.engine.sync_engine, "before_cursor_execute", note)
    await change(world)
    event.remove(world.engine.sync_engine, "before_cursor_execute", note)
    changes = [statement for statement in statements if not statement.startswith(("BEGIN", "COMMIT"))]
    assert changes[0].startswith("UPDATE environment") or "FROM environment" in changes[0]


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_changes_at_the_same_time_wait_for_each_other_and_end(world: World) -> None:
    await world.source("prod")
    await world.endpoint()
    once = ("add a source", "delete an endpoint", "delete a source")
    repeated = [change for name, change in CHANGES.items() if name not in once]
    await asyncio.gather(*(change(world) for change in repeated for _ in range(5)))
