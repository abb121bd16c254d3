"""The live stream without its wires: what is committed late, what is missed, and what costs nothing."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest
import sqlalchemy as sa

from app import stream
from app.gateway import Gateway
from app.store.ids import IdSource
from app.store.log import EventFilter
from app.store.tables import EventRow, table_of
from app.store.transactions import writing
from app.store.views import LiveEvent
from app.stream import SLOW, Dropped, Follower, TooManyFollowers
from tests.gateways import ENVIRONMENT, opened, settings_for

pytestmark = pytest.mark.anyio

ALL = EventFilter()
OTHER_NODE = 77
WAIT_S = 0.3


@pytest.fixture(autouse=True)
def counts_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """What would come twice comes while it is waited for."""
    monkeypatch.setattr(stream, "COUNT_PAUSE_S", 0.02)


async def commit(gateway: Gateway, *numbers: int, type_: str = "email.open") -> None:
    """As another node would: nobody rings."""
    rows = [
        {
            "id": number,
            "environment_id": ENVIRONMENT,
            "type": type_,
            "recipient": "ada@example.com",
            "email_id": "m1",
            "occurred_at": gateway.clock.now(),
            "dedup_key": number.to_bytes(8),
            "body": b"{}",
        }
        for number in numbers
    ]
    async with writing(gateway.engine) as connection:
        await connection.execute(sa.insert(table_of(EventRow)), rows)


async def taken(follower: Follower, count: int) -> list[int]:
    """The numbers of the next events, and a moment later of no other."""
    found = list[LiveEvent]()
    async with asyncio.timeout(10):
        while len(found) < count:
            found += await follower.events(WAIT_S)
    found += await follower.events(WAIT_S)
    return [event.id for event in found]


def numbers_of(gateway: Gateway, count: int, node: int = OTHER_NODE) -> Sequence[int]:
    source = IdSource(node, gateway.clock.ms)
    return [source.next() for _ in range(count)]


async def test_what_is_committed_after_a_later_number_is_not_missed(database_url: str, tmp_path: Path) -> None:
    async with opened(settings_for(database_url, tmp_path)) as gateway:
        follower = await gateway.stream.follow(ENVIRONMENT, ALL)
        first, late, newest = numbers_of(gateway, 3)
        await commit(gateway, first, newest)
        assert await taken(follower, 2) == [first, newest]
        await commit(gateway, late)
        assert await taken(follower, 1) == [late]
        assert await follower.events(WAIT_S) == []
        follower.leave()


async def test_what_is_committed_late_comes_by_its_own_ring(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "COUNT_PAUSE_S", 0.2)
    async with opened(settings_for(database_url, tmp_path, poll_interval_s=600)) as gateway:
        gateway.stream.several_nodes = True  # as it is with PostgreSQL, and with several workers on SQLite
        follower = await gateway.stream.follow(ENVIRONMENT, ALL)
        first, late, newest = numbers_of(gateway, 3)
        for number in (first, newest, late):
            await commit(gateway, number)
            gateway.stream.ring()
            assert await taken(follower, 1) == [number]
        follower.leave()


async def test_what_was_there_before_does_not_come_as_late(database_url: str, tmp_path: Path) -> None:
    async with opened(settings_for(database_url, tmp_path)) as gateway:
        before, after = numbers_of(gateway, 2)
        await commit(gateway, before)
        follower = await gateway.stream.follow(ENVIRONMENT, ALL)
        await commit(gateway, after)
        assert await taken(follower, 1) == [after]
        follower.leave()


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_who_resumes_gets_what_another_node_committed_late(database_url: str, tmp_path: Path) -> None:
    async with opened(settings_for(database_url, tmp_path)) as gateway:
        late, *_ = numbers_of(gateway, 1, node=OTHER_NODE)
        had, seen, missed = numbers_of(gateway, 3, node=OTHER_NODE + 1)
        await commit(gateway, had, seen, late, missed)
        follower = await gateway.stream.follow(ENVIRONMENT, ALL, after=seen)
        assert sorted(await taken(follower, 2)) == sorted([late, missed])
        follower.leave()


async def test_nothing_comes_twice_while_a_follower_catches_up(database_url: str, tmp_path: Path) -> None:
    async with opened(settings_for(database_url, tmp_path)) as gateway:
        numbers = numbers_of(gateway, 900)
        await commit(gateway, *numbers[:600])
        other = await gateway.stream.follow(ENVIRONMENT, ALL)
        follower = await gateway.stream.follow(ENVIRONMENT, ALL, after=numbers[9])
        committing = asyncio.create_task(_commit_slowly(gateway, numbers[600:]))
        assert sorted(await taken(follower, 890)) == numbers[10:]
        await committing
        for each in (other, follower):
            each.leave()


async def _commit_slowly(gateway: Gateway, numbers: Sequence[int]) -> None:
    for start in range(0, len(numbers), 10):
        await commit(gateway, *numbers[start : start + 10])
        gateway.stream.ring()


async def test_one_who_reads_slowly_is_dropped_and_the_others_are_not(database_url: str, tmp_path: Path) -> None:
    async with opened(settings_for(database_url, tmp_path, stream_waiting_max=50)) as gateway:
        slow = await gateway.stream.follow(ENVIRONMENT, ALL)
        quick = await gateway.stream.follow(ENVIRONMENT, ALL)
        picky = await gateway.stream.follow(ENVIRONMENT, EventFilter(type="email.bounced"))
        numbers = numbers_of(gateway, 60)
        await commit(gateway, *numbers[:30])
        assert await taken(quick, 30) == numbers[:30]
        await commit(gateway, *numbers[30:])
        assert await taken(quick, 30) == numbers[30:]
        with pytest.raises(Dropped) as dropped:
            await slow.events(WAIT_S)
        assert dropped.value.reason == SLOW
        assert await picky.events(WAIT_S) == []
        for each in (quick, picky):
            each.leave()


async def test_while_nobody_follows_nothing_is_read(database_url: str, tmp_path: Path) -> None:
    async with opened(settings_for(database_url, tmp_path)) as gateway:
        follower = await gateway.stream.follow(ENVIRONMENT, ALL)
        follower.leave()
        await asyncio.sleep(WAIT_S)
        statements = list[str]()
        sa.event.listen(
            gateway.engine.sync_engine, "before_cursor_execute", lambda *called: statements.append(called[2])
        )
        gateway.stream.ring()
        await asyncio.sleep(WAIT_S)
        assert [statement for statement in statements if "event.body" in statement] == []
        await commit(gateway, *numbers_of(gateway, 1))
        again = await gateway.stream.follow(ENVIRONMENT, ALL)
        (number,) = numbers_of(gateway, 1, node=OTHER_NODE + 1)
        await commit(gateway, number)
        assert await taken(again, 1) == [number]
        again.leave()


async def test_a_refused_follower_takes_no_place(database_url: str, tmp_path: Path) -> None:
    async with opened(settings_for(database_url, tmp_path, stream_clients_max=1)) as gateway:
        first = await gateway.stream.follow(ENVIRONMENT, ALL)
        with pytest.raises(TooManyFollowers, match="MAILWEIR_STREAM_CLIENTS_MAX"):
            await gateway.stream.follow(ENVIRONMENT, ALL)
        first.leave()
        second = await gateway.stream.follow(ENVIRONMENT, ALL)
        second.leave()
