"""The retry rules of an endpoint, kept by a whole gateway while the clock is put forward."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from app.gateway import Gateway
from app.store.log import get_delivery
from app.store.recovery import retry
from app.store.tables import DeliveryRow, table_of
from app.store.transactions import writing
from app.store.views import DeliveryDetail
from tests.conftest import FrozenClock
from tests.gateways import ENVIRONMENT, add_account, add_endpoint, opened, settings_for
from tests.servers import Answer
from tests.servers import sink as serve

pytestmark = pytest.mark.anyio
DELIVERY = table_of(DeliveryRow)
NOBODY = "http://127.0.0.1:9/"
"""Nobody listens at the discard port."""


@pytest.fixture
async def gateway(database_url: str, tmp_path: Path, clock: FrozenClock) -> AsyncIterator[Gateway]:
    async with opened(settings_for(database_url, tmp_path), clock) as gateway:
        yield gateway


async def deliver(gateway: Gateway, url: str, **rules: Any) -> int:
    """One event for one endpoint with those rules; the number of its delivery."""
    account = await add_account(gateway, "mailgun")
    await add_endpoint(gateway, url, **rules)
    await account.post("opened")
    async with gateway.engine.connect() as connection:
        return (await connection.execute(sa.select(DELIVERY.c.id))).scalar_one()


async def attempted(gateway: Gateway, delivery_id: int, times: int, status: str) -> DeliveryDetail:
    """The delivery, once it was attempted so often and is what it should be."""
    async with asyncio.timeout(20):
        while True:
            found = await get_delivery(gateway.engine, ENVIRONMENT, delivery_id)
            assert found is not None
            if (found.delivery.attempts, found.delivery.status) == (times, status):
                return found
            await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    ("answer", "retry_on", "status"),
    [
        (Answer(404), ["5xx"], "failed"),
        (Answer(500), ["5xx"], "pending"),
        (Answer(429), [429], "pending"),
        (Answer(302), ["4xx", "5xx", "timeout", "connection"], "failed"),
        (Answer(500), [], "failed"),
        (Answer(500), None, "pending"),
        (Answer(then="drop"), ["5xx"], "failed"),
        (Answer(then="drop"), ["connection"], "pending"),
        (Answer(then="hang"), ["connection"], "failed"),
        (Answer(then="hang"), ["timeout"], "pending"),
    ],
)
async def test_what_the_rules_leave_out_fails_at_once(
    gateway: Gateway, answer: Answer, retry_on: list[int | str] | None, status: str
) -> None:
    async with serve(answer) as sink:
        delivery_id = await deliver(gateway, sink.url, retry_on=retry_on, timeout_s=1)
        found = await attempted(gateway, delivery_id, 1, status)
        assert ("retry rules" in (found.delivery.error or "")) == (status == "failed")


async def test_what_failed_at_once_can_be_retried_by_hand(gateway: Gateway) -> None:
    async with serve(Answer(404), Answer(200)) as sink:
        delivery_id = await deliver(gateway, sink.url, retry_on=["5xx"])
        await attempted(gateway, delivery_id, 1, "failed")
        await retry_by_hand(gateway, delivery_id)
        await attempted(gateway, delivery_id, 2, "delivered")


async def retry_by_hand(gateway: Gateway, delivery_id: int) -> None:
    async with writing(gateway.engine) as connection:
        assert await retry(connection, ENVIRONMENT, delivery_id, gateway.clock.now())
    gateway.sender.bell.ring()


async def test_no_attempt_is_planned_for_later_than_the_age_allows(gateway: Gateway, clock: FrozenClock) -> None:
    delivery_id = await deliver(gateway, NOBODY, retry_schedule_s=[10, 10, 1000], retry_max_age_s=60)
    await attempted(gateway, delivery_id, 1, "pending")
    clock.advance(11)
    await attempted(gateway, delivery_id, 2, "pending")
    clock.advance(11)
    found = await attempted(gateway, delivery_id, 3, "failed")
    assert "retry rules allow no other attempt" in (found.delivery.error or "")


async def test_a_retry_that_comes_too_late_is_not_made(gateway: Gateway, clock: FrozenClock) -> None:
    """As when the gateway was down when it was planned."""
    delivery_id = await deliver(gateway, NOBODY, retry_schedule_s=[10, 10], retry_max_age_s=60)
    await attempted(gateway, delivery_id, 1, "pending")
    clock.advance(3600)
    found = await attempted(gateway, delivery_id, 1, "failed")
    assert "longer ago than retry_max_age_s allows (60 s)" in (found.delivery.error or "")
    assert found.delivery.finished_at is not None
    await retry_by_hand(gateway, delivery_id)
    await attempted(gateway, delivery_id, 2, "failed")


async def test_a_pending_delivery_shows_when_the_attempts_that_are_left_are_planned(gateway: Gateway) -> None:
    delivery_id = await deliver(gateway, NOBODY, retry_schedule_s=[100, 1000, 1000], retry_max_age_s=2000)
    found = await attempted(gateway, delivery_id, 1, "pending")
    assert len(found.remaining_schedule) == 2
    assert found.remaining_schedule[0] == found.next_attempt_at == found.delivery.next_attempt_at


async def test_a_finished_delivery_has_nothing_left(gateway: Gateway) -> None:
    delivery_id = await deliver(gateway, NOBODY, retry_schedule_s=[])
    found = await attempted(gateway, delivery_id, 1, "failed")
    assert (found.next_attempt_at, found.remaining_schedule) == (None, [])
