from datetime import timedelta

import pytest

from app.store import recovery
from app.store.errors import NotResendable, ReplayRefused
from app.store.recovery import missed_events, recover_failed, replay, retry
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


async def test_failed_deliveries_of_a_time_are_recovered(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recovery, "MOVED_MAX", 2)
    endpoint, other = await world.endpoint(), await world.endpoint("https://b.example.com/")
    event_id = await world.event()
    before = await world.delivery(event_id, endpoint.id, "failed")
    world.clock.advance(1)
    since = world.clock.now()
    failed = [await world.delivery(event_id, endpoint.id, "failed", attempts=11) for _ in range(3)]
    apart = [
        await world.delivery(event_id, endpoint.id, "delivered"),
        await world.delivery(event_id, other.id, "failed"),
    ]
    world.clock.advance(1)
    until = world.clock.now()
    after = await world.delivery(event_id, endpoint.id, "failed")
    assert await recover_failed(world.engine, 1, endpoint.id, since, until, world.clock.now()) == 3
    assert [(await _row(world, number)).status for number in failed] == ["pending"] * 3
    assert (await _row(world, failed[0])).due_at == world.clock.now()
    assert [await world.status(number) for number in (before, after, *apart)] == [
        "failed",
        "failed",
        "delivered",
        "failed",
    ]


async def test_recovery_wants_an_active_endpoint_of_the_environment(world: World, other_world: World) -> None:
    paused, theirs = await world.endpoint(active=False), await other_world.endpoint()
    now = world.clock.now()
    with pytest.raises(NotResendable, match="enable it first"):
        await recover_failed(world.engine, 1, paused.id, now, now, now)
    with pytest.raises(ReplayRefused):
        await recover_failed(world.engine, 1, theirs.id, now, now, now)


async def test_missed_events_are_those_without_a_delivery_to_the_endpoint(world: World, other_world: World) -> None:
    await other_world.event("email.open")
    await world.event("email.open")
    world.clock.advance(1)
    since = world.clock.now()
    missed = [await world.event("email.open", body=b"{}") for _ in range(2)]
    owed = await world.event("email.open")
    await world.delivery(owed, 1, "delivered")
    await world.delivery(missed[0], 2, "delivered")
    await world.event("email.click")
    world.clock.advance(1)
    until = world.clock.now()
    await world.event("email.open")
    found, after = await missed_events(world.engine, 1, 1, {"email.open"}, since, until)
    assert [(event.id, event.type, event.body) for event in found] == [
        (number, "email.open", b"{}") for number in missed
    ]
    assert after is None


async def test_missed_events_come_in_walks_that_end(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recovery, "ROWS_WALKED_MAX", 4)
    since = world.clock.now()
    missed = list[int]()
    for _ in range(3):
        for _ in range(3):
            await world.delivery(await world.event("email.open"), 1, "delivered")
        missed.append(await world.event("email.open"))
    found, after, until = list[int](), 0, since + timedelta(days=1)
    while after is not None:
        some, after = await missed_events(world.engine, 1, 1, {"email.open"}, since, until, after=after, limit=1)
        found += [event.id for event in some]
    assert found == missed
