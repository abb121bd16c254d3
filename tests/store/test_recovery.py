from datetime import timedelta

import pytest

from app.store.errors import NotResendable, ReplayRefused
from app.store.recovery import replay, retry
from app.store.tables import DeliveryRow, table_of
from app.store.transactions import writing
from tests.store.world import World

pytestmark = pytest.mark.anyio

_delivery = table_of(DeliveryRow)


async def _replay(world: World, event_id: int, endpoint_ids: list[int]):
    async with writing(world.engine) as connection:
        return await replay(connection, world.environment_id, event_id, endpoint_ids, world.ids, world.clock.now())


async def _retry(world: World, delivery_id: int) -> bool:
    async with writing(world.engine) as connection:
        return await retry(connection, world.environment_id, delivery_id, world.clock.now())


async def _row(world: World, delivery_id: int):
    return await world.row(DeliveryRow, _delivery.c.id == delivery_id)


async def test_a_replay_makes_a_new_delivery_for_each_endpoint(world: World) -> None:
    first, second = await world.endpoint(), await world.endpoint("https://b.example.com/")
    event_id = await world.event()
    old = await world.delivery(event_id, first.id, "delivered", attempts=1)
    made = await _replay(world, event_id, [first.id, second.id])
    assert made is not None
    rows = [await _row(world, number) for number in made]
    assert [(row.event_id, row.endpoint_id) for row in rows] == [(event_id, first.id), (event_id, second.id)]
    assert {(row.origin, row.status, row.attempts, row.due_at) for row in rows} == {
        ("replay", "pending", 0, world.clock.now())
    }
    assert await world.status(old) == "delivered"


async def test_a_replay_to_a_paused_endpoint_is_held(world: World) -> None:
    endpoint = await world.endpoint(active=False)
    made = await _replay(world, await world.event(), [endpoint.id])
    assert made is not None
    row = await _row(world, made[0])
    assert (row.status, row.error) == ("held", "the endpoint is not active")


async def test_a_replay_to_nobody_makes_nothing(world: World) -> None:
    assert await _replay(world, await world.event(), []) == []


async def test_an_event_that_is_not_there_is_not_replayed(world: World, other_world: World) -> None:
    endpoint = await world.endpoint()
    assert await _replay(world, 1, [endpoint.id]) is None
    assert await _replay(world, await other_world.event(), [endpoint.id]) is None


async def test_a_replay_to_an_endpoint_that_is_not_there_is_refused(world: World, other_world: World) -> None:
    mine, theirs = await world.endpoint(), await other_world.endpoint()
    with pytest.raises(ReplayRefused, match=f"endpoint {theirs.id}"):
        await _replay(world, await world.event(), [mine.id, theirs.id])


@pytest.mark.parametrize("status", ["failed", "held", "delivered", "pending"])
async def test_a_retry_makes_a_delivery_due_now_and_counts_its_attempts_on(world: World, status: str) -> None:
    endpoint = await world.endpoint()
    later = world.clock.now() + timedelta(hours=1)
    delivery_id = await world.delivery(
        await world.event(),
        endpoint.id,
        status,
        attempts=3,
        due_at=later,
        finished_at=world.clock.now(),
        status_code=500,
    )
    assert await _retry(world, delivery_id)
    row = await _row(world, delivery_id)
    assert (row.status, row.attempts, row.due_at) == ("pending", 3, world.clock.now())
    assert row.status_code == 500


@pytest.mark.parametrize(("status", "why"), [("sending", "being sent"), ("cancelled", "was cancelled")])
async def test_a_delivery_that_is_being_sent_or_was_cancelled_is_not_retried(
    world: World, status: str, why: str
) -> None:
    endpoint = await world.endpoint()
    delivery_id = await world.delivery(await world.event(), endpoint.id, status)
    with pytest.raises(NotResendable, match=why):
        await _retry(world, delivery_id)
    assert await world.status(delivery_id) == status


async def test_a_delivery_to_a_paused_endpoint_is_not_retried(world: World) -> None:
    endpoint = await world.endpoint(active=False)
    delivery_id = await world.delivery(await world.event(), endpoint.id, "held")
    with pytest.raises(NotResendable, match="enable it first"):
        await _retry(world, delivery_id)


async def test_a_delivery_that_is_not_there_is_not_retried(world: World, other_world: World) -> None:
    theirs = await other_world.delivery(await other_world.event(), (await other_world.endpoint()).id, "failed")
    assert not await _retry(world, 1)
    assert not await _retry(world, theirs)
    assert await world.status(theirs) == "failed"
