"""The one writer: commits are shared, one bad row harms no other, and a store that is away loses nothing."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import suppress
from functools import partial

import msgspec
import pytest
import sqlalchemy as sa
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine

from app.store import ledger as ledger_module
from app.store.accounts import first_start
from app.store.arrivals import Arrival, NewDelivery, NewEvent, NewReceipt
from app.store.engine import Writer, is_sqlite, open_writer
from app.store.ids import IdSource
from app.store.leases import Claim, claim_due, find_work, return_lapsed
from app.store.ledger import Ledger, StoreUnavailable
from app.store.outcomes import Outcome, record_outcomes
from app.store.roster import Versions
from app.store.tables import ChangeForbidden, DeliveryRow, EndpointRow, EventRow, ReceiptRow, SourceRow, table_of
from tests.conftest import FrozenClock

pytestmark = pytest.mark.anyio

EVENT, RECEIPT, DELIVERY = table_of(EventRow), table_of(ReceiptRow), table_of(DeliveryRow)
ENDPOINT = table_of(EndpointRow)
NODE = 1


class OneEndpoint:
    """Owes every event to endpoint 1, pending."""

    def __init__(self, ids: IdSource, clock: FrozenClock) -> None:
        self._ids = ids
        self._clock = clock
        self.told: list[str] = []

    versions: Versions = ()

    async def reload(self) -> None:
        self.versions = ((1, 1),)

    def owed(self, event: NewEvent) -> list[NewDelivery]:
        return [NewDelivery(self._ids.next(), event, 1, "pending", due_at=self._clock.ms())]

    def committed(self, deliveries: Sequence[NewDelivery]) -> None:
        self.told.append(f"committed {len(deliveries)}")

    def dropped(self, deliveries: Sequence[NewDelivery]) -> None:
        self.told.append(f"dropped {len(deliveries)}")


@pytest.fixture(autouse=True)
async def source_and_endpoint(engine: AsyncEngine, clock: FrozenClock) -> None:
    await first_start(engine, clock, "mw_live_for_the_tests")
    now = clock.now()
    common = {"environment_id": 1, "secrets_sealed": b"", "created_at": now, "updated_at": now}
    async with engine.begin() as connection:
        source = {"name": "s", "provider": "generic", "options": {}, "verification": "none"}
        await connection.execute(sa.insert(table_of(SourceRow)).values(common | source))
        endpoint = {"url": "http://127.0.0.1/", "events": "*", "headers": {}, "active": True}
        await connection.execute(sa.insert(table_of(EndpointRow)).values(common | endpoint))


@pytest.fixture
def router(ids: IdSource, clock: FrozenClock) -> OneEndpoint:
    return OneEndpoint(ids, clock)


def new_ledger(writer: Writer, router: OneEndpoint, *, waiting_max: int = 50, timeout_s: float = 5) -> Ledger:
    return Ledger(
        writer,
        router,
        items_max=100,
        waiting_max=waiting_max,
        waiting_bytes_max=10_000,
        timeout_s=timeout_s,
        on_commit=lambda _writes, _seconds: None,
    )


@pytest.fixture
async def ledger(engine: AsyncEngine, router: OneEndpoint) -> AsyncIterator[Ledger]:
    writer = await open_writer(engine)
    ledger = Ledger(
        writer,
        router,
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


def arrival(ids: IdSource, key: str, *, receipt_id: int | None = None) -> Arrival:
    receipt = NewReceipt(receipt_id or ids.next(), 1, 1, "POST", "http://x/", b"{}", b"{}")
    dedup_key = key.encode().ljust(16, b".")
    event = NewEvent(ids.next(), 1, 1, receipt.id, "email.open", "a@b.c", "m1", 1, dedup_key, b"{}")
    return Arrival(receipt, [event])


async def count(engine: AsyncEngine, table: sa.Table) -> int:
    async with engine.connect() as connection:
        return (await connection.execute(sa.select(sa.func.count()).select_from(table))).scalar_one()


async def test_requests_that_wait_together_share_a_commit(
    engine: AsyncEngine, ids: IdSource, ledger: Ledger, router: OneEndpoint
) -> None:
    arrivals = [arrival(ids, f"k{number}") for number in range(20)]
    await asyncio.gather(*(ledger.take_in(one) for one in arrivals))
    assert {one.status for one in arrivals} == {"accepted"}
    assert sum(told.startswith("committed") for told in router.told) <= 3
    assert [await count(engine, table) for table in (RECEIPT, EVENT, DELIVERY)] == [20, 20, 20]


async def test_of_two_who_tell_the_same_news_one_is_stored(
    engine: AsyncEngine, ids: IdSource, ledger: Ledger, router: OneEndpoint
) -> None:
    def is_first(connection: sa.Connection) -> bool:
        paused = sa.update(ENDPOINT).where(ENDPOINT.c.id == 1, ENDPOINT.c.active).values(active=False)
        return connection.execute(paused).rowcount == 1

    news = [Arrival(None, arrival(ids, f"k{number}").events, condition=is_first) for number in range(3)]
    await asyncio.gather(*(ledger.take_in(one) for one in [*news, arrival(ids, "another")]))
    assert sorted(len(one.stored) for one in news) == [0, 0, 1]
    assert sorted(one.status for one in news) == ["", "", "accepted"]
    assert [await count(engine, table) for table in (RECEIPT, EVENT, DELIVERY)] == [1, 2, 2]
    assert "dropped 2" in router.told


async def test_a_condition_is_taken_back_with_what_could_not_be_committed(
    engine: AsyncEngine, ids: IdSource, ledger: Ledger, store_away: dict[str, bool]
) -> None:
    def rename(connection: sa.Connection) -> bool:
        named = sa.update(ENDPOINT).where(ENDPOINT.c.description == "").values(description="told")
        return connection.execute(named).rowcount == 1

    store_away["now"] = True
    with pytest.raises(StoreUnavailable):
        await ledger.take_in(Arrival(None, arrival(ids, "k1").events, condition=rename))
    store_away["now"] = False
    again = Arrival(None, arrival(ids, "k2").events, condition=rename)
    await ledger.take_in(again)
    assert len(again.stored) == 1


async def test_one_bad_row_harms_no_other(engine: AsyncEngine, ids: IdSource, ledger: Ledger) -> None:
    taken = arrival(ids, "taken")
    await ledger.take_in(taken)
    assert taken.receipt is not None
    good = [arrival(ids, f"k{number}") for number in range(5)]
    bad = arrival(ids, "bad", receipt_id=taken.receipt.id)
    results = await asyncio.gather(
        *(ledger.take_in(one) for one in [*good[:2], bad, *good[2:]]), return_exceptions=True
    )
    assert [type(result) for result in results].count(StoreUnavailable) == 1
    assert isinstance(results[2], StoreUnavailable)
    assert await count(engine, EVENT) == 6


async def test_more_than_may_wait_is_refused_at_once(engine: AsyncEngine, ids: IdSource, router: OneEndpoint) -> None:
    writer = await open_writer(engine)
    ledger = new_ledger(writer, router, waiting_max=2, timeout_s=0.3)
    waiting = [asyncio.create_task(ledger.take_in(arrival(ids, f"k{number}"))) for number in range(3)]
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(isinstance(result, StoreUnavailable) for result in results)
    assert "MAILWEIR_INBOUND_WAITING_" in str(results[2])
    await writer.close()


async def test_more_bytes_than_may_wait_are_refused_at_once(
    engine: AsyncEngine, ids: IdSource, router: OneEndpoint
) -> None:
    writer = await open_writer(engine)
    ledger = new_ledger(writer, router, timeout_s=0.05)
    large = arrival(ids, "large")
    large.events[0].body = b"x" * 10_000
    results = await asyncio.gather(ledger.take_in(large), ledger.take_in(arrival(ids, "small")), return_exceptions=True)
    assert "MAILWEIR_INBOUND_WAITING_" in str(results[1])
    await writer.close()


async def test_the_expected_wait_is_judged_by_a_commit_that_left_some_waiting(
    engine: AsyncEngine, ids: IdSource, router: OneEndpoint
) -> None:
    writer = await open_writer(engine)
    ledger = new_ledger(writer, router, waiting_max=500)
    waits = list[float]()

    async def wait_and_look(number: int) -> None:
        await ledger.take_in(arrival(ids, f"k{number}"))
        waits.append(ledger.expected_wait_s())

    waiting = [asyncio.create_task(wait_and_look(number)) for number in range(200)]
    await asyncio.sleep(0)
    assert ledger.expected_wait_s() == 0.0, "nothing is known yet"
    ledger.start()
    await asyncio.gather(*waiting)
    await ledger.run(nothing)
    assert max(waits) > 0.0
    await asyncio.sleep(0.05)
    assert ledger.expected_wait_s() == 0.0, "the last commit left nothing waiting"
    await ledger.close()
    await writer.close()


async def test_a_commit_that_hangs_is_waited_for_as_long_as_it_has_hung(
    ledger: Ledger, store_away: dict[str, bool]
) -> None:
    store_away["now"] = True
    hanging = asyncio.create_task(ledger.run(nothing))
    async with asyncio.timeout(5):
        while not ledger.expected_wait_s():
            await asyncio.sleep(0)
    store_away["now"] = False
    with suppress(StoreUnavailable):
        await hanging


@pytest.fixture
def store_away(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, bool]]:
    """A store whose commits fail while `away["now"]` is true, as they do on a full disk."""
    monkeypatch.setattr(ledger_module, "STORE_RETRY_WAIT_S", 0.01)
    away = {"now": False}

    def refuse(_connection: sa.Connection) -> None:
        if away["now"]:
            raise OperationalError("COMMIT", {}, Exception("database or disk is full"))

    sa.event.listen(sa.Engine, "commit", refuse)
    yield away
    sa.event.remove(sa.Engine, "commit", refuse)


async def test_a_store_that_is_away_is_told_at_once_and_comes_back_by_itself(
    engine: AsyncEngine, ids: IdSource, ledger: Ledger, router: OneEndpoint, store_away: dict[str, bool]
) -> None:
    store_away["now"] = True
    with pytest.raises(StoreUnavailable):
        await ledger.take_in(arrival(ids, "k1"))
    assert "dropped 1" in router.told
    assert "committed 1" not in router.told
    store_away["now"] = False
    again = arrival(ids, "k1")
    await ledger.take_in(again)
    assert again.status == "accepted"
    assert await count(engine, EVENT) == 1


async def test_outcomes_wait_until_the_store_is_back(
    engine: AsyncEngine, ids: IdSource, ledger: Ledger, clock: FrozenClock, store_away: dict[str, bool]
) -> None:
    await ledger.take_in(arrival(ids, "k1"))
    [claimed] = await ledger.run(lambda connection: claim_due(connection, claim(clock)))
    store_away["now"] = True
    ledger.record(Outcome(claimed.delivery_id, NODE, "delivered", due_at=clock.ms(), finished_at=clock.ms()))
    await asyncio.sleep(0.1)
    store_away["now"] = False
    await ledger.run(nothing)
    async with engine.connect() as connection:
        assert (await connection.execute(sa.select(DELIVERY.c.status))).scalar_one() == "delivered"


def nothing(_connection: sa.Connection) -> None:
    pass


def claim(clock: FrozenClock, *, node: int = NODE, limit: int = 10) -> Claim:
    return Claim(1, limit, node, now=clock.ms(), lease_until=clock.ms() + 30_000)


async def test_a_claim_takes_what_is_due_first_and_takes_it_once(
    ids: IdSource, ledger: Ledger, clock: FrozenClock
) -> None:
    for number in range(3):
        await ledger.take_in(arrival(ids, f"k{number}"))
        clock.advance(1)
    one = await ledger.run(lambda connection: claim_due(connection, claim(clock, limit=2)))
    other = await ledger.run(lambda connection: claim_due(connection, claim(clock, node=2)))
    assert (len(one), len(other)) == (2, 1)
    assert [row.delivery_id for row in [*one, *other]] == sorted(row.delivery_id for row in [*one, *other])


async def test_a_claim_takes_as_many_bytes_as_it_may_and_always_one(
    engine: AsyncEngine, ids: IdSource, ledger: Ledger, clock: FrozenClock
) -> None:
    for number in range(5):
        large = arrival(ids, f"k{number}")
        large.events[0].body = b"1" * 1_000
        await ledger.take_in(large)
        clock.advance(1)
    sized = [msgspec.structs.replace(claim(clock), bytes_max=room) for room in (2_999, 0, 10_000)]
    taken = [await ledger.run(partial(claim_due, claim=one)) for one in sized]
    assert [len(claimed) for claimed in taken] == [2, 1, 2]
    ids_taken = [delivery.delivery_id for claimed in taken for delivery in claimed]
    assert ids_taken == sorted(ids_taken)


async def test_two_claims_at_once_never_share_a_delivery(
    engine: AsyncEngine, ids: IdSource, ledger: Ledger, clock: FrozenClock
) -> None:
    if is_sqlite(engine):
        pytest.skip("SQLite has one writer, so that no two claims run at once")
    await asyncio.gather(*(ledger.take_in(arrival(ids, f"k{number}")) for number in range(10)))

    async def take(node: int) -> list[int]:
        async with engine.begin() as connection:
            taken = await connection.run_sync(lambda sync: claim_due(sync, claim(clock, node=node, limit=4)))
            await asyncio.sleep(0.05)
            return [row.delivery_id for row in taken]

    taken = [number for numbers in await asyncio.gather(*(take(node) for node in (1, 2, 3))) for number in numbers]
    assert len(taken) == len(set(taken)) == 10


async def test_a_lost_lease_leaves_the_delivery_to_its_new_node(
    engine: AsyncEngine, ids: IdSource, ledger: Ledger, clock: FrozenClock
) -> None:
    await ledger.take_in(arrival(ids, "k1"))
    [claimed] = await ledger.run(lambda connection: claim_due(connection, claim(clock)))
    assert (await find_work(engine)).first_lease_end == clock.ms() + 30_000
    clock.advance(31)
    assert await ledger.run(lambda connection: return_lapsed(connection, clock.ms())) == 1
    await ledger.run(lambda connection: claim_due(connection, claim(clock, node=2)))
    ledger.record(Outcome(claimed.delivery_id, NODE, "delivered", due_at=clock.ms(), finished_at=clock.ms()))
    await ledger.run(nothing)
    async with engine.connect() as connection:
        row = (await connection.execute(sa.select(DELIVERY.c.status, DELIVERY.c.lease_node))).one()
    assert tuple(row) == ("sending", 2)


async def test_a_change_that_the_state_table_forbids_is_refused(engine: AsyncEngine, clock: FrozenClock) -> None:
    async with engine.begin() as connection:
        with pytest.raises(ChangeForbidden, match="sending cannot become sending"):
            await connection.run_sync(record_outcomes, [Outcome(1, NODE, "sending", due_at=clock.ms())])


async def test_whoever_stopped_waiting_is_not_written(engine: AsyncEngine, ids: IdSource, router: OneEndpoint) -> None:
    writer = await open_writer(engine)
    ledger = new_ledger(writer, router, waiting_max=9, timeout_s=0.3)
    with pytest.raises(StoreUnavailable, match="MAILWEIR_COMMIT_TIMEOUT_S"):
        await ledger.take_in(arrival(ids, "late"))
    ledger.start()
    await ledger.take_in(arrival(ids, "in time"))
    await ledger.close()
    await writer.close()
    assert await count(engine, EVENT) == 1
