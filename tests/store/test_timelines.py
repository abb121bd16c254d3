from datetime import timedelta
from typing import Any

import pytest

from app.store import walks
from app.store.ids import EVENT, public_id
from app.store.log import timelines
from app.store.log.timelines import address, message, read_delivered, read_facts, read_timeline
from tests.store.world import World

pytestmark = pytest.mark.anyio

MESSAGE = message(1, "msg_1")
ADA = address(1, "Ada@Example.com")


async def happened(world: World, minute: int, type_: str = "email.open", **fields: Any) -> str:
    at = world.clock.now() + timedelta(minutes=minute)
    return public_id(EVENT, await world.event(type_, occurred_at=at, **fields))


async def test_a_timeline_is_in_the_order_in_which_things_happened_and_marks_what_came_late(world: World) -> None:
    sent, delivered, opened = [await happened(world, minute) for minute in (1, 3, 4)]
    late = await happened(world, 2)
    clicked = await happened(world, 5)
    page = await read_timeline(world.engine, MESSAGE, None, 10)
    assert [(one.event.id, one.late) for one in page.rows] == [
        (sent, False),
        (late, True),
        (delivered, False),
        (opened, False),
        (clicked, False),
    ]
    assert page.next_cursor is None


async def test_a_page_has_what_arrived_last_and_knows_what_arrived_before(world: World) -> None:
    made = [await happened(world, minute) for minute in (1, 9, 3, 4)]
    page = await read_timeline(world.engine, ADA, None, 2)
    assert [(one.event.id, one.late) for one in page.rows] == [(made[2], True), (made[3], True)]
    older = await read_timeline(world.engine, ADA, page.next_cursor, 2)
    assert [one.event.id for one in older.rows] == made[:2]
    assert older.next_cursor is None


async def test_deliveries_stand_beside_their_events(world: World) -> None:
    endpoint = await world.endpoint()
    event_id, other = await world.event(), await world.event()
    await world.delivery(event_id, endpoint.id, "failed", attempts=3, status_code=500, error="answered 500")
    await world.delivery(event_id, endpoint.id, "delivered", attempts=1, status_code=200)
    page = await read_timeline(world.engine, MESSAGE, None, 10)
    found = {one.event.id: one.deliveries for one in page.rows}
    assert [(one.status, one.status_code) for one in found[public_id(EVENT, event_id)]] == [
        ("delivered", 200),
        ("failed", 500),
    ]
    assert found[public_id(EVENT, other)] == []


async def test_a_message_is_found_by_its_message_id_at_other_providers(world: World) -> None:
    at_one = await happened(world, 1, email_id="one@example.com")
    at_another = await happened(world, 2, email_id="4711", message_id="one@example.com")
    await happened(world, 3, email_id="another")
    page = await read_timeline(world.engine, message(1, "one@example.com"), None, 10)
    assert [one.event.id for one in page.rows] == [at_one, at_another]


async def test_nobody_sees_the_timelines_of_another_environment(world: World, other_world: World) -> None:
    await other_world.event(message_id="msg_1")
    for subject in (MESSAGE, ADA):
        assert (await read_timeline(world.engine, subject, None, 10)).rows == []
        assert await read_facts(world.engine, subject) == ([], True)


async def test_facts_are_of_the_types_that_tell(world: World) -> None:
    await world.event("email.open", body=b"1")
    await world.event("email.delivered", body=b"2")
    await world.event("email.bounced", body=b"3")
    assert await read_facts(world.engine, ADA, ["email.bounced"]) == ([b"3"], True)
    assert await read_delivered(world.engine, ADA) == [b"2"]
    assert await read_facts(world.engine, MESSAGE) == ([b"3", b"2", b"1"], True)


async def test_so_many_facts_that_not_all_are_read_are_said_to_be_a_part(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timelines, "FACTS_MAX", 2)
    for number in range(3):
        await world.event(body=str(number).encode())
    assert await read_facts(world.engine, MESSAGE) == ([b"2", b"1"], False)


async def test_the_walk_is_bounded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timelines, "ROWS_WALKED_MAX", 2)
    assert walks.ROWS_WALKED_MAX > 2
    for _ in range(3):
        await world.event()
    assert len((await read_timeline(world.engine, ADA, None, 10)).rows) == 2
    assert (await read_facts(world.engine, ADA, ["email.complaint"])) == ([], False)
