"""Rows of versions that packed nothing are shown, sent again, read again, recognised and forgotten like any other."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.request import NativeRequest
from app.erasure import Eraser
from app.gateway import Gateway
from app.store.log import get_delivery, get_event, get_receipt
from app.store.receipts import recent_requests
from app.store.recovery import replay as replay_event
from app.store.tables import AttemptRow, DeliveryRow, EventRow, ReceiptRow, table_of
from app.store.transactions import writing
from tests import stored
from tests.gateways import ENVIRONMENT, Account, add_account, add_endpoint, opened, settings_for
from tests.servers import Sink
from tests.servers import sink as serve

pytestmark = pytest.mark.anyio

ANN = "ann@example.com"
PACKED = {
    EventRow: ("body",),
    AttemptRow: ("timing", "request_headers", "response_headers", "response_body"),
}


@pytest.fixture
async def gateway(database_url: str, tmp_path: Path) -> AsyncIterator[Gateway]:
    async with opened(settings_for(database_url, tmp_path)) as gateway:
        yield gateway


@pytest.fixture
async def sink() -> AsyncIterator[Sink]:
    async with serve() as sink:
        yield sink


@pytest.fixture
async def account(gateway: Gateway, sink: Sink) -> Account:
    """Has posted one event, which was delivered; all of it is stored as versions before did."""
    account = await add_account(gateway, "mailgun", "prod")
    await add_endpoint(gateway, sink.url)
    assert (await account.send(account.request("delivered", recipient=ANN))).status == 200
    await sink.arrived(1)
    await _until_recorded(gateway.engine)
    await _write_plain(gateway.engine)
    return account


async def _until_recorded(engine: AsyncEngine) -> None:
    while not await stored.rows(engine, AttemptRow):
        await asyncio.sleep(0.01)


async def _write_plain(engine: AsyncEngine) -> None:
    for kind, names in PACKED.items():
        for row in await stored.rows(engine, kind):
            await _write(engine, kind, row.id, {name: getattr(row, name) for name in names})
    for row in await stored.rows(engine, ReceiptRow):
        request = {name: getattr(row, name) for name in ("method", "url", "headers", "body")}
        await _write(engine, ReceiptRow, row.id, request)


async def _write(engine: AsyncEngine, kind: Any, number: int, values: dict[str, Any]) -> None:
    """Past the types that pack."""
    settings = ", ".join(f"{name} = :{name}" for name in values)
    query = sa.text(f"UPDATE {table_of(kind).name} SET {settings} WHERE id = :number")  # noqa: S608 - fixed names
    async with writing(engine) as connection:
        await connection.execute(query, {**values, "number": number})


async def test_they_are_shown(gateway: Gateway, account: Account) -> None:
    (receipt,), (event,), (delivery,) = [
        await stored.rows(gateway.engine, row) for row in (ReceiptRow, EventRow, DeliveryRow)
    ]
    assert receipt.method == "POST"
    shown = await get_receipt(gateway.engine, ENVIRONMENT, receipt.id)
    assert shown is not None
    assert (shown.request.method, json.loads(shown.request.body)["event-data"]["recipient"]) == ("POST", ANN)
    found = await get_event(gateway.engine, ENVIRONMENT, event.id)
    assert found is not None
    assert msgspec.json.decode(found.event)["data"]["recipient"] == ANN
    sent = await get_delivery(gateway.engine, ENVIRONMENT, delivery.id)
    assert sent is not None
    (attempt,) = sent.attempts
    assert json.loads(attempt.request.body)["data"]["recipient"] == ANN
    assert msgspec.json.decode(attempt.request.headers)["webhook-id"] == found.deliveries[0].event_id
    assert msgspec.json.decode(attempt.timing)["total_ms"] > 0


async def test_they_are_sent_again_as_they_were(gateway: Gateway, account: Account, sink: Sink) -> None:
    (event,) = await stored.rows(gateway.engine, EventRow)
    async with writing(gateway.engine) as connection:
        await replay_event(connection, ENVIRONMENT, event.id, [1], gateway.ids, gateway.clock.now())
    first, second = await sink.arrived(2)
    assert first.body == second.body


async def test_they_are_read_again(gateway: Gateway, account: Account) -> None:
    (receipt,) = await stored.rows(gateway.engine, ReceiptRow)
    done = await gateway.ingest.reprocess(receipt.id)
    assert (done.status, done.events) == ("accepted", 0)
    (recent,) = await recent_requests(gateway.engine, ENVIRONMENT, "mailgun", 10, 1_000_000)
    assert json.loads(recent.body)["event-data"]["recipient"] == ANN


async def test_their_repetitions_and_forgeries_are_recognised(gateway: Gateway, account: Account) -> None:
    request = account.request("delivered", recipient=ANN)
    await account.send(request)
    await _write_plain(gateway.engine)
    await account.send(request)
    body = request.body.replace(b'"delivered"', b'"complained"')
    forged = NativeRequest(url=request.url, headers=request.headers, body=body)
    await account.send(forged)
    statuses = [receipt.status for receipt in await stored.rows(gateway.engine, ReceiptRow)]
    assert statuses == ["accepted", "accepted", "duplicate", "rejected"]


async def test_who_is_in_them_is_forgotten(gateway: Gateway, account: Account) -> None:
    done = (await gateway.forgetting.walk(ENVIRONMENT, ANN, after=0, dry_run=False)).forgotten
    assert (done.receipts, done.events) == (1, 1)
    assert not Eraser({ANN: "x"}).finds((await stored.everything(gateway.engine)).encode())
