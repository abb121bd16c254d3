"""A recipient is forgotten by a whole gateway: in every table, for good, and nobody else is."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest
import sqlalchemy as sa
from sqlmodel import SQLModel

from adapters.request import NativeRequest
from app import forgetting
from app.erasure import FORGOTTEN, Eraser
from app.gateway import Gateway
from app.ingest import NotReprocessable
from app.store.drift import Drift, record_drift
from app.store.forgetting import Forgotten
from app.store.requests import REQUEST_COLUMNS, KeptRequest, stored_request
from app.store.sources import NewSource, create_source
from app.store.tables import AttemptRow, BulkJobRow, DeliveryRow, EventRow, ReceiptRow, table_of
from app.store.transactions import writing
from tests import stored
from tests.gateways import ENVIRONMENT, add_endpoint, opened, settings_for
from tests.servers import Answer, sink

pytestmark = pytest.mark.anyio

ANN, BOB = "Ann@example.com", "bob@example.com"
NOBODY_LISTENS = "http://127.0.0.1:9/hook"


@pytest.fixture
async def gateway(database_url: str, tmp_path: Path):
    async with opened(settings_for(database_url, tmp_path)) as gateway:
        for provider in ("sendgrid", "resend"):
            source = NewSource(name=provider, provider=provider, verification="none")
            await create_source(gateway.engine, gateway.vault, ENVIRONMENT, source, gateway.clock.now())
        await gateway.registry.reload()
        yield gateway


def bounce(address: str, number: int = 1, **others: Any) -> dict[str, Any]:
    """A native bounce as SendGrid sends it, with more about the person than the address."""
    return {
        "event": "bounce",
        "email": address,
        "sg_event_id": f"event-{number}-{address}"[:9] + str(number),
        "sg_message_id": f"message-{number}.recvd",
        "timestamp": 1_772_525_700,
        "reason": f"550 5.1.1 <{address}>: user unknown",
        "status": "5.1.1",
        "type": "bounce",
        "customer": "AB-4711-CD",
        "ip": "203.0.113.7",
        **others,
    }


async def post(gateway: Gateway, *items: dict[str, Any]) -> None:
    await post_body(gateway, "sendgrid", json.dumps(items))


async def post_body(gateway: Gateway, source: str, body: str) -> None:
    request = NativeRequest(
        url=f"http://127.0.0.1:8420/api/webhooks/{source}",
        headers={"content-type": "application/json"},
        body=body.encode(),
    )
    assert (await gateway.ingest.receive(source, request)).status == 200


async def rows(gateway: Gateway, row: type[SQLModel]) -> list[Any]:
    return await stored.rows(gateway.engine, row)


async def everything(gateway: Gateway) -> str:
    return await stored.everything(gateway.engine)


async def forget(gateway: Gateway, address: str = ANN.upper(), *, dry_run: bool = False) -> Forgotten:
    forgotten, after = Forgotten(), 0
    while after is not None:
        walked = await gateway.forgetting.walk(ENVIRONMENT, address, after=after, dry_run=dry_run)
        forgotten, after = forgotten + walked.forgotten, walked.after
    return forgotten


async def test_in_a_batch_with_others_the_person_goes_and_the_others_stay(gateway: Gateway) -> None:
    await post(gateway, bounce(ANN), bounce(BOB, 2), bounce("joann@example.com", 3))
    before = await rows(gateway, EventRow)
    assert await forget(gateway) == Forgotten(receipts=1, events=1)
    found = await everything(gateway)
    assert not Eraser({ANN: "x"}).finds(found.encode())
    assert "joann@example.com" in found
    (receipt,) = await rows(gateway, ReceiptRow)
    items = json.loads(receipt.body)
    assert [item["email"] for item in items] == [FORGOTTEN, BOB, "joann@example.com"]
    assert items[1] == bounce(BOB, 2)
    assert receipt.withheld == "forgotten"
    anns, *others = await rows(gateway, EventRow)
    assert others == before[1:]
    assert (anns.id, anns.type, anns.dedup_key) == (before[0].id, before[0].type, before[0].dedup_key)


async def test_what_is_left_of_the_event_can_be_counted_and_tells_nothing_of_the_person(gateway: Gateway) -> None:
    await post(gateway, bounce(ANN))
    await forget(gateway)
    (event,) = await rows(gateway, EventRow)
    assert event.recipient == FORGOTTEN
    body = msgspec.json.decode(event.body)
    data = body["data"]
    assert (body["type"], data["recipient"], data["to"], data["metadata"]) == ("email.bounced", FORGOTTEN, [], {})
    assert data["bounce"]["enhanced_code"] == "5.1.1"
    assert data["bounce"]["diagnostic"] is None
    assert data["email_id"].startswith("message-1")
    assert "AB-4711-CD" not in await everything(gateway)


async def test_ids_that_are_made_of_the_address_lose_it_too(gateway: Gateway) -> None:
    await post(gateway, bounce(ANN, sg_message_id="ann=example.com-17.recvd", **{"smtp-id": f"<{ANN}.1@shop.example>"}))
    await forget(gateway)
    assert not Eraser({ANN: "x"}).finds((await everything(gateway)).encode())


async def test_a_receipt_that_tells_of_nobody_else_loses_its_body(gateway: Gateway) -> None:
    await post(gateway, bounce(ANN))
    await forget(gateway)
    (receipt,) = await rows(gateway, ReceiptRow)
    assert (receipt.body, receipt.withheld, receipt.status) == (b"", "forgotten", "accepted")


async def test_a_provider_that_repeats_itself_brings_nobody_back(gateway: Gateway) -> None:
    await post(gateway, bounce(ANN), bounce(BOB, 2))
    await forget(gateway)
    await post(gateway, bounce(ANN), bounce(BOB, 2))
    await post(gateway, bounce(ANN), bounce(BOB, 3))
    assert not Eraser({ANN: "x"}).finds((await everything(gateway)).encode())
    receipts = await rows(gateway, ReceiptRow)
    assert [receipt.status for receipt in receipts] == ["accepted", "duplicate", "accepted"]
    assert [len(receipt.body) > 0 for receipt in receipts] == [True, False, False]
    assert len(await rows(gateway, EventRow)) == 3
    await post(gateway, bounce(BOB, 2))
    assert json.loads((await rows(gateway, ReceiptRow))[-1].body) == [bounce(BOB, 2)]


async def test_receipts_of_repetitions_from_before_are_emptied(gateway: Gateway) -> None:
    await post(gateway, bounce(ANN), bounce(BOB, 2))
    await post(gateway, bounce(ANN), bounce(BOB, 2))
    assert await forget(gateway) == Forgotten(receipts=2, events=1)
    assert [len(receipt.body) > 0 for receipt in await rows(gateway, ReceiptRow)] == [True, False]


async def test_what_subscribers_were_not_told_yet_is_cancelled(gateway: Gateway) -> None:
    await add_endpoint(gateway, NOBODY_LISTENS, retry_schedule_s=[3600.0])
    await post(gateway, bounce(ANN), bounce(BOB, 2))
    await settled(gateway)
    done = await forget(gateway)
    assert (done.deliveries, done.events) == (1, 1)
    anns, bobs = await rows(gateway, DeliveryRow)
    assert (anns.status, anns.error) == ("cancelled", "the recipient was forgotten")
    assert bobs.status == "pending"


async def test_what_was_sent_and_answered_is_emptied(gateway: Gateway) -> None:
    async with sink(Answer(200, body=b"thanks for Ann <ann@example.com>, customer AB-4711-CD")) as subscriber:
        await add_endpoint(gateway, subscriber.url, transform="{who: data.recipient, customer: data.metadata.customer}")
        await post(gateway, bounce(ANN))
        await subscriber.arrived(1)
        await settled(gateway)
    assert (await forget(gateway)).attempts == 1
    (attempt,) = await rows(gateway, AttemptRow)
    assert (attempt.request_body, attempt.response_body) == (FORGOTTEN.encode(), FORGOTTEN.encode())
    assert (await rows(gateway, DeliveryRow))[0].status == "delivered"
    assert "AB-4711-CD" not in await everything(gateway)


async def test_an_event_about_another_goes_out_without_the_address(gateway: Gateway) -> None:
    await post_body(gateway, "resend", resend_bounce(to=[BOB, ANN]))
    assert await forget(gateway) == Forgotten(receipts=1, events=1)
    async with sink() as subscriber:
        endpoint_id, _ = await add_endpoint(gateway, subscriber.url)
        (event,) = await rows(gateway, EventRow)
        await replay(gateway, event.id, endpoint_id)
        (got,) = await subscriber.arrived(1)
    assert (got.json()["data"]["recipient"], got.json()["data"]["to"]) == (BOB, [BOB, FORGOTTEN])
    assert got.json()["data"]["subject"] == "Hello"


async def test_an_event_that_is_just_being_sent_waits_for_the_next_try(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    await add_endpoint(gateway, NOBODY_LISTENS, active=False)
    await post(gateway, bounce(ANN))
    await set_status(gateway, "sending")
    monkeypatch.setattr(forgetting, "WALK_S", 0.05)
    walked = await gateway.forgetting.walk(ENVIRONMENT, ANN)
    (event,) = await rows(gateway, EventRow)
    assert (event.recipient, walked.after) == (ANN.lower(), event.id - 1)
    await set_status(gateway, "delivered")
    again = await gateway.forgetting.walk(ENVIRONMENT, ANN, after=walked.after)
    assert (again.forgotten.events, again.after) == (1, None)
    assert not Eraser({ANN: "x"}).finds((await everything(gateway)).encode())


async def test_a_dry_run_counts_and_changes_nothing(gateway: Gateway) -> None:
    await add_endpoint(gateway, NOBODY_LISTENS, active=False)
    await post(gateway, bounce(ANN), bounce(BOB, 2))
    before = await everything(gateway)
    foretold = await forget(gateway, dry_run=True)
    assert await everything(gateway) == before
    assert await forget(gateway) == foretold == Forgotten(receipts=1, events=1, deliveries=1)
    assert await forget(gateway) == Forgotten()


async def test_another_environment_is_not_touched(gateway: Gateway) -> None:
    await post(gateway, bounce(ANN))
    walked = await gateway.forgetting.walk(2, ANN)
    assert (walked.forgotten, walked.after) == (Forgotten(), None)
    assert Eraser({ANN: "x"}).finds((await everything(gateway)).encode())


async def test_samples_of_what_no_mapping_names_go(gateway: Gateway) -> None:
    now_ms = gateway.clock.ms()  # what is old housekeeping may have removed before
    seen = {"first_seen": now_ms, "last_seen": now_ms, "receipt_id": gateway.ids.next()}
    drift = Drift(source_id=1, kind="key", name="cc", count=1, sample=f'["{ANN}"]', **seen)
    await gateway.ledger.run(lambda connection: record_drift(connection, [drift]))
    assert await forget(gateway) == Forgotten(drift=1)


async def test_jobs_that_look_for_the_address_end_and_say_no_more_whom_they_looked_for(gateway: Gateway) -> None:
    now = gateway.clock.now()
    job = {"environment_id": ENVIRONMENT, "kind": "replay", "until": now, "per_second": 1.0, "total": 0}
    job |= {"total_exact": True, "cursor": 0, "created_at": now, "updated_at": now}
    filters = [{"recipient": ANN}, {"recipient": ANN}, {"recipient": BOB}]
    states = ["running", "done", "running"]
    async with writing(gateway.engine) as connection:
        for sought, state in zip(filters, states, strict=True):
            values = job | {
                "id": gateway.ids.next(),
                "filters": sought,
                "state": state,
                "lease_until": now + timedelta(days=1),
            }
            await connection.execute(sa.insert(table_of(BulkJobRow)).values(values | {"lease_node": 999}))
    assert await forget(gateway) == Forgotten(jobs=2)
    shown = [(row.filters["recipient"], row.state) for row in await rows(gateway, BulkJobRow)]
    assert shown == [(FORGOTTEN, "cancelled"), (FORGOTTEN, "done"), (BOB, "running")]


async def test_read_again_a_shared_receipt_yields_only_what_could_not_be_read_before(gateway: Gateway) -> None:
    await post(gateway, bounce(ANN), bounce(BOB, 2), bounce(BOB, 3) | {"event": None})
    await forget(gateway)
    (receipt,) = await rows(gateway, ReceiptRow)
    done = await gateway.ingest.reprocess(receipt.id)
    assert (done.status, done.events, done.quarantined) == ("quarantined", 0, 1)
    mended = receipt.body.replace(b'"event": null', b'"event": "delivered"')
    values = stored_request(KeptRequest(receipt.method, receipt.url, receipt.headers, mended))
    async with writing(gateway.engine) as connection:
        changed = sa.update(table_of(ReceiptRow)).values(dict(zip(REQUEST_COLUMNS, values, strict=True)))
        await connection.execute(changed)
    assert (await gateway.ingest.reprocess(receipt.id)).events == 1
    assert [event.type for event in await rows(gateway, EventRow)] == [
        "email.bounced",
        "email.bounced",
        "email.delivered",
    ]


async def test_a_receipt_without_its_body_is_not_read_again(gateway: Gateway) -> None:
    await post(gateway, bounce(ANN))
    await forget(gateway)
    (receipt,) = await rows(gateway, ReceiptRow)
    with pytest.raises(NotReprocessable, match="body"):
        await gateway.ingest.reprocess(receipt.id)


async def test_long_logs_are_walked_in_small_steps(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.store.forgetting.CHUNK_ROWS_MAX", 3)
    monkeypatch.setattr(forgetting, "WRITTEN_AT_ONCE", 2)
    for number in range(10):
        await post(gateway, bounce(ANN if number % 2 else BOB, number), bounce(BOB, 100 + number))
    monkeypatch.setattr(forgetting, "WALK_S", 0.0001)
    assert await forget(gateway) == Forgotten(receipts=5, events=5)
    assert len([event for event in await rows(gateway, EventRow) if event.recipient == FORGOTTEN]) == 5


async def replay(gateway: Gateway, event_id: int, endpoint_id: int) -> None:
    delivery = {"id": gateway.ids.next(), "event_id": event_id, "endpoint_id": endpoint_id, "origin": "replay"}
    async with writing(gateway.engine) as connection:
        values = delivery | {"status": "pending", "attempts": 0, "due_at": gateway.clock.now()}
        await connection.execute(sa.insert(table_of(DeliveryRow)).values(values))
    gateway.sender.bell.ring()


async def set_status(gateway: Gateway, status: str) -> None:
    async with writing(gateway.engine) as connection:
        await connection.execute(sa.update(table_of(DeliveryRow)).values(status=status))


async def settled(gateway: Gateway) -> None:
    """Until no delivery is in the sender's hands."""
    while any(row.status == "sending" or not row.attempts for row in await rows(gateway, DeliveryRow)):
        await anyio.sleep(0.02)


def resend_bounce(to: list[str]) -> str:
    """A native bounce as Resend sends it, which names all who got the mail."""
    data = {
        "email_id": "56761188-7520-42d8-8898-ff6fc54ce618",
        "created_at": "2026-03-03T08:15:00.000Z",
        "from": "Shop <shop@example.org>",
        "to": to,
        "subject": "Hello",
        "bounce": {"message": "no such user", "type": "Permanent", "subType": "General"},
    }
    return json.dumps({"type": "email.bounced", "created_at": "2026-03-03T08:15:00.000Z", "data": data})
