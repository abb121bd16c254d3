"""Lines: who leads, who queues, who goes next, and what happens when another transaction holds the line."""

import asyncio
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import event as sqlalchemy_event

from app.store.engine import is_sqlite
from app.store.order import (
    Line,
    hold_lines,
    let_next_go,
    let_next_go_in_reach,
    line_of,
    lines_in_reach,
    stuck_lines,
    which_queue,
)
from app.store.recovery import Owed, owe
from app.store.transactions import writing
from tests.store.world import World

pytestmark = pytest.mark.anyio

ADA = "ada@example.com"


def known_line(endpoint_id: int = 1, recipient: str = ADA) -> Line:
    line = line_of(endpoint_id, recipient)
    assert line is not None
    return line


def test_a_recipient_is_the_same_in_any_case_and_another_at_another_endpoint() -> None:
    assert line_of(1, ADA) == line_of(1, "Ada@Example.COM")
    assert known_line(1)[1] != known_line(2)[1]
    assert 0 <= known_line()[1] < 1 << 63
    assert line_of(1, "lone \ud800 surrogate") is not None


@pytest.mark.parametrize("recipient", [None, "", "(forgotten)"])
def test_an_event_about_nobody_stands_in_no_line(recipient: str | None) -> None:
    assert line_of(1, recipient) is None


async def in_line(world: World, *statuses: str, recipient: str = ADA) -> list[int]:
    key = known_line(1, recipient)[1]
    event_id = await world.event(recipient=recipient)
    return [await world.delivery(event_id, 1, status, order_key=key) for status in statuses]


@pytest.fixture
async def ordered(world: World) -> World:
    await world.endpoint(ordering="recipient")
    return world


@pytest.mark.parametrize(
    ("standing", "queues"),
    [
        ([], False),
        (["delivered", "failed", "cancelled"], False),
        (["pending"], True),
        (["sending"], True),
        (["held"], True),
        (["queued"], True),
    ],
)
async def test_who_joins_a_line_queues_behind_whoever_is_not_finished(
    ordered: World, standing: list[str], queues: bool
) -> None:
    await in_line(ordered, *standing)
    other = known_line(1, "bob@example.com")
    async with writing(ordered.engine) as connection:
        verdicts = await connection.run_sync(which_queue, [known_line(), other, known_line(), other])
    assert verdicts == [queues, False, True, True]


@pytest.mark.parametrize("leader", ["pending", "sending", "held", "delivered"])
async def test_the_first_one_queued_goes_when_nobody_leads(ordered: World, leader: str) -> None:
    ids = await in_line(ordered, leader, "queued", "queued")
    async with writing(ordered.engine) as connection:
        await connection.run_sync(let_next_go, {known_line()}, ordered.clock.now())
    expected = [leader, "pending" if leader == "delivered" else "queued", "queued"]
    assert [await ordered.status(number) for number in ids] == expected


async def test_stuck_lines_are_found_a_stretch_at_a_time(ordered: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.store.order.LINES_REPAIRED_MAX", 2)
    recipients = [f"{number}@example.com" for number in range(5)]
    for recipient in recipients:
        await in_line(ordered, "queued", "queued", recipient=recipient)
    await in_line(ordered, "held", "queued", recipient="led@example.com")
    found, after = list[Line](), -1
    for _ in range(4):
        async with ordered.engine.connect() as connection:
            lines, after = await connection.run_sync(stuck_lines, 1, after)
        found += lines
        if after == -1:
            break
    assert found == sorted(known_line(1, recipient) for recipient in recipients)
    assert after == -1


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_a_line_that_another_transaction_holds_is_out_of_reach(ordered: World) -> None:
    async with ordered.engine.begin() as one, ordered.engine.begin() as other:
        await one.run_sync(hold_lines, [known_line()])
        assert await one.run_sync(lines_in_reach, [known_line()]) == {known_line()}
        assert await other.run_sync(lines_in_reach, [known_line(), known_line(2)]) == {known_line(2)}


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_who_joins_and_who_finishes_at_once_see_each_other(ordered: World) -> None:
    (leading,) = await in_line(ordered, "sending")
    delivery = sa.table("delivery", sa.column("id"), sa.column("status"))

    async with ordered.engine.begin() as joining:
        await joining.run_sync(hold_lines, [known_line()])
        assert await joining.run_sync(which_queue, [known_line()]) == [True]

        async def finish() -> None:
            async with ordered.engine.begin() as finishing:
                await finishing.run_sync(hold_lines, [known_line()])
                done = sa.update(delivery).where(delivery.c.id == leading).values(status="delivered")
                await finishing.execute(done)
                await finishing.run_sync(let_next_go, {known_line()}, ordered.clock.now())

        finishing = asyncio.create_task(finish())
        await asyncio.sleep(0.1)
        number = ordered.ids.next()
        insert = sa.text(
            "INSERT INTO delivery (id, event_id, endpoint_id, origin, status, attempts, due_at, order_key) "
            "SELECT :id, event_id, endpoint_id, origin, 'queued', 0, due_at, order_key FROM delivery WHERE id = :ahead"
        )
        await joining.execute(insert, {"id": number, "ahead": leading})
    await finishing
    assert await ordered.status(number) == "pending"


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_a_replay_does_not_wait_for_a_line_but_queues(ordered: World) -> None:
    event_id, number = await ordered.event(), ordered.ids.next()
    async with ordered.engine.begin() as holding:
        await holding.run_sync(hold_lines, [known_line()])
        async with ordered.engine.begin() as replaying:
            await replaying.run_sync(owe, 1, [Owed(number, event_id, 1)], ordered.clock.now())
        assert await ordered.status(number) == "queued"
        async with ordered.engine.begin() as finishing:
            await finishing.run_sync(let_next_go_in_reach, {known_line()}, ordered.clock.now())
        assert await ordered.status(number) == "queued"
    async with ordered.engine.connect() as connection:
        assert await connection.run_sync(stuck_lines, 1, -1) == ([known_line()], -1)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_every_statement_goes_straight_to_its_line(ordered: World) -> None:
    assert is_sqlite(ordered.engine)
    steps = list[str]()

    def explain(_connection: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.startswith(("SELECT", "UPDATE", "WITH")) and not isinstance(parameters, list):
            cursor.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
            steps.extend(row[3] for row in cursor.fetchall())

    async with writing(ordered.engine) as connection:
        sqlalchemy_event.listen(ordered.engine.sync_engine, "before_cursor_execute", explain)
        await connection.run_sync(which_queue, [known_line()])
        await connection.run_sync(let_next_go, {known_line()}, ordered.clock.now())
        await connection.run_sync(stuck_lines, 1, -1)
        sqlalchemy_event.remove(ordered.engine.sync_engine, "before_cursor_execute", explain)
    assert sum("ix_delivery_queued (endpoint_id=? AND order_key" in step for step in steps) >= 4, steps
    assert sum("ix_delivery_leading (order_key=?)" in step for step in steps) >= 3, steps
    assert [step for step in steps if step.startswith("SCAN delivery") or "SCAN first" in step] == []
