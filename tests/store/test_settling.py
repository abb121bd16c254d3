from datetime import timedelta
from typing import Any

import pytest

from app.store import settling
from app.store.settling import settle_changed, settle_endpoints
from app.store.tables import DELIVERY_STATUSES, NOT_ACTIVE, EndpointRow, table_of
from tests.store.world import World

pytestmark = pytest.mark.anyio


async def _cut_short(world: World, endpoint_id: int, **fields: Any) -> None:
    """An endpoint is changed as a crash would leave it, its deliveries as they were."""
    table = table_of(EndpointRow)
    async with world.engine.begin() as connection:
        await connection.execute(table.update().where(table.c.id == endpoint_id).values(fields))


async def _three_endpoints(world: World) -> None:
    """One active, one inactive, one deleted."""
    for number in (1, 2, 3):
        await world.endpoint(f"https://{number}.example.com/")
    await _cut_short(world, 2, active=False)
    await _cut_short(world, 3, active=False, deleted_at=world.clock.now())


@pytest.mark.parametrize(
    ("endpoint_id", "moves"),
    [
        (1, {"held": "pending", "queued": "pending"}),
        (2, {"pending": "held"}),
        (3, dict.fromkeys(("queued", "pending", "held", "sending"), "cancelled")),
    ],
    ids=["active", "inactive", "deleted"],
)
async def test_a_start_finishes_what_a_crash_cut_short(world: World, endpoint_id: int, moves: dict[str, str]) -> None:
    await _three_endpoints(world)
    event_id = await world.event()
    left = {status: await world.delivery(event_id, endpoint_id, status) for status in DELIVERY_STATUSES}
    assert await settle_endpoints(world.engine, world.clock.now()) == len(moves)
    for status, delivery_id in left.items():
        assert await world.status(delivery_id) == moves.get(status, status)
    assert await settle_endpoints(world.engine, world.clock.now()) == 0


@pytest.mark.parametrize(
    ("endpoint_id", "status"), [(1, "held"), (1, "queued"), (2, "pending"), (3, "held"), (3, "sending"), (3, "queued")]
)
async def test_one_misfit_is_enough(world: World, endpoint_id: int, status: str) -> None:
    await _three_endpoints(world)
    await world.delivery(await world.event(), endpoint_id, status)
    assert await settle_endpoints(world.engine, world.clock.now()) == 1


async def test_where_everything_fits_a_start_writes_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await _three_endpoints(world)
    event_id = await world.event()
    for endpoint_id, status in ((1, "pending"), (1, "sending"), (2, "held"), (2, "failed"), (3, "cancelled")):
        await world.delivery(event_id, endpoint_id, status)
    monkeypatch.delattr(settling, "writing")
    assert await settle_endpoints(world.engine, world.clock.now()) == 0


async def test_a_long_backlog_moves_in_several_transactions(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settling, "MOVED_MAX", 2)
    await world.endpoint()
    event_id = await world.event()
    deliveries = [await world.delivery(event_id, 1) for _ in range(5)]
    await world.pause(1)
    assert {await world.status(delivery_id) for delivery_id in deliveries} == {"held"}


async def test_what_a_node_held_that_had_not_heard_of_a_change_is_released(world: World) -> None:
    await world.endpoint()
    event_id = await world.event()
    missed = await world.delivery(event_id, 1, "held", error=NOT_ACTIVE)
    failing = await world.delivery(event_id, 1, "held", error="the transform failed: no such function")
    world.clock.advance(60)
    now = world.clock.now()
    assert await settle_changed(world.engine, now - timedelta(seconds=59), now) == 0
    assert await settle_changed(world.engine, now - timedelta(seconds=60), now) == 1
    assert (await world.status(missed), await world.status(failing)) == ("pending", "held")
    assert await settle_changed(world.engine, now - timedelta(seconds=60), now) == 0
