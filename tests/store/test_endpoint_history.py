"""What pages show of an endpoint: its last attempts, and the queues of all."""

import pytest

from app.store.health import unwell
from app.store.ids import DELIVERY, public_id
from app.store.log import recent_attempts
from app.store.stats import Queue, read_queue, read_queues
from app.store.tables import DELIVERY_STATUSES, EndpointHealthRow
from tests.store.world import World

pytestmark = pytest.mark.anyio


async def test_the_last_attempts_come_in_their_order(world: World) -> None:
    endpoint, other, event = await world.endpoint(), await world.endpoint(), await world.event()
    first = await world.delivery(event, endpoint.id, "failed", attempts=2)
    second = await world.delivery(event, endpoint.id, "delivered", attempts=1)
    await world.attempt(await world.delivery(event, other.id), 1)
    for delivery_id, number in ((first, 1), (second, 1), (first, 2)):
        await world.attempt(delivery_id, number)
    found = await recent_attempts(world.engine, endpoint.id, 10)
    ids = [public_id(DELIVERY, first), public_id(DELIVERY, second), public_id(DELIVERY, first)]
    assert [(attempt.delivery_id, attempt.number) for attempt in found] == list(zip(ids, [1, 1, 2], strict=True))
    assert [attempt.number for attempt in await recent_attempts(world.engine, endpoint.id, 2)] == [1, 2]


async def test_the_attempts_behind_a_backlog_are_found(world: World) -> None:
    endpoint, event = await world.endpoint(), await world.event()
    tried = await world.delivery(event, endpoint.id, attempts=1, due_at=world.clock.now())
    await world.attempt(tried, 1, status_code=500)
    world.clock.advance(minutes=1)
    for _ in range(120):
        await world.delivery(event, endpoint.id, due_at=world.clock.now())
    assert await recent_attempts(world.engine, endpoint.id, 10) == []
    world.clock.advance(minutes=1)
    again = await world.delivery(event, endpoint.id, attempts=1, due_at=world.clock.now())
    await world.attempt(again, 1, status_code=503)
    assert [attempt.status_code for attempt in await recent_attempts(world.engine, endpoint.id, 10)] == [503]


async def test_the_queues_of_all_endpoints_are_those_of_each(world: World, other_world: World) -> None:
    event = await world.event()
    endpoints = [await world.endpoint() for _ in range(3)]
    theirs = await other_world.endpoint()
    for endpoint in (*endpoints[:2], theirs):
        for status in DELIVERY_STATUSES:
            await world.delivery(event, endpoint.id, status, order_key=1 if status == "queued" else None)
    await world.delivery(event, endpoints[0].id, "held")
    queues = await read_queues(world.engine, world.environment_id, 100)
    assert queues == {endpoint.id: await read_queue(world.engine, endpoint.id) for endpoint in endpoints}
    assert queues[endpoints[0].id] == Queue(pending=1, sending=1, held=2, queued=1)
    assert (await read_queues(world.engine, world.environment_id, 1))[endpoints[0].id].held == 1


async def test_who_is_not_well_is_told_by_number(world: World) -> None:
    endpoint = await world.endpoint()
    assert await unwell(world.engine) == {}
    await world.add(EndpointHealthRow, {"endpoint_id": endpoint.id, "failures": 5, "reason": "answered 500"})
    found = await unwell(world.engine)
    assert found[endpoint.id].failing
