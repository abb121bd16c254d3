"""One endpoint that hangs and one that answers 500, each with a backlog: what they cost a healthy one is bounded."""

import asyncio
from pathlib import Path

import pytest
import sqlalchemy as sa

from app.gateway import Gateway
from app.store.endpoints import enable_endpoint
from app.store.tables import DeliveryRow, table_of
from tests.gateways import ENVIRONMENT, Account, add_account, add_endpoint, opened, settings_for
from tests.servers import Answer, sink

pytestmark = pytest.mark.anyio

DELIVERY = table_of(DeliveryRow)
BACKLOG, MORE, IN_FLIGHT_MAX = 150, 60, 4


async def test_dead_endpoints_with_a_backlog_keep_to_their_connections_while_a_healthy_one_goes_on(
    database_url: str, tmp_path: Path
) -> None:
    settings = settings_for(database_url, tmp_path, endpoint_in_flight_max=IN_FLIGHT_MAX)
    async with opened(settings) as gateway, sink(Answer(then="hang")) as hanging, sink(Answer(500)) as broken:
        async with sink() as healthy:
            account = await add_account(gateway, "mailgun")
            await add_endpoint(gateway, healthy.url)
            slow, _ = await add_endpoint(gateway, hanging.url, active=False, timeout_s=0.3)
            wrong, _ = await add_endpoint(gateway, broken.url, active=False)
            await _post(account, BACKLOG)
            await _enable(gateway, slow, wrong)
            await asyncio.gather(hanging.arrived(1), broken.arrived(1))
            await _post(account, MORE)
            await healthy.arrived(BACKLOG + MORE)
            await hanging.arrived(2 * IN_FLIGHT_MAX)  # the first have timed out by then
            await _all_delivered(gateway, 1)
        # Where the gateway has hung up, the other side may notice only after the next connection has come.
        assert 1 <= hanging.open_max <= 2 * IN_FLIGHT_MAX
        assert 1 <= broken.open_max <= IN_FLIGHT_MAX
        assert len(broken.requests) < BACKLOG


async def _post(account: Account, events: int) -> None:
    await asyncio.gather(*(account.post("opened") for _ in range(events)))


async def _enable(gateway: Gateway, *endpoint_ids: int) -> None:
    for endpoint_id in endpoint_ids:
        await enable_endpoint(gateway.engine, ENVIRONMENT, endpoint_id, gateway.clock.now())
    await gateway.registry.reload()
    gateway.sender.bell.ring()


async def _all_delivered(gateway: Gateway, endpoint_id: int) -> None:
    statuses = sa.select(DELIVERY.c.status).where(DELIVERY.c.endpoint_id == endpoint_id).distinct()
    async with asyncio.timeout(10):
        while True:
            async with gateway.engine.connect() as connection:
                if set(await connection.scalars(statuses)) == {"delivered"}:
                    return
            await asyncio.sleep(0.02)
