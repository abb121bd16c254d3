"""How often, when and with which end a delivery is attempted, for each way in which a subscriber can fail it."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from app.gateway import Gateway
from app.retry import DEFAULT_SCHEDULE_S
from app.store.tables import AttemptRow, DeliveryRow, table_of
from tests.conftest import FrozenClock
from tests.gateways import add_account, add_endpoint, opened, settings_for
from tests.processes import free_port
from tests.servers import Answer, self_signed
from tests.servers import sink as serve

pytestmark = pytest.mark.anyio

DELIVERY, ATTEMPT = table_of(DeliveryRow), table_of(AttemptRow)


@pytest.fixture
async def gateway(database_url: str, tmp_path: Path, clock: FrozenClock) -> AsyncIterator[Gateway]:
    async with opened(settings_for(database_url, tmp_path), clock) as gateway:
        yield gateway


async def resolve_nothing(_host: str, _port: int) -> list[str]:
    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")


@asynccontextmanager
async def subscriber(kind: str, gateway: Gateway, folder: Path) -> AsyncIterator[str]:
    """The URL of a subscriber that fails in that way for ever."""
    async with AsyncExitStack() as stack:
        if kind == "refused":
            yield f"http://127.0.0.1:{free_port()}/hook"
        elif kind == "unknown name":
            gateway.guard.resolve = resolve_nothing
            yield "https://hooks.example.com/hook"
        elif kind == "TLS":
            tls, _ = self_signed(folder)
            yield (await stack.enter_async_context(serve(tls=tls))).url
        else:
            answer = Answer(then="hang") if kind == "timeout" else Answer(500)
            yield (await stack.enter_async_context(serve(answer))).url


async def the_delivery(gateway: Gateway) -> dict[str, Any]:
    async with gateway.engine.connect() as connection:
        return dict((await connection.execute(sa.select(DELIVERY))).mappings().one())


async def attempted(gateway: Gateway, count: int) -> dict[str, Any]:
    """The delivery, once it has been attempted so often and nobody is at it."""
    async with asyncio.timeout(15):
        while (delivery := await the_delivery(gateway))["attempts"] < count or delivery["status"] == "sending":
            await asyncio.sleep(0.01)
    assert delivery["attempts"] == count
    return delivery


async def wait_after(gateway: Gateway, clock: FrozenClock, count: int) -> float | None:
    """Seconds until the next attempt after so many; None when there is none. The clock stands there then."""
    delivery = await attempted(gateway, count)
    if delivery["status"] != "pending":
        return None
    wait_s = (delivery["due_at"] - clock.now()).total_seconds()
    clock.advance(wait_s - 0.2)
    await asyncio.sleep(0.05)
    assert (await the_delivery(gateway))["attempts"] == count, "it was attempted too early"
    clock.advance(0.4)
    return wait_s


async def error_kinds(gateway: Gateway) -> set[str | None]:
    async with gateway.engine.connect() as connection:
        return set((await connection.execute(sa.select(ATTEMPT.c.error_kind))).scalars())


@pytest.mark.parametrize(
    ("kind", "error_kind"),
    [("500", None), ("timeout", "timeout"), ("refused", "connect"), ("unknown name", "dns"), ("TLS", "tls")],
)
async def test_whatever_goes_wrong_a_delivery_is_attempted_eleven_times_in_a_day(
    gateway: Gateway, clock: FrozenClock, tmp_path: Path, kind: str, error_kind: str | None
) -> None:
    account = await add_account(gateway, "mailgun")
    async with subscriber(kind, gateway, tmp_path) as url:
        await add_endpoint(gateway, url, timeout_s=0.2 if kind == "timeout" else 5)
        await account.post("opened")
        for number, planned_s in enumerate(DEFAULT_SCHEDULE_S, 1):
            wait_s = await wait_after(gateway, clock, number)
            assert wait_s is not None
            assert planned_s * 0.9 <= wait_s <= planned_s * 1.1
        last = len(DEFAULT_SCHEDULE_S) + 1
        assert await wait_after(gateway, clock, last) is None
        assert (await the_delivery(gateway))["status"] == "failed"
        clock.advance(days=2)
        await asyncio.sleep(0.1)
        assert (await the_delivery(gateway))["attempts"] == last
    assert await error_kinds(gateway) == {error_kind}


@pytest.mark.parametrize("form", ["seconds", "date"])
@pytest.mark.parametrize(("asked_s", "waited_s"), [(600, 600), (7_200, 3_600)])
async def test_a_429_waits_as_long_as_it_says_up_to_an_hour(
    gateway: Gateway, clock: FrozenClock, form: str, asked_s: int, waited_s: int
) -> None:
    until = format_datetime(clock.now() + timedelta(seconds=asked_s), usegmt=True)
    answer = Answer(429, {"Retry-After": str(asked_s) if form == "seconds" else until})
    account = await add_account(gateway, "mailgun")
    async with serve(answer, Answer(200)) as sink:
        await add_endpoint(gateway, sink.url)
        await account.post("opened")
        wait_s = await wait_after(gateway, clock, 1)
        assert wait_s == pytest.approx(waited_s, abs=1)
        assert (await attempted(gateway, 2))["status"] == "delivered"


async def test_a_410_is_the_last_attempt(gateway: Gateway, clock: FrozenClock) -> None:
    account = await add_account(gateway, "mailgun")
    async with serve(Answer(410)) as sink:
        await add_endpoint(gateway, sink.url)
        await account.post("opened")
        assert await wait_after(gateway, clock, 1) is None
        assert (await the_delivery(gateway))["status"] == "failed"


async def test_a_200_after_three_failures_ends_it(gateway: Gateway, clock: FrozenClock) -> None:
    account = await add_account(gateway, "mailgun")
    async with serve(Answer(500), Answer(502), Answer(503), Answer(200)) as sink:
        await add_endpoint(gateway, sink.url)
        await account.post("opened")
        for number in (1, 2, 3):
            assert await wait_after(gateway, clock, number) is not None
        assert (await attempted(gateway, 4))["status"] == "delivered"


class SetBack(FrozenClock):
    """A wall clock that somebody sets; the monotonic one goes its way."""

    set_by_s = 0

    def ms(self) -> int:
        return super().ms() + self.set_by_s * 1000


async def test_a_clock_that_steps_back_loses_and_doubles_nothing(database_url: str, tmp_path: Path) -> None:
    clock = SetBack()
    async with opened(settings_for(database_url, tmp_path), clock) as gateway, serve(Answer(500), Answer()) as sink:
        account = await add_account(gateway, "mailgun")
        await add_endpoint(gateway, sink.url)
        await account.post("opened")
        await attempted(gateway, 1)
        clock.set_by_s = -7200
        assert (await account.post("opened")).status == 200
        await sink.arrived(2)
        clock.set_by_s = 10
        await sink.arrived(3)
        await asyncio.sleep(0.1)
    assert len(sink.requests) == 3
    assert len({request.headers["webhook-id"] for request in sink.requests}) == 2
