"""Endpoints that fail: probed, slowed down, disabled and taken up again, and what is told about it."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from app.gateway import Gateway
from app.retry import BREAKER_FAILURES, DISABLE_FAILURES, probe_in_s
from app.store.endpoints import EndpointChange, change_endpoint, enable_endpoint, get_endpoint
from app.store.health import DISABLED, FAILING, RECOVERED, WELL, Health, Result, after
from app.store.tables import AttemptRow, DeliveryRow, EndpointHealthRow, table_of
from app.web.resending import retry
from tests.conftest import FrozenClock
from tests.gateways import ENVIRONMENT, Account, add_account, add_endpoint, opened, settings_for
from tests.servers import Answer, Sink
from tests.servers import sink as serve

pytestmark = pytest.mark.anyio

DELIVERY, ATTEMPT, HEALTH = (table_of(row) for row in (DeliveryRow, AttemptRow, EndpointHealthRow))
BROKEN = Answer(500)


@pytest.fixture
async def gateway(database_url: str, tmp_path: Path, clock: FrozenClock) -> AsyncIterator[Gateway]:
    async with opened(settings_for(database_url, tmp_path), clock) as gateway:
        yield gateway


async def failures(gateway: Gateway) -> int:
    async with gateway.engine.connect() as connection:
        return (await connection.execute(sa.select(HEALTH.c.failures))).scalar() or 0


async def until_failures(gateway: Gateway, count: int) -> None:
    async with asyncio.timeout(10):
        while await failures(gateway) != count:
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.05)  # it is committed: now the sender hears of it


async def attempts_of_deliveries(gateway: Gateway) -> list[int]:
    query = sa.select(DELIVERY.c.attempts).order_by(DELIVERY.c.id)
    async with gateway.engine.connect() as connection:
        return list((await connection.execute(query)).scalars())


async def statuses(gateway: Gateway) -> set[str]:
    async with gateway.engine.connect() as connection:
        return set((await connection.execute(sa.select(DELIVERY.c.status))).scalars())


async def until_statuses(gateway: Gateway, *expected: str) -> None:
    async with asyncio.timeout(10):
        while await statuses(gateway) != set(expected):
            await asyncio.sleep(0.01)


async def break_it(gateway: Gateway, account: Account, sink: Sink) -> None:
    """As many failed first attempts as it takes."""
    for number in range(BREAKER_FAILURES):
        await account.post("opened")
        await sink.arrived(number + 1)
        await until_failures(gateway, number + 1)


# The rule alone.


def test_after_five_failures_only_probes_count_and_their_waits_double() -> None:
    health = after(WELL, [Result(at=0, error="answered 500")] * 64)
    assert (health.failures, health.news, health.resume_at) == (BREAKER_FAILURES, FAILING, 5_000)
    for number, wait_s in enumerate((10, 20, 40, 80, 160, 320, 640, 1280, 1800, 1800), BREAKER_FAILURES + 1):
        health = after(health, [Result(at=1_000, error="answered 500", probe=True)])
        assert (health.failures, health.resume_at) == (number, 1_000 + wait_s * 1000)


def test_any_success_ends_it() -> None:
    failing = after(WELL, [Result(at=7, error="refused")] * BREAKER_FAILURES)
    recovered = after(failing, [Result(at=9, error=None)])
    assert (recovered.failures, recovered.resume_at, recovered.news) == (0, None, RECOVERED)
    assert after(after(WELL, [Result(at=7, error="refused")] * 4), [Result(at=9, error=None)]) == WELL


def test_it_takes_the_better_part_of_a_day_of_probes_to_be_disabled() -> None:
    health = after(WELL, [Result(at=0, error="refused")] * BREAKER_FAILURES)
    waited_s = 0.0
    while health.news != DISABLED:
        waited_s += probe_in_s(health.failures)
        health = after(health, [Result(at=0, error="refused", probe=True)])
    assert health.failures == DISABLE_FAILURES
    assert 18 * 3600 < waited_s < 20 * 3600


def test_a_pause_is_kept_when_it_is_longer_than_the_wait_for_a_probe() -> None:
    assert after(WELL, [Result(at=0, error="answered 429", resume_at=60_000)]).resume_at == 60_000
    failing = Health(failures=BREAKER_FAILURES, resume_at=5_000)
    probe = Result(at=0, error="answered 429", probe=True, resume_at=60_000)
    assert after(failing, [probe]).resume_at == 60_000


# The gateway.


async def test_one_delivery_probes_and_the_rest_waits_without_spending_attempts(
    gateway: Gateway, clock: FrozenClock
) -> None:
    account = await add_account(gateway, "mailgun")
    async with serve(BROKEN) as sink:
        await add_endpoint(gateway, sink.url, max_in_flight=10)
        await break_it(gateway, account, sink)
        await asyncio.gather(*(account.post("opened") for _ in range(10)))
        for number in range(BREAKER_FAILURES, BREAKER_FAILURES + 3):
            await asyncio.sleep(0.1)
            assert len(sink.requests) == number
            clock.advance(probe_in_s(number) + 0.001)
            await sink.arrived(number + 1)
            await until_failures(gateway, number + 1)
        attempts = await attempts_of_deliveries(gateway)
    assert sum(attempts) == BREAKER_FAILURES + 3
    assert attempts[BREAKER_FAILURES:].count(0) >= 7


async def test_a_burst_of_failures_in_flight_disables_nobody(gateway: Gateway) -> None:
    account = await add_account(gateway, "mailgun")
    async with serve(Answer(500, delay_s=0.3)) as sink:
        endpoint_id, _ = await add_endpoint(gateway, sink.url, max_in_flight=60)
        await asyncio.gather(*(account.post("opened") for _ in range(55)))
        await sink.arrived(55)
        await until_failures(gateway, BREAKER_FAILURES)
        await asyncio.sleep(0.1)
        endpoint = await get_endpoint(gateway.engine, ENVIRONMENT, endpoint_id)
    assert endpoint is not None
    assert endpoint.active
    assert await failures(gateway) == BREAKER_FAILURES


async def test_a_probe_that_succeeds_lets_everything_go_on_and_both_changes_are_told(
    gateway: Gateway, clock: FrozenClock
) -> None:
    account = await add_account(gateway, "mailgun")
    async with serve(*[BROKEN] * BREAKER_FAILURES, Answer(200)) as sink, serve() as watcher:
        await add_endpoint(gateway, watcher.url, events="endpoint.failing,endpoint.recovered")
        endpoint_id, _ = await add_endpoint(gateway, sink.url, events="email.*")
        await break_it(gateway, account, sink)
        [failing] = await watcher.arrived(1)
        await asyncio.gather(*(account.post("opened") for _ in range(10)))
        clock.advance(40)  # past the probe, and past the retries of the first five
        await until_statuses(gateway, "delivered")
        _, recovered = await watcher.arrived(2)
    assert await failures(gateway) == 0
    assert failing.headers["x-webhook-event"] == "endpoint.failing"
    assert failing.json()["data"]["endpoint"] == {
        "id": endpoint_id,
        "url": sink.url.removesuffix("/hook"),
        "description": "",
    }
    assert failing.json()["data"]["numbers"] == {"failed_attempts": BREAKER_FAILURES}
    assert "answered 500" in failing.json()["data"]["summary"]
    assert recovered.json()["type"] == "endpoint.recovered"
    assert recovered.json()["data"]["numbers"] == {"failing_s": 40}


async def test_a_restart_forgets_nothing(database_url: str, tmp_path: Path, clock: FrozenClock) -> None:
    settings = settings_for(database_url, tmp_path)
    async with serve(*[BROKEN] * BREAKER_FAILURES, Answer(200)) as sink:
        async with opened(settings, clock) as gateway:
            account = await add_account(gateway, "mailgun")
            await add_endpoint(gateway, sink.url)
            await break_it(gateway, account, sink)
            await account.post("opened")
        clock.advance(4)
        async with opened(settings, clock) as gateway:
            await asyncio.sleep(0.2)
            assert len(sink.requests) == BREAKER_FAILURES
            clock.advance(2)
            await sink.arrived(BREAKER_FAILURES + 1)


async def test_fifty_failures_in_a_row_disable_and_enabling_begins_anew(gateway: Gateway, clock: FrozenClock) -> None:
    account = await add_account(gateway, "mailgun")
    async with serve(*[BROKEN] * DISABLE_FAILURES, Answer(200)) as sink, serve() as watcher:
        await add_endpoint(gateway, watcher.url, events="endpoint.disabled")
        endpoint_id, _ = await add_endpoint(gateway, sink.url, events="email.*")
        await break_it(gateway, account, sink)
        await asyncio.gather(*(account.post("opened") for _ in range(DISABLE_FAILURES)))
        for number in range(BREAKER_FAILURES, DISABLE_FAILURES):
            await until_failures(gateway, number)
            clock.advance(probe_in_s(number) + 0.001)
        [told] = await watcher.arrived(1)
        await account.post("clicked")
        async with asyncio.timeout(10):
            while "held" not in await statuses(gateway):
                await asyncio.sleep(0.01)
        endpoint = await get_endpoint(gateway.engine, ENVIRONMENT, endpoint_id)
        assert endpoint is not None
        assert not endpoint.active
        assert endpoint.disabled_reason == "50 attempts in a row have failed; the last one: answered 500"
        assert endpoint.disabled_reason in told.json()["data"]["summary"]
        await enable_endpoint(gateway.engine, ENVIRONMENT, endpoint_id, clock.now())
        gateway.sender.bell.ring()
        await sink.arrived(DISABLE_FAILURES + 1)
        assert await failures(gateway) == 0


async def test_another_url_is_tried_at_once(gateway: Gateway) -> None:
    account = await add_account(gateway, "mailgun")
    async with serve(BROKEN) as broken, serve() as mended:
        endpoint_id, _ = await add_endpoint(gateway, broken.url)
        await break_it(gateway, account, broken)
        await account.post("clicked")
        change = EndpointChange(url=mended.url)
        await change_endpoint(gateway.engine, gateway.vault, ENVIRONMENT, endpoint_id, change, gateway.clock.now())
        await gateway.registry.reload()
        gateway.sender.bell.ring()
        await mended.arrived(1)


@pytest.mark.parametrize("by", ["enabling", "another URL"])
async def test_who_was_told_that_an_endpoint_fails_is_told_once_that_a_person_ended_it(
    gateway: Gateway, clock: FrozenClock, by: str
) -> None:
    account = await add_account(gateway, "mailgun")
    async with serve(BROKEN) as broken, serve() as mended, serve() as watcher:
        await add_endpoint(gateway, watcher.url, events="endpoint.failing,endpoint.recovered")
        endpoint_id, _ = await add_endpoint(gateway, broken.url, events="email.*")
        await break_it(gateway, account, broken)
        await watcher.arrived(1)
        clock.advance(3)
        change = EndpointChange(active=True) if by == "enabling" else EndpointChange(url=mended.url)
        await change_endpoint(gateway.engine, gateway.vault, ENVIRONMENT, endpoint_id, change, clock.now())
        gateway.sender.bell.ring()
        _, recovered = await watcher.arrived(2)
        clock.advance(60)
        await asyncio.sleep(0.1)
        told = recovered.json()
        assert told["type"] == "endpoint.recovered"
        assert told["data"]["numbers"] == {"failing_s": 3}
        assert told["data"]["summary"].endswith(
            "was enabled by hand, and is sent to again."
            if by == "enabling"
            else "has another URL now, and is sent to again."
        )
        assert [request.json()["type"] for request in watcher.requests].count("endpoint.recovered") == 1


async def test_what_a_person_sends_again_probes_at_once(gateway: Gateway) -> None:
    account = await add_account(gateway, "mailgun")
    async with serve(*[BROKEN] * BREAKER_FAILURES, Answer(200)) as sink:
        await add_endpoint(gateway, sink.url)
        await break_it(gateway, account, sink)
        async with gateway.engine.connect() as connection:
            number = (await connection.execute(sa.select(sa.func.min(DELIVERY.c.id)))).scalar_one()
        await retry(gateway, ENVIRONMENT, number)
        await sink.arrived(BREAKER_FAILURES + 1)
        await until_failures(gateway, 0)


@pytest.mark.parametrize(
    ("answer", "pause_s"),
    [(Answer(429, {"Retry-After": "60"}), 60), (Answer(429), 5), (Answer(503, {"Retry-After": "8"}), 8)],
)
async def test_an_endpoint_that_asks_for_a_pause_gets_one_for_all_its_deliveries(
    gateway: Gateway, clock: FrozenClock, answer: Answer, pause_s: int
) -> None:
    account = await add_account(gateway, "mailgun")
    async with serve(answer, Answer(200)) as sink:
        await add_endpoint(gateway, sink.url, max_in_flight=1)
        await account.post("opened")
        await until_failures(gateway, 1)
        await account.post("clicked")
        clock.advance(pause_s - 0.5)
        await asyncio.sleep(0.15)
        assert len(sink.requests) == 1
        clock.advance(1)
        await sink.arrived(2)


async def test_a_healthy_endpoint_leaves_no_trace(gateway: Gateway) -> None:
    account = await add_account(gateway, "mailgun")
    async with serve() as sink:
        await add_endpoint(gateway, sink.url)
        await account.post("opened")
        await until_statuses(gateway, "delivered")
    async with gateway.engine.connect() as connection:
        assert (await connection.execute(sa.select(sa.func.count()).select_from(HEALTH))).scalar() == 0
