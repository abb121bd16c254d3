"""Many events in one request: when it goes, what it holds, what its answer means for each of them."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from standardwebhooks import Webhook

from app.attempts import NO_TIME
from app.batches import named_as_failed
from app.gateway import Gateway
from app.lanes import BATCH_BYTES_MAX, Item, Lane
from app.outcome import PostOutcome
from app.registry import BatchLimits
from app.retry import BREAKER_FAILURES, probe_in_s
from app.store.endpoints import EndpointChange, change_endpoint
from app.store.ids import EVENT, parse_id
from app.store.log import get_delivery
from app.store.tables import AttemptRow, DeliveryRow, EndpointHealthRow, table_of
from tests.conftest import FrozenClock
from tests.gateways import ENVIRONMENT, Account, add_account, add_endpoint, opened, settings_for
from tests.servers import Answer, Received, Sink
from tests.servers import sink as serve

pytestmark = pytest.mark.anyio

DELIVERY, ATTEMPT, HEALTH = (table_of(row) for row in (DeliveryRow, AttemptRow, EndpointHealthRow))
BATCHED: dict[str, Any] = {"delivery": "batch", "batch_max_wait_ms": 60_000}
BROKEN = Answer(500)


@pytest.fixture
async def gateway(database_url: str, tmp_path: Path, clock: FrozenClock) -> AsyncIterator[Gateway]:
    async with opened(settings_for(database_url, tmp_path, lease_margin_s=100.0), clock) as gateway:
        yield gateway


@pytest.fixture
async def sink() -> AsyncIterator[Sink]:
    async with serve() as sink:
        yield sink


async def post(account: Account, count: int, recipient: str = "ada@example.com") -> None:
    await asyncio.gather(*(account.post("opened", recipient=recipient) for _ in range(count)))


def ids_in(request: Received) -> list[str]:
    return [event["id"] for event in request.json()]


async def rows(gateway: Gateway) -> list[Any]:
    async with gateway.engine.connect() as connection:
        return list(await connection.execute(sa.select(DELIVERY).order_by(DELIVERY.c.id)))


async def until(gateway: Gateway, *statuses: str) -> list[Any]:
    async with asyncio.timeout(15):
        while True:
            found = await rows(gateway)
            if [row.status for row in found] == list(statuses):
                return found
            await asyncio.sleep(0.01)


def failing(*ids: str) -> Answer:
    return Answer(200, body=json.dumps({"failed": ids}).encode())


async def test_a_full_batch_goes_at_once_and_verifies_as_one(database_url: str, tmp_path: Path, sink: Sink) -> None:
    async with opened(settings_for(database_url, tmp_path)) as gateway:
        account = await add_account(gateway, "mailgun")
        _, secret = await add_endpoint(gateway, sink.url, batch_max_events=5, **BATCHED)
        await post(account, 5)
        [request] = await sink.arrived(1)
        events: Any = Webhook(secret).verify(request.body, request.headers)
        assert len({event["id"] for event in events}) == 5
        assert all(parse_id(EVENT, event["id"]) for event in events)
        assert request.headers["webhook-id"].startswith("bat_")
        assert (request.headers["x-webhook-event"], request.headers["x-webhook-attempt"]) == ("batch", "1")
        await until(gateway, *["delivered"] * 5)


async def test_an_event_waits_for_others_as_long_as_it_may(gateway: Gateway, sink: Sink, clock: FrozenClock) -> None:
    account = await add_account(gateway, "mailgun")
    await add_endpoint(gateway, sink.url, delivery="batch", batch_max_wait_ms=50)
    await post(account, 1)
    clock.advance(0.03)
    await post(account, 2)
    await asyncio.sleep(0.15)
    assert not sink.requests
    clock.advance(0.03)
    [request] = await sink.arrived(1)
    assert len(ids_in(request)) == 3


async def test_what_is_more_than_a_batch_goes_in_several(gateway: Gateway, sink: Sink, clock: FrozenClock) -> None:
    account = await add_account(gateway, "mailgun")
    await add_endpoint(gateway, sink.url, delivery="batch", batch_max_events=4, batch_max_wait_ms=20)
    await post(account, 10)
    await sink.arrived(2)
    clock.advance(1)
    requests = await sink.arrived(3)
    assert sorted(len(ids_in(request)) for request in requests) == [2, 4, 4]
    assert len({number for request in requests for number in ids_in(request)}) == 10


async def test_an_answer_names_what_has_failed_and_that_alone_comes_again(
    gateway: Gateway, sink: Sink, clock: FrozenClock
) -> None:
    def decide(request: Received) -> Answer:
        return failing(ids_in(request)[1], "evt_unknown", "nonsense") if len(ids_in(request)) == 3 else Answer(200)

    sink.decide = decide
    account = await add_account(gateway, "mailgun")
    await add_endpoint(gateway, sink.url, batch_max_events=3, retry_on=["5xx"], **BATCHED)
    await post(account, 3)
    _, failed, _ = await until(gateway, "delivered", "pending", "delivered")
    assert (failed.attempts, failed.status_code) == (1, 200)
    assert failed.error == "the answer to the batch names it as failed"
    async with gateway.engine.connect() as connection:
        assert (await connection.execute(sa.select(sa.func.count()).select_from(HEALTH))).scalar() == 0
    async with asyncio.timeout(15):
        while len(sink.requests) < 2:  # first it is due, and then it waits for company
            clock.advance(7)
            await asyncio.sleep(0.05)
    _, again = sink.requests
    assert ids_in(again) == [ids_in(sink.requests[0])[1]]
    assert again.headers["x-webhook-attempt"] == "2"
    assert again.headers["webhook-id"] != sink.requests[0].headers["webhook-id"]
    await until(gateway, *["delivered"] * 3)


@pytest.mark.parametrize(
    ("status", "body", "named"),
    [
        (200, b'{"failed": ["evt_1", 7, null]}', {"evt_1"}),
        (204, b"", set()),
        (200, b"ok", set()),
        (200, b'["evt_1"]', set()),
        (200, b'{"failed": "evt_1"}', set()),
        (200, b'{"failed": ["evt_\xff"]}', set()),
        (500, b'{"failed": ["evt_1"]}', set()),
        (None, b"", set()),
    ],
)
def test_only_a_list_in_an_answer_of_2xx_names_what_has_failed(
    status: int | None, body: bytes, named: set[str]
) -> None:
    assert named_as_failed(PostOutcome(status, [], body, False, NO_TIME, None, None)) == named


async def test_a_batch_that_fails_is_one_failure_of_its_endpoint_and_an_attempt_of_each(
    gateway: Gateway, sink: Sink
) -> None:
    sink.script = [Answer(500, body=b"out of order")]
    account = await add_account(gateway, "mailgun")
    await add_endpoint(gateway, sink.url, batch_max_events=10, **BATCHED)
    await post(account, 10)
    found = await until(gateway, *["pending"] * 10)
    async with asyncio.timeout(10):
        while {row.attempts for row in found} != {1}:
            found = await rows(gateway)
    async with gateway.engine.connect() as connection:
        assert await connection.scalar(sa.select(HEALTH.c.failures)) == 1
        attempts = (await connection.execute(sa.select(ATTEMPT).order_by(ATTEMPT.c.delivery_id))).all()
    assert [attempt.response_body for attempt in attempts].count(b"out of order") == 1
    assert {attempt.request_body for attempt in attempts} == {None}
    first = await get_delivery(gateway.engine, ENVIRONMENT, found[0].id)
    assert first is not None
    assert first.attempts[0].batch is not None
    batch = json.loads(bytes(first.attempts[0].batch))
    assert (batch["id"], batch["size"]) == (sink.requests[0].headers["webhook-id"], 10)


async def test_a_failing_endpoint_is_probed_by_a_batch_of_one(gateway: Gateway, sink: Sink, clock: FrozenClock) -> None:
    sink.script = [*[BROKEN] * BREAKER_FAILURES, Answer(200)]
    account = await add_account(gateway, "mailgun")
    await add_endpoint(gateway, sink.url, batch_max_events=2, **BATCHED)
    for number in range(BREAKER_FAILURES):
        await post(account, 2)
        await sink.arrived(number + 1)
        async with asyncio.timeout(10):
            while sum(row.attempts for row in await rows(gateway)) < 2 * (number + 1):
                await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)
    clock.advance(probe_in_s(BREAKER_FAILURES) + 0.001)
    probe = (await sink.arrived(BREAKER_FAILURES + 1))[BREAKER_FAILURES]
    assert len(ids_in(probe)) == 1


async def test_what_a_transform_makes_too_large_is_cut_by_bytes(
    gateway: Gateway, sink: Sink, clock: FrozenClock
) -> None:
    account = await add_account(gateway, "mailgun")
    transform = f"{{id: id, x: '{'x' * 3_000}'}} | {{id: id, three: [x, x, x]}}"
    limits = {"batch_max_events": 250, "batch_max_wait_ms": 500}
    await add_endpoint(gateway, sink.url, delivery="batch", transform=transform, **limits)
    await post(account, 250)
    async with asyncio.timeout(30):
        while sum(len(ids_in(request)) for request in sink.requests) < 250:
            clock.advance(1)
            await asyncio.sleep(0.05)
    assert max(len(request.body) for request in sink.requests) > BATCH_BYTES_MAX / 2
    assert all(len(request.body) < BATCH_BYTES_MAX + 1_000 for request in sink.requests)
    assert len({number for request in sink.requests for number in ids_in(request)}) == 250


async def test_a_transform_that_fails_holds_its_event_and_no_other(gateway: Gateway, sink: Sink) -> None:
    account = await add_account(gateway, "mailgun")
    await add_endpoint(
        gateway, sink.url, batch_max_events=3, transform="data.recipient != 'eve@example.com' && @ || `null`", **BATCHED
    )
    await post(account, 1)
    await post(account, 1, recipient="eve@example.com")
    await post(account, 1)
    [request] = await sink.arrived(1)
    assert len(ids_in(request)) == 2
    await until(gateway, "delivered", "held", "delivered")


async def test_with_order_a_batch_has_one_event_of_each_recipient(gateway: Gateway, sink: Sink) -> None:
    account = await add_account(gateway, "mailgun")
    await add_endpoint(gateway, sink.url, delivery="batch", batch_max_wait_ms=0, ordering="recipient")
    recipients = [f"{number}@example.com" for number in range(5)]
    for _ in range(4):
        await asyncio.gather(*(account.post("opened", recipient=recipient) for recipient in recipients))
    await until(gateway, *["delivered"] * 20)
    seen = dict[str, list[str]]()
    for request in sink.requests:
        events = request.json()
        assert len({event["data"]["recipient"] for event in events}) == len(events)
        for event in events:
            seen.setdefault(event["data"]["recipient"], []).append(event["id"])
    assert all(ids == sorted(ids) and len(ids) == 4 for ids in seen.values())


async def test_who_wants_single_events_again_gets_them(gateway: Gateway, sink: Sink) -> None:
    account = await add_account(gateway, "mailgun")
    endpoint_id, _ = await add_endpoint(gateway, sink.url, **BATCHED)
    await post(account, 2)
    change = EndpointChange(delivery="single")
    await change_endpoint(gateway.engine, gateway.vault, ENVIRONMENT, endpoint_id, change, gateway.clock.now())
    await gateway.registry.reload()
    gateway.sender.bell.ring()
    requests = await sink.arrived(2)
    assert {request.json()["type"] for request in requests} == {"email.open"}


async def test_an_address_goes_from_an_answer_that_is_kept_with_another_event(gateway: Gateway, sink: Sink) -> None:
    sink.script = [Answer(200, body=b'{"took": ["ada@example.com", "eve@example.com"]}')]
    account = await add_account(gateway, "mailgun")
    await add_endpoint(gateway, sink.url, batch_max_events=2, **BATCHED)
    await post(account, 1)
    await post(account, 1, recipient="eve@example.com")
    await until(gateway, "delivered", "delivered")
    await gateway.forgetting.walk(ENVIRONMENT, "eve@example.com")
    async with gateway.engine.connect() as connection:
        bodies = set(await connection.scalars(sa.select(ATTEMPT.c.response_body)))
    assert b'{"took": ["ada@example.com", "(forgotten)"]}' in bodies
    assert not any(b"eve" in body for body in bodies)


# The lane alone.


async def a_lane(gateway: Gateway, **fields: Any) -> Lane:
    endpoint_id, _ = await add_endpoint(gateway, "http://127.0.0.1:9/", **fields)
    endpoint = gateway.registry.endpoint(endpoint_id)
    assert endpoint is not None
    return Lane(endpoint, in_flight_max=8, lease_margin_s=15)


def an_item(number: int, size: int = 100) -> Item:
    return Item(number, 1, number, "email.open", b"x" * size, 0, 1 << 50)


async def test_a_pace_counts_requests_and_a_batch_takes_one_slot(gateway: Gateway) -> None:
    lane = await a_lane(gateway, delivery="batch", batch_max_events=3, rate_limit_per_s=0.5, max_in_flight=2)
    assert lane.batch == BatchLimits(3, 1.0)
    lane.waiting.extend(an_item(number) for number in range(9))
    assert lane.wait_s(100.0, 0) == 0
    assert len(lane.start_batch(100.0)) == 3
    assert lane.wait_s(100.0, 0) == 2.0
    assert lane.held == 9
    assert len(lane.start_batch(102.0)) == 3
    assert lane.wait_s(110.0, 0) is None
    lane.in_flight -= 1
    lane.batch_ended(3)
    assert lane.held == 6
    assert lane.wait_s(110.0, 0) == 0


async def test_a_lane_cuts_a_batch_by_bytes(gateway: Gateway) -> None:
    lane = await a_lane(gateway, delivery="batch")
    lane.waiting.extend(an_item(number, BATCH_BYTES_MAX // 3) for number in range(4))
    lane.waiting.append(an_item(9, 2 * BATCH_BYTES_MAX))
    assert [len(lane.start_batch(0.0)) for _ in range(3)] == [3, 1, 1]
