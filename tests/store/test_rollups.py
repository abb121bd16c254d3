"""What is counted: in the commit that stores it, once, by the minute; and what becomes of old counts."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from functools import partial

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from app.store.arrivals import Arrival, NewDelivery, NewEvent, NewReceipt
from app.store.engine import open_writer
from app.store.ids import IdSource, node_of
from app.store.ledger import Ledger
from app.store.outcomes import AttemptRecord, Outcome
from app.store.rollups import BOUNDS_MS, HOUR_MS, MINUTE_MS, count_up, fold_minutes, prune_rollups
from app.store.roster import Versions
from app.store.tables import RollupHourRow, RollupRow, table_of
from app.store.transactions import writing
from tests.conftest import START_MS, FrozenClock
from tests.store.world import World

pytestmark = pytest.mark.anyio

MINUTE, HOUR = table_of(RollupRow), table_of(RollupHourRow)


class Nobody:
    """Owes nothing to anybody."""

    versions: Versions = ((1, 2),)

    async def reload(self) -> None: ...

    def owed(self, _event: NewEvent) -> list[NewDelivery]:
        return []

    def committed(self, deliveries: Sequence[NewDelivery]) -> None: ...

    def dropped(self, deliveries: Sequence[NewDelivery]) -> None: ...


@pytest.fixture
async def ledger(world: World) -> AsyncIterator[Ledger]:
    await world.source()
    writer = await open_writer(world.engine)
    ledger = Ledger(
        writer,
        Nobody(),
        items_max=100,
        waiting_max=50,
        waiting_bytes_max=10_000,
        timeout_s=5,
        on_commit=lambda _writes, _seconds: None,
    )
    ledger.start()
    yield ledger
    await ledger.close()
    await writer.close()


def arrival(ids: IdSource, *types: str, key: str = "", rejected: bool = False) -> Arrival:
    receipt = NewReceipt(ids.next(), 1, 1, "POST", "http://x/", b"{}", b"{}")
    return Arrival(receipt, [new_event(ids, receipt.id, name, key) for name in types], rejected=rejected)


def new_event(ids: IdSource, receipt_id: int, name: str, key: str) -> NewEvent:
    number = ids.next()
    dedup_key = f"{key or number} {name}".encode()
    event = NewEvent(number, 1, 1, receipt_id, name, "a@b.c", "m1", 1, dedup_key, b"{}")
    event.bounce_class = "hard" if name == "email.bounced" else None
    return event


def attempt(
    ids: IdSource, status: str = "delivered", code: int | None = 200, *, ms: int = 12, kind: str | None = None
) -> Outcome:
    record = AttemptRecord(ids.next(), 1, code, kind, None, ms, b"{}", b"{}", None, b"{}", b"", False)
    return Outcome(ids.next(), node_of(record.id), status, 0, attempt=record, counted_for=(1, 7), latency_ms=ms + 5)


async def counted(engine: AsyncEngine, table: sa.Table = MINUTE) -> dict[str, int]:
    """The sums by measure."""
    query = sa.select(table.c.measure, sa.func.sum(table.c.count)).group_by(table.c.measure)
    async with engine.connect() as connection:
        return {measure: int(count) for measure, count in await connection.execute(query)}


async def count(engine: AsyncEngine, *outcomes: Outcome) -> None:
    async with writing(engine) as connection:
        await connection.run_sync(count_up, [], outcomes)


async def test_receipts_events_and_bounces_are_counted_with_the_commit(
    world: World, ids: IdSource, ledger: Ledger
) -> None:
    first = arrival(ids, "email.bounced", "email.open", key="k")
    batch = [first, arrival(ids, "email.open"), arrival(ids, rejected=True)]
    await asyncio.gather(*(ledger.take_in(one) for one in batch))
    await ledger.take_in(arrival(ids, "email.bounced", key="k"))
    assert await counted(world.engine) == {
        "receipt.accepted": 2,
        "receipt.duplicate": 1,
        "receipt.rejected": 1,
        "event.email.bounced": 1,
        "event.email.open": 2,
        "bounce.hard": 1,
    }
    async with world.engine.connect() as connection:
        [place] = (
            await connection.execute(sa.select(MINUTE.c.kind, MINUTE.c.subject_id, MINUTE.c.minute).distinct())
        ).all()
    assert tuple(place) == ("source", 1, START_MS - START_MS % MINUTE_MS)


async def test_what_is_not_committed_is_not_counted(world: World, ids: IdSource, ledger: Ledger) -> None:
    def fail(_connection: sa.Connection) -> None:
        raise ValueError("a fault in a task")

    good = arrival(ids, "email.open")
    await asyncio.gather(ledger.take_in(good), ledger.run(fail), return_exceptions=True)
    assert await counted(world.engine) == {"receipt.accepted": 1, "event.email.open": 1}


async def test_a_receipt_that_is_read_again_counts_once_and_its_new_events_count(
    world: World, ids: IdSource, ledger: Ledger
) -> None:
    first = arrival(ids)
    await ledger.take_in(first)
    assert first.receipt is not None
    first.receipt.again = True
    await ledger.take_in(Arrival(first.receipt, [new_event(ids, first.receipt.id, "email.click", "")]))
    assert await counted(world.engine) == {"receipt.accepted": 1, "event.email.click": 1}


async def test_news_of_the_gateway_itself_counts_for_no_source(world: World, ids: IdSource, ledger: Ledger) -> None:
    event = new_event(ids, 1, "alert.fired", "")
    event.source_id = event.receipt_id = None
    await ledger.take_in(Arrival(None, [event]))
    assert await counted(world.engine) == {}


async def test_attempts_are_counted_by_outcome_and_duration(engine: AsyncEngine, ids: IdSource) -> None:
    await count(
        engine,
        attempt(ids),
        attempt(ids, "pending", 503),
        attempt(ids, "failed", 404),
        attempt(ids, "pending", None, kind="timeout", ms=15_000),
        Outcome(1, 1, "held", START_MS, counted_for=(1, 7)),
        Outcome(2, 1, "failed", START_MS, counted_for=(1, 7)),
    )
    sums = await counted(engine)
    assert {name: number for name, number in sums.items() if name[:4] in ("atte", "deli")} == {
        "attempt.delivered": 1,
        "attempt.5xx": 1,
        "attempt.4xx": 1,
        "attempt.timeout": 1,
        "delivery.failed": 2,
    }
    assert {name: number for name, number in sums.items() if name.startswith("duration")} == {
        "duration.08": 3,
        "duration.28": 1,
    }
    assert BOUNDS_MS[7] < 12 <= BOUNDS_MS[8]
    assert BOUNDS_MS[27] < 15_000 <= BOUNDS_MS[28]


async def test_nodes_count_side_by_side(engine: AsyncEngine, clock: FrozenClock) -> None:
    for node in (1, 2):
        for _ in range(3):
            await count(engine, attempt(IdSource(node, clock.ms)))
    async with engine.connect() as connection:
        query = sa.select(MINUTE.c.node, MINUTE.c.count).where(MINUTE.c.measure == "attempt.delivered")
        assert sorted(map(tuple, await connection.execute(query))) == [(1, 3), (2, 3)]


async def fold(engine: AsyncEngine, before: int) -> int:
    folded = 0
    while True:
        async with writing(engine) as connection:
            some = await connection.run_sync(partial(fold_minutes, before=before))
        folded += some
        if not some:
            return folded


async def test_old_minutes_become_hours_and_nothing_is_lost(world: World, ids: IdSource, clock: FrozenClock) -> None:
    await world.endpoint()
    async with writing(world.engine) as connection:
        await connection.execute(sa.text("UPDATE endpoint SET id = 7"))
    for _ in range(150):
        await count(world.engine, attempt(ids), attempt(IdSource(2, clock.ms)))
        clock.advance(60)
    before = await counted(world.engine)
    kept_from = START_MS - START_MS % HOUR_MS + 2 * HOUR_MS
    assert await fold(world.engine, kept_from) == 105 * 2 * 3
    hours, minutes = await counted(world.engine, HOUR), await counted(world.engine)
    assert {name: hours[name] + minutes[name] for name in before} == before
    async with world.engine.connect() as connection:
        assert (await connection.scalar(sa.select(sa.func.min(MINUTE.c.minute)))) == kept_from
        query = sa.select(HOUR.c.hour, HOUR.c.count).where(HOUR.c.measure == "attempt.delivered").order_by(HOUR.c.hour)
        assert [tuple(row) for row in await connection.execute(query)] == [
            (kept_from - 2 * HOUR_MS, 90),
            (kept_from - HOUR_MS, 120),
        ]


async def test_what_is_too_old_goes_day_by_day(world: World, ids: IdSource, clock: FrozenClock) -> None:
    await world.endpoint()
    async with writing(world.engine) as connection:
        await connection.execute(sa.text("UPDATE endpoint SET id = 7"))
    for _ in range(3):
        await count(world.engine, attempt(ids))
        clock.advance(days=1.5)
    await fold(world.engine, START_MS + 2 * 24 * HOUR_MS)
    removed = list[int]()
    async with writing(world.engine) as connection:
        while not removed or removed[-1]:
            removed.append(await connection.run_sync(partial(prune_rollups, before=clock.ms() - 24 * HOUR_MS)))
    assert removed == [3, 3, 3, 0]
    assert await counted(world.engine) == await counted(world.engine, HOUR) == {}
