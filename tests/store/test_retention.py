from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import event as sqlalchemy_event
from sqlmodel import SQLModel

from app.store import retention
from app.store.ids import first_id_at
from app.store.retention import Removed, count_older, remove_older, write_with
from app.store.tables import AttemptRow, DeliveryRow, EventRow, ReceiptRow, table_of
from tests.store.world import World

pytestmark = pytest.mark.anyio

ENDED = ("delivered", "failed", "held", "cancelled")


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "PAUSE_S", 0.0)
    monkeypatch.setattr(retention, "PAUSE_SHARE", 0.0)


async def fill(world: World, *statuses: str) -> None:
    """A receipt, its event, and a delivery in each status with one attempt."""
    source_id = (await world.source()) if not await ids_of(world, ReceiptRow) else 1
    event_id = await world.event(receipt_id=await world.receipt(source_id))
    endpoint = await world.endpoint()
    for status in statuses:
        await world.attempt(await world.delivery(event_id, endpoint.id, status), 1)


async def ids_of(world: World, row: type[SQLModel]) -> list[int]:
    async with world.engine.connect() as connection:
        return list(await connection.scalars(sa.select(table_of(row).c.id).order_by(table_of(row).c.id)))


async def remove(world: World, days: float) -> Removed:
    before = first_id_at(world.clock.ms() - round(days * 86_400_000))
    foretold = await count_older(world.engine, before)
    steps = list[Removed]()
    removed = await remove_older(write_with(world.engine), before, steps.append)
    assert foretold == removed == sum(steps, Removed())
    return removed


async def test_what_is_older_goes_with_all_that_hangs_on_it_and_the_rest_stays(world: World) -> None:
    await fill(world, *ENDED)
    world.clock.advance(days=2)
    await fill(world, *ENDED)
    assert await remove(world, 1) == Removed(receipts=1, events=1, deliveries=4, attempts=4)
    assert [len(await ids_of(world, row)) for row in (ReceiptRow, EventRow, DeliveryRow, AttemptRow)] == [1, 1, 4, 4]
    assert await remove(world, 1) == Removed()


async def test_the_age_is_told_to_the_millisecond(world: World) -> None:
    await fill(world)
    world.clock.advance(days=1)
    assert await remove(world, 1) == Removed()
    world.clock.advance(0.001)
    assert await remove(world, 1) == Removed(receipts=1, events=1)


@pytest.mark.parametrize("status", ["pending", "sending"])
async def test_an_event_that_is_still_to_be_sent_stays_with_that_delivery_until_it_has_ended(
    world: World, status: str
) -> None:
    await fill(world, status, *ENDED)
    world.clock.advance(days=2)
    assert await remove(world, 1) == Removed(receipts=1, deliveries=4, attempts=4)
    (kept,) = await ids_of(world, DeliveryRow)
    assert await world.status(kept) == status
    async with world.engine.begin() as connection:
        await connection.execute(sa.update(table_of(DeliveryRow)).values(status="delivered"))
    assert await remove(world, 1) == Removed(events=1, deliveries=1, attempts=1)


async def test_a_step_is_small_in_rows_and_in_bytes(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "STEP_ROWS_MAX", 3)
    monkeypatch.setattr(retention, "STEP_BYTES_MAX", 1_000)
    source_id, endpoint = await world.source(), await world.endpoint()
    for size in (10, 10, 10, 10, 990, 5_000, 10):
        await world.receipt(source_id, body=b"x" * size)
    event_id = await world.event()
    for _ in range(7):
        await world.delivery(event_id, endpoint.id, "failed")
    world.clock.advance(days=2)
    steps = list[Removed]()
    await remove_older(write_with(world.engine), first_id_at(world.clock.ms()), steps.append)
    assert [step.receipts for step in steps if step.receipts] == [3, 2, 1, 1]
    assert [step.deliveries for step in steps if step.deliveries] == [3, 3, 1]
    assert sum(step.events for step in steps) == 1


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_rows_that_somebody_else_has_in_hand_are_left_for_the_next_time(world: World) -> None:
    await fill(world, "failed")
    await fill(world, "failed")
    world.clock.advance(days=2)
    (first, _) = await ids_of(world, EventRow)
    async with world.engine.begin() as connection:
        await connection.execute(
            sa.select(table_of(EventRow)).where(table_of(EventRow).c.id == first).with_for_update()
        )
        before = first_id_at(world.clock.ms())
        removed = await remove_older(write_with(world.engine), before, lambda _step: None)
    assert removed == Removed(receipts=2, events=1, deliveries=1, attempts=1)
    assert await ids_of(world, EventRow) == [first]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_no_step_walks_a_whole_table(world: World) -> None:
    await fill(world, "pending", *ENDED)
    world.clock.advance(days=2)
    steps = list[str]()

    def explain(_connection: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.startswith(("SELECT", "DELETE")):
            cursor.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
            steps.extend(row[3] for row in cursor.fetchall())

    sqlalchemy_event.listen(world.engine.sync_engine, "before_cursor_execute", explain)
    await remove_older(write_with(world.engine), first_id_at(world.clock.ms()), lambda _step: None)
    sqlalchemy_event.remove(world.engine.sync_engine, "before_cursor_execute", explain)
    assert steps
    assert [step for step in steps if step.startswith("SCAN") or "TEMP B-TREE" in step] == []
