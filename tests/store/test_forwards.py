from datetime import datetime, timedelta

import pytest

from app.store import walks
from app.store.log import EventFilter, FailedFilter, Missing, Reach, events_forwards, failed_forwards
from app.store.walks import first_number
from tests.store.world import World

pytestmark = pytest.mark.anyio

OPENS = Missing(1, frozenset({"email.open"}))


def _between(since: datetime, until: datetime, limit: int = 500) -> Reach:
    return Reach(first_number(since) - 1, first_number(until), limit)


async def test_missing_events_are_those_without_a_delivery_to_the_endpoint(world: World, other_world: World) -> None:
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
    found, end = await events_forwards(world.engine, 1, EventFilter(), _between(since, until), OPENS)
    assert [(event.id, event.type, event.body) for event in found] == [
        (number, "email.open", b"{}") for number in missed
    ]
    assert end is None


async def test_stretches_end_and_none_is_left_out(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walks, "ROWS_WALKED_MAX", 4)
    since = world.clock.now()
    missed = list[int]()
    for _ in range(3):
        for _ in range(3):
            await world.delivery(await world.event("email.open"), 1, "delivered")
        missed.append(await world.event("email.open"))
    reach, found, stretches = _between(since, since + timedelta(days=1), limit=1), list[int](), 0
    while True:
        some, end = await events_forwards(world.engine, 1, EventFilter(), reach, OPENS)
        found += [event.id for event in some]
        stretches += 1
        if end is None:
            break
        reach = Reach(end, reach.before, reach.limit)
    assert found == missed
    assert stretches > len(missed)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({}, 4),
        ({"type": "email.open"}, 1),
        ({"recipient": "bob@example.com"}, 1),
        ({"email_id": "msg_2", "type": "email.bounced"}, 1),
        ({"source": "prod"}, 1),
        ({"provider": "sendgrid"}, 0),
        ({"q": "BOB"}, 1),
    ],
)
async def test_events_are_filtered_as_in_the_log(world: World, wanted: dict[str, str], found: int) -> None:
    await world.source("prod")
    await world.event("email.open")
    await world.event(recipient="bob@example.com")
    await world.event(email_id="msg_2")
    await world.event(source_id=1)
    reach = Reach(0, 1 << 62, 500)
    events, end = await events_forwards(world.engine, 1, EventFilter(**wanted), reach)
    assert (len(events), end) == (found, None)


async def test_failed_deliveries_of_a_time_are_found_oldest_first(world: World, other_world: World) -> None:
    endpoint, other = await world.endpoint(), await world.endpoint("https://b.example.com/")
    paused, theirs = await world.endpoint(active=False), await other_world.endpoint()
    event_id, opened = await world.event(), await world.event("email.open")
    await world.delivery(event_id, endpoint.id, "failed")
    world.clock.advance(1)
    since = world.clock.now()
    first = await world.delivery(event_id, endpoint.id, "failed", status_code=500)
    second = await world.delivery(opened, other.id, "failed")
    third = await world.delivery(opened, endpoint.id, "failed")
    await world.delivery(event_id, endpoint.id, "delivered")
    await world.delivery(event_id, paused.id, "failed")
    await other_world.delivery(await other_world.event(), theirs.id, "failed")
    world.clock.advance(1)
    until = world.clock.now()
    await world.delivery(event_id, endpoint.id, "failed")
    for endpoint_id, wanted, expected in [
        (endpoint.id, {}, [first, third]),
        (None, {}, [first, second, third]),
        (None, {"status_code": 500}, [first]),
        (None, {"type": "email.open"}, [second, third]),
    ]:
        found = await failed_forwards(world.engine, 1, endpoint_id, FailedFilter(**wanted), _between(since, until))
        assert found == (expected, None)
    some, end = await failed_forwards(world.engine, 1, None, FailedFilter(), _between(since, until, limit=2))
    assert (some, end) == ([first, second], second)
