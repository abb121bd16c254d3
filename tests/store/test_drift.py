import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from app.store.drift import KEY, NAMES_MAX, TYPE, Drift, list_drift, record_drift
from app.store.sources import delete_source
from app.store.transactions import writing
from tests.conftest import START_MS
from tests.store.world import World

pytestmark = pytest.mark.anyio


def found(source_id: int, name: str, *, count: int = 1, at: int = START_MS, kind: str = KEY) -> Drift:
    return Drift(
        source_id=source_id,
        kind=kind,
        name=name,
        count=count,
        first_seen=at,
        last_seen=at,
        receipt_id=at << 21,
        sample=f"{name} at {at}",
    )


async def record(engine: AsyncEngine, *drifts: Drift) -> None:
    async with writing(engine) as connection:
        await connection.run_sync(record_drift, drifts)


async def test_counts_add_up_and_the_last_sample_stays(world: World) -> None:
    source_id = await world.source("prod")
    await record(world.engine, found(source_id, "via", count=3), found(source_id, "moved", kind=TYPE))
    await record(world.engine, found(source_id, "via", count=2, at=START_MS + 1000))
    via, moved = await list_drift(world.engine, world.environment_id, "prod")
    assert (via.kind, via.name, via.count, via.sample) == (KEY, "via", 5, f"via at {START_MS + 1000}")
    assert (via.first_seen, via.last_seen) == ("2026-03-03T08:15:00.000Z", "2026-03-03T08:15:01.000Z")
    assert via.receipt_id.startswith("rcp_")
    assert (moved.kind, moved.count) == (TYPE, 1)


async def test_a_type_and_a_key_of_one_name_are_two(world: World) -> None:
    source_id = await world.source("prod")
    await record(world.engine, found(source_id, "open"), found(source_id, "open", kind=TYPE))
    assert len(await list_drift(world.engine, world.environment_id, "prod")) == 2


async def test_a_source_has_so_many_names_and_no_more(world: World) -> None:
    source_id, other = await world.source("prod"), await world.source("other")
    await record(world.engine, *(found(source_id, f"a{number}") for number in range(NAMES_MAX - 1)))
    await record(world.engine, found(source_id, "b"), found(source_id, "c"), found(source_id, "a1"), found(other, "d"))
    names = {line.name: line.count for line in await list_drift(world.engine, world.environment_id, "prod")}
    assert len(names) == NAMES_MAX
    assert ("b" in names, "c" in names, names["a1"]) == (True, False, 2)
    assert len(await list_drift(world.engine, world.environment_id, "other")) == 1


async def test_another_environment_and_a_deleted_source_show_nothing(world: World, other_world: World) -> None:
    source_id = await world.source("prod")
    await record(world.engine, found(source_id, "via"))
    assert await list_drift(world.engine, other_world.environment_id, "prod") == []
    await delete_source(world.engine, world.vault, world.environment_id, "prod", world.clock.now())
    assert await list_drift(world.engine, world.environment_id, "prod") == []
