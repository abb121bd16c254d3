"""Bulk jobs beside other traffic: their pace, their manners towards endpoints that are slow, and what ends them."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from app.bulk import Impossible, plans, work
from app.gateway import Gateway
from app.store.jobs import Job, Order, get_job, start_job
from app.store.log import DeliveryFilter, EventFilter, Span, list_deliveries, list_events
from tests.gateways import ENVIRONMENT, add_account, add_endpoint, opened, settings_for
from tests.servers import Answer, sink

pytestmark = pytest.mark.anyio


@pytest.fixture
async def gateway(database_url: str, tmp_path: Path) -> AsyncIterator[Gateway]:
    async with opened(settings_for(database_url, tmp_path)) as gateway:
        yield gateway


async def events(gateway: Gateway, number: int) -> None:
    account = await add_account(gateway, "mailgun")
    await asyncio.gather(*(account.post("delivered") for _ in range(number)))


def order(gateway: Gateway, kind: str = "replay", **fields: Any) -> Order:
    until = gateway.clock.now() + timedelta(seconds=1)
    return Order(**{"environment_id": ENVIRONMENT, "kind": kind, "until": until, "per_second": 10_000.0} | fields)


async def ended(gateway: Gateway, job: Job) -> Job:
    async with asyncio.timeout(20):
        while True:
            shown = await get_job(gateway.engine, ENVIRONMENT, job.id)
            assert shown is not None
            if shown.state != "running":
                return shown
            await asyncio.sleep(0.02)


async def open_deliveries(gateway: Gateway) -> int:
    page = await list_deliveries(gateway.engine, ENVIRONMENT, DeliveryFilter(status="pending"), Span(), 200)
    return len(page.rows)


async def test_every_event_arrives_with_its_own_id_step_by_step(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work, "STEP_DELIVERIES_MAX", 4)
    await events(gateway, 10)
    async with sink() as subscriber:
        await add_endpoint(gateway, subscriber.url, active=True)
        done = await ended(gateway, await gateway.bulk.order(order(gateway)))
        arrived = await subscriber.arrived(10)
    page = await list_events(gateway.engine, ENVIRONMENT, EventFilter(), Span(), 50)
    assert (done.state, done.done, done.total) == ("done", 10, 10)
    assert sorted(request.headers["webhook-id"] for request in arrived) == sorted(event.id for event in page.rows)


async def test_an_event_goes_to_all_its_endpoints_in_one_step(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work, "STEP_DELIVERIES_MAX", 2)
    await events(gateway, 3)
    for _ in range(3):
        await add_endpoint(gateway, "https://example.com/", active=False)
    done = await ended(gateway, await gateway.bulk.order(order(gateway)))
    assert (done.state, done.done, done.total) == ("done", 9, 9)


async def test_a_job_waits_while_its_endpoint_has_enough_to_do(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work, "STEP_DELIVERIES_MAX", 2)
    monkeypatch.setattr(work, "DUE_MAX", 5)
    monkeypatch.setattr(work, "CROWDED_WAIT_S", 0.02)
    await events(gateway, 40)
    async with sink(Answer(delay_s=0.02)) as subscriber:
        await add_endpoint(gateway, subscriber.url, max_in_flight=1)
        job = await gateway.bulk.order(order(gateway))
        most = 0
        while (await get_job(gateway.engine, ENVIRONMENT, job.id) or job).state == "running":
            most = max(most, await open_deliveries(gateway))
            await asyncio.sleep(0.01)
        await subscriber.arrived(40)
    assert most <= 6  # one step beyond the limit


async def test_what_comes_in_meanwhile_is_delivered_beside_a_slow_job(gateway: Gateway) -> None:
    await events(gateway, 3)
    async with sink() as subscriber:
        await add_endpoint(gateway, subscriber.url)
        job = await gateway.bulk.order(order(gateway, per_second=0.1))
        await (await add_account(gateway, "mailgun", "second")).post("delivered")
        await subscriber.arrived(2)
    assert (await get_job(gateway.engine, ENVIRONMENT, job.id) or job).state == "running"


async def test_a_job_goes_on_after_an_orderly_restart(database_url: str, tmp_path: Path) -> None:
    settings = settings_for(database_url, tmp_path)
    async with opened(settings) as gateway:
        await events(gateway, 3)
        await add_endpoint(gateway, "https://example.com/", active=False)
        job = await gateway.bulk.order(order(gateway, per_second=5))
    async with opened(settings) as gateway:
        done = await ended(gateway, job)
    assert (done.state, done.done) == ("done", 3)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_of_two_nodes_one_works_on_a_job_and_the_other_goes_on_when_it_ends(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work, "POLL_S", 0.02)
    settings = settings_for(database_url, tmp_path)
    async with opened(settings) as staying:
        async with opened(settings) as leaving:
            await events(leaving, 4)
            await add_endpoint(leaving, "https://example.com/", active=False)
            job = await leaving.bulk.order(order(leaving, per_second=5))
            first = await under_way(leaving, job)
            await asyncio.sleep(0.1)
            assert await worker_of(staying, job) == first
        done = await ended(staying, job)
    assert (done.state, done.done) == ("done", 4)


async def under_way(gateway: Gateway, job: Job) -> int:
    """The node that took the first step."""
    async with asyncio.timeout(10):
        while (node := await worker_of(gateway, job)) is None:
            await asyncio.sleep(0.01)
    return node


async def worker_of(gateway: Gateway, job: Job) -> int | None:
    return (await get_job(gateway.engine, ENVIRONMENT, job.id) or job).lease_node


async def test_a_preview_that_would_take_too_long_says_at_least(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    await events(gateway, 3)
    endpoint_id, _ = await add_endpoint(gateway, "https://example.com/", active=False)
    wanted = order(gateway, endpoint_id=endpoint_id)
    assert await gateway.plans.count(wanted) == (3, True)
    monkeypatch.setattr(plans, "COUNTED_AT_ONCE", 2)
    monkeypatch.setattr(plans, "COUNT_S_MAX", 1e-9)
    counted = await gateway.plans.count(wanted)
    assert counted == (0, False)
    done = await ended(gateway, await gateway.bulk.order(wanted))
    assert (done.total, done.total_exact, done.done) == (0, False, 3)


async def test_a_job_whose_endpoint_is_gone_is_impossible(gateway: Gateway) -> None:
    with pytest.raises(Impossible, match="no endpoint 7"):
        await gateway.bulk.order(order(gateway, endpoint_id=7))


async def test_a_job_that_breaks_the_gateway_ends_and_the_others_go_on(gateway: Gateway) -> None:
    await events(gateway, 1)
    await add_endpoint(gateway, "https://example.com/", active=False)
    broken = order(gateway, filters={"of_another_version": "x"})
    job = await start_job(gateway.engine, gateway.ids.next(), broken, 1, True, gateway.clock.now())
    other = await ended(gateway, await gateway.bulk.order(order(gateway)))
    failed = await ended(gateway, job)
    assert (failed.state, failed.error) == ("failed", "a fault of the gateway, which has logged it: TypeError")
    assert (other.state, other.done) == ("done", 1)
