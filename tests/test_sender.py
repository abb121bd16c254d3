"""The sender under strain: no endpoint takes what others need, and nothing it holds is forgotten."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

from adapters.request import NativeRequest
from app import lanes
from app.gateway import Gateway
from app.store.endpoints import EndpointChange, change_endpoint
from app.store.tables import AttemptRow, DeliveryRow, EventRow, ReceiptRow, table_of
from tests.conftest import FrozenClock, PostgresServer
from tests.gateways import ENVIRONMENT, add_account, add_endpoint, opened, settings_for
from tests.servers import Answer, Sink
from tests.servers import sink as serve

pytestmark = pytest.mark.anyio

DELIVERY, ATTEMPT, EVENT, RECEIPT = (table_of(row) for row in (DeliveryRow, AttemptRow, EventRow, ReceiptRow))
HANG = Answer(then="hang")


@pytest.fixture
async def sink() -> AsyncIterator[Sink]:
    async with serve() as sink:
        yield sink


async def statuses(gateway: Gateway) -> dict[str, int]:
    query = sa.select(DELIVERY.c.status, sa.func.count()).group_by(DELIVERY.c.status)
    async with gateway.engine.connect() as connection:
        return {row[0]: row[1] for row in await connection.execute(query)}


async def until(gateway: Gateway, **expected: int) -> None:
    async with asyncio.timeout(20):
        while await statuses(gateway) != expected:
            await asyncio.sleep(0.02)


async def test_a_slow_pace_with_a_backlog_longer_than_a_lease_is_kept_up(
    database_url: str, tmp_path: Path, sink: Sink
) -> None:
    settings = settings_for(database_url, tmp_path, lease_margin_s=0.5, attempt_timeout_s=0.5)
    async with opened(settings) as gateway:
        account = await add_account(gateway, "mailgun")
        await add_endpoint(gateway, sink.url, rate_limit_per_s=20)
        await asyncio.gather(*(account.post("opened") for _ in range(50)))
        await sink.arrived(50)
        await until(gateway, delivered=50)


async def test_many_hanging_endpoints_leave_a_healthy_one_its_places(
    database_url: str, tmp_path: Path, sink: Sink
) -> None:
    async with (
        opened(settings_for(database_url, tmp_path, handed_over_max=40, sending_max=200)) as gateway,
        serve(HANG) as hanging,
    ):
        account = await add_account(gateway, "mailgun")
        for _ in range(5):
            await add_endpoint(gateway, hanging.url, timeout_s=60)
        await asyncio.gather(*(account.post("opened") for _ in range(60)))
        await add_endpoint(gateway, sink.url)
        await asyncio.gather(*(account.post("clicked") for _ in range(60)))
        await sink.arrived(60)


async def test_deliveries_that_do_not_fit_in_memory_stay_in_the_database(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lanes, "LANE_BYTES", 0)
    async with (
        opened(settings_for(database_url, tmp_path, handed_over_bytes_max=0)) as gateway,
        serve(Answer(delay_s=0.05)) as slow,
    ):
        account = await add_account(gateway, "mailgun")
        for _ in range(2):
            await add_endpoint(gateway, slow.url, max_in_flight=10)
        await asyncio.gather(*(account.post("opened") for _ in range(4)))
        await until(gateway, delivered=8)
        assert slow.open_max == 2, "one for each endpoint, whatever it holds"


async def test_one_endpoint_has_at_most_its_share_of_the_attempts(
    database_url: str, tmp_path: Path, sink: Sink
) -> None:
    async with opened(settings_for(database_url, tmp_path, sending_max=8)) as gateway, serve(HANG) as hanging:
        account = await add_account(gateway, "mailgun")
        await add_endpoint(gateway, hanging.url, timeout_s=60, max_in_flight=200)
        await asyncio.gather(*(account.post("opened") for _ in range(30)))
        await add_endpoint(gateway, sink.url)
        await account.post("clicked")
        await sink.arrived(1)
        assert len(hanging.requests) == 2


async def test_what_waits_in_memory_for_a_paused_endpoint_is_held_at_once(database_url: str, tmp_path: Path) -> None:
    async with opened(settings_for(database_url, tmp_path)) as gateway, serve(HANG) as hanging:
        account = await add_account(gateway, "mailgun")
        endpoint_id, _ = await add_endpoint(gateway, hanging.url, timeout_s=1, max_in_flight=1)
        await asyncio.gather(*(account.post("opened") for _ in range(10)))
        await hanging.arrived(1)
        off = EndpointChange(active=False)
        await change_endpoint(gateway.engine, gateway.vault, ENVIRONMENT, endpoint_id, off, gateway.clock.now())
        gateway.sender.bell.ring()
        async with asyncio.timeout(0.9):
            while (await statuses(gateway)).get("held") != 9:
                await asyncio.sleep(0.02)


async def test_a_transform_whose_result_is_not_json_holds_the_delivery(
    database_url: str, tmp_path: Path, sink: Sink
) -> None:
    async with opened(settings_for(database_url, tmp_path)) as gateway:
        account = await add_account(gateway, "mailgun")
        await add_endpoint(gateway, sink.url, transform=r'`"\ud800"`')
        await account.post("opened")
        await until(gateway, held=1)
        assert not sink.requests


async def test_an_attempt_that_breaks_counts_and_comes_to_an_end(
    database_url: str, tmp_path: Path, sink: Sink, clock: FrozenClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(settings_for(database_url, tmp_path), clock) as gateway:
        account = await add_account(gateway, "mailgun")
        endpoint_id, _ = await add_endpoint(gateway, sink.url, retry_schedule_s=[1])
        endpoint = gateway.registry.endpoint(endpoint_id)
        assert endpoint is not None
        monkeypatch.setattr(type(endpoint.signer), "headers", None)
        await account.post("opened")
        await until(gateway, pending=1)
        clock.advance(2)
        await until(gateway, failed=1)
        async with gateway.engine.connect() as connection:
            errors = (await connection.execute(sa.select(ATTEMPT.c.error))).scalars().all()
        assert len(errors) == 2
        assert all("fault of the gateway itself" in error for error in errors)


@pytest.fixture
def empty_postgres(postgres: PostgresServer) -> PostgresServer:
    postgres.empty()
    return postgres


async def test_outcomes_outlive_a_database_that_turns_read_only(tmp_path: Path, empty_postgres: PostgresServer) -> None:
    postgres = empty_postgres
    async with opened(settings_for(postgres.url(postgres.MIGRATED), tmp_path)) as gateway:
        account = await add_account(gateway, "mailgun")
        async with serve(Answer(200, delay_s=0.5)) as slow, read_only(gateway) as turn:
            await add_endpoint(gateway, slow.url)
            await asyncio.gather(*(account.post("opened") for _ in range(5)))
            await slow.arrived(5)
            await turn("on")
            assert (await account.post("opened")).status == 503
            await asyncio.sleep(1)
            await turn("off")
            await until(gateway, delivered=5)
            assert len(slow.requests) == 5


@asynccontextmanager
async def read_only(gateway: Gateway) -> AsyncIterator[Callable[[str], Awaitable[None]]]:
    """Turns the server's default to read-only transactions, on connections that are open too, and back at the end."""

    async def turn(mode: str) -> None:
        async with gateway.engine.connect() as connection:
            session = await connection.execution_options(isolation_level="AUTOCOMMIT")
            await session.execute(sa.text("SET default_transaction_read_only = off"))
            await session.execute(sa.text(f"ALTER SYSTEM SET default_transaction_read_only = {mode}"))
            await session.execute(sa.text("SELECT pg_reload_conf()"))

    try:
        yield turn
    finally:
        await turn("off")


async def test_a_spent_token_with_a_type_nobody_knows_is_refused(database_url: str, tmp_path: Path) -> None:
    async with opened(settings_for(database_url, tmp_path)) as gateway:
        account = await add_account(gateway, "mailgun")
        request = account.request("opened")
        forged = json.loads(request.body)
        forged["event-data"] |= {"event": "newtype", "id": "forged", "recipient": "victim@example.com"}
        forgery = NativeRequest(url=request.url, headers=request.headers, body=json.dumps(forged).encode())
        assert (await account.send(request)).status == 200
        assert (await account.send(forgery)).status == 406
        assert (await account.send(request)).status == 200
        async with gateway.engine.connect() as connection:
            kept = (await connection.execute(sa.select(RECEIPT.c.status).order_by(RECEIPT.c.id))).scalars().all()
        assert kept == ["accepted", "rejected", "duplicate"]


async def test_a_quarantined_request_posted_again_is_a_duplicate(database_url: str, tmp_path: Path) -> None:
    async with opened(settings_for(database_url, tmp_path)) as gateway:
        account = await add_account(gateway, "mailgun")
        request = account.request("opened")
        unnamed = json.loads(request.body)
        unnamed["event-data"]["event"] = "newtype"
        unknown = NativeRequest(url=request.url, headers=request.headers, body=json.dumps(unnamed).encode())
        answers = [(await account.send(unknown)).status for _ in range(2)]
        async with gateway.engine.connect() as connection:
            kept = (await connection.execute(sa.select(RECEIPT.c.status).order_by(RECEIPT.c.id))).scalars().all()
        assert (answers, kept) == ([200, 200], ["quarantined", "duplicate"])


@pytest.mark.parametrize("recipient", ["x" * 5_000 + "@example.com", "nul\x00@example.com"])
async def test_a_recipient_that_no_index_takes_is_stored_all_the_same(
    database_url: str, tmp_path: Path, recipient: str
) -> None:
    async with opened(settings_for(database_url, tmp_path)) as gateway:
        account = await add_account(gateway, "mailgun")
        assert (await account.post("opened", recipient=recipient)).status == 200
        async with gateway.engine.connect() as connection:
            stored = (await connection.execute(sa.select(sa.func.count()).select_from(EVENT))).scalar_one()
            quarantined = (await connection.execute(sa.select(RECEIPT.c.problems))).scalar_one()
        assert stored == 1 or quarantined is not None
