"""The way through: a native request in, verified, stored and normalized; a signed event out, once, whatever happens."""

import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from standardwebhooks import Webhook

from adapters.request import NativeRequest
from app import delivery as delivery_module
from app.gateway import Gateway
from app.ingest import NotReprocessable
from app.shaping import STEPS_MAX
from app.store.endpoints import EndpointChange, change_endpoint, delete_endpoint, enable_endpoint, get_endpoint
from app.store.requests import request_of
from app.store.sources import delete_source
from app.store.tables import AttemptRow, DeliveryRow, EventRow, ReceiptRow, table_of
from tests.conftest import FrozenClock
from tests.gateways import ENVIRONMENT, Account, add_account, add_endpoint, opened, settings_for
from tests.servers import Answer, Sink
from tests.servers import sink as serve

pytestmark = pytest.mark.anyio

RECEIPT, EVENT, DELIVERY, ATTEMPT = (table_of(row) for row in (ReceiptRow, EventRow, DeliveryRow, AttemptRow))


@pytest.fixture
async def gateway(database_url: str, tmp_path: Path, clock: FrozenClock) -> AsyncIterator[Gateway]:
    async with opened(settings_for(database_url, tmp_path), clock) as gateway:
        yield gateway


@pytest.fixture
async def sink() -> AsyncIterator[Sink]:
    async with serve() as sink:
        yield sink


async def rows(gateway: Gateway, table: sa.Table) -> list[dict[str, object]]:
    async with gateway.engine.connect() as connection:
        found = (await connection.execute(sa.select(table).order_by(table.c.id))).all()
    return [{**row._mapping, **(request_of(row)._asdict() if table is RECEIPT else {})} for row in found]


async def until_delivery(gateway: Gateway, status: str, count: int = 1) -> list[dict[str, object]]:
    """The deliveries, once `count` of them have that status."""
    async with asyncio.timeout(10):
        while True:
            deliveries = await rows(gateway, DELIVERY)
            if sum(delivery["status"] == status for delivery in deliveries) >= count:
                return deliveries
            await asyncio.sleep(0.01)


async def test_a_verified_request_reaches_the_endpoint_that_asked_for_its_type(gateway: Gateway, sink: Sink) -> None:
    account = await add_account(gateway, "mailgun", "prod")
    _, secret = await add_endpoint(gateway, sink.url, "delivered")
    answer = await account.post("delivered")
    assert (answer.status, json.loads(answer.body)) == (200, {"received": True})
    [request] = await sink.arrived(1)
    event = request.json()
    assert event["type"] == "email.delivered"
    assert event["data"]["recipient"] == "ada@example.com"
    assert event["data"]["provider"]["source"] == "prod"
    assert request.headers["webhook-id"] == event["id"]
    assert request.headers["x-webhook-event"] == "email.delivered"
    assert request.headers["x-webhook-attempt"] == "1"
    expected = hmac.new(secret.encode(), request.body, hashlib.sha256).hexdigest()
    assert request.headers["x-webhook-signature"] == expected
    [delivery] = await until_delivery(gateway, "delivered")
    assert (delivery["attempts"], delivery["status_code"], delivery["lease_node"]) == (1, 200, None)
    [attempt] = await rows(gateway, ATTEMPT)
    assert (attempt["number"], attempt["status_code"], attempt["request_body"]) == (1, 200, None)
    assert json.loads(attempt["request_headers"])["webhook-id"] == event["id"]


async def test_standard_webhooks_own_library_accepts_what_arrives(
    database_url: str, tmp_path: Path, sink: Sink
) -> None:
    async with opened(settings_for(database_url, tmp_path)) as gateway:
        account = await add_account(gateway, "resend")
        _, secret = await add_endpoint(gateway, sink.url)
        await account.post("email.delivered")
        [request] = await sink.arrived(1)
        assert Webhook(secret).verify(request.body, request.headers)["type"] == "email.delivered"


async def test_only_the_subscribed_types_arrive(gateway: Gateway, sink: Sink) -> None:
    account = await add_account(gateway, "sendgrid")
    await add_endpoint(gateway, sink.url, "open, clicked,email.bounce")
    await account.post("processed", "delivered", "open", "click", "bounce", "spamreport")
    requests = await sink.arrived(3)
    assert {request.json()["type"] for request in requests} == {"email.open", "email.click", "email.bounced"}
    await until_delivery(gateway, "delivered", 3)
    assert len(await rows(gateway, EVENT)) == 6
    assert len(await rows(gateway, DELIVERY)) == 3


async def test_the_same_request_three_times_is_one_event_and_one_delivery(gateway: Gateway, sink: Sink) -> None:
    for provider, native in (("mailgun", "opened"), ("resend", "email.opened"), ("sendgrid", "open")):
        account = await add_account(gateway, provider)
        request = account.request(native)
        assert [(await account.send(request)).status for _ in range(3)] == [200, 200, 200]
    await add_endpoint(gateway, sink.url)
    assert len(await rows(gateway, EVENT)) == 3
    assert [row["status"] for row in await rows(gateway, RECEIPT)] == ["accepted", "duplicate", "duplicate"] * 3


async def test_the_same_request_at_the_same_time_is_one_event(gateway: Gateway) -> None:
    account = await add_account(gateway, "mailgun")
    request = account.request("opened")
    answers = await asyncio.gather(*(account.send(request) for _ in range(10)))
    assert {answer.status for answer in answers} == {200}
    assert len(await rows(gateway, EVENT)) == 1


async def test_the_same_sendgrid_event_under_another_id_is_the_same_event(gateway: Gateway, sink: Sink) -> None:
    account = await add_account(gateway, "sendgrid")
    await add_endpoint(gateway, sink.url)
    first = account.request("bounce", "open")
    items = json.loads(first.body)
    items[0]["sg_event_id"] = "another-id-for-the-very-same-event"
    again = resigned(gateway, account, [items[0]])
    assert (await account.send(first)).status == 200
    assert (await account.send(again)).status == 200
    await until_delivery(gateway, "delivered", 2)
    assert len(await rows(gateway, EVENT)) == 2
    assert len(sink.requests) == 2


def resigned(gateway: Gateway, account: Account, items: object) -> NativeRequest:
    """A SendGrid request with other items, signed as the account would."""
    adapter = gateway.catalog.get("sendgrid")
    request = NativeRequest(
        url="http://127.0.0.1:8420/api/webhooks/sendgrid",
        headers={"content-type": "application/json"},
        body=json.dumps(items).encode(),
    )
    return adapter.verification.sign(request, items, account.signing, gateway.clock.ms() / 1000)


async def test_a_mailgun_token_is_accepted_with_its_own_event_only(gateway: Gateway) -> None:
    account = await add_account(gateway, "mailgun")
    request = account.request("opened")
    forged = json.loads(request.body)
    forged["event-data"]["event"] = "unsubscribed"
    forged["event-data"]["id"] = "forged"
    forgery = NativeRequest(url=request.url, headers=request.headers, body=json.dumps(forged).encode())
    assert (await account.send(request)).status == 200
    assert (await account.send(request)).status == 200
    assert (await account.send(forgery)).status == 406
    assert len(await rows(gateway, EVENT)) == 1
    receipts = await rows(gateway, RECEIPT)
    assert [row["status"] for row in receipts] == ["accepted", "duplicate", "rejected"]
    assert "single-use token" in str(receipts[2]["reason"])


async def test_a_forgery_in_the_same_commit_is_refused_too(gateway: Gateway) -> None:
    account = await add_account(gateway, "mailgun")
    request = account.request("opened")
    forged = json.loads(request.body)
    forged["event-data"]["id"] = "forged"
    forgery = NativeRequest(url=request.url, headers=request.headers, body=json.dumps(forged).encode())
    answers = await asyncio.gather(account.send(request), account.send(forgery))
    assert [answer.status for answer in answers] == [200, 406]


@pytest.mark.parametrize(
    ("provider", "native", "status"), [("mailgun", "opened", 406), ("resend", "email.opened", 401)]
)
async def test_a_request_that_does_not_verify_is_kept_as_rejected(
    gateway: Gateway, provider: str, native: str, status: int
) -> None:
    account = await add_account(gateway, provider)
    other = await add_account(gateway, provider, "other")
    answer = await account.send(other.request(native))
    assert answer.status == status
    assert json.loads(answer.body)["status"] == status
    [receipt] = await rows(gateway, RECEIPT)
    assert receipt["status"] == "rejected"
    assert receipt["reason"]
    assert not await rows(gateway, EVENT)


async def test_only_the_beginning_of_a_rejected_body_is_kept(database_url: str, tmp_path: Path) -> None:
    async with opened(settings_for(database_url, tmp_path, rejected_body_bytes_max=100)) as gateway:
        account = await add_account(gateway, "resend")
        await account.send(NativeRequest(headers={}, body=b"x" * 1000))
        [receipt] = await rows(gateway, RECEIPT)
        assert receipt["body"] == b"x" * 100


async def test_an_unknown_type_is_quarantined_and_becomes_an_event_when_the_mapping_names_it(
    database_url: str, tmp_path: Path, sink: Sink
) -> None:
    shipped = (Path(__file__).parents[1] / "mappings" / "sendgrid.yaml").read_text()
    async with opened(settings_for(database_url, tmp_path)) as gateway:
        account = await add_account(gateway, "sendgrid")
        await add_endpoint(gateway, sink.url)
        item = json.loads(account.request("open").body)[0] | {"event": "teleported"}
        assert (await account.send(resigned(gateway, account, [item]))).status == 200
        [receipt] = await rows(gateway, RECEIPT)
        assert receipt["status"] == "quarantined"
        assert "teleported" in str(receipt["reason"])
        assert not await rows(gateway, EVENT)
        still = await gateway.ingest.reprocess(int(str(receipt["id"])))
        assert (still.status, still.events, still.quarantined) == ("quarantined", 0, 1)
    (tmp_path / "mappings").mkdir()
    mended = shipped.replace(
        "      processed: email.accepted\n", "      processed: email.accepted\n      teleported: email.delivered\n"
    )
    (tmp_path / "mappings" / "sendgrid.yaml").write_text(mended)
    async with opened(settings_for(database_url, tmp_path, mappings_dir=tmp_path / "mappings")) as gateway:
        done = await gateway.ingest.reprocess(int(str(receipt["id"])))
        assert (done.status, done.events, done.quarantined) == ("accepted", 1, 0)
        [request] = await sink.arrived(1)
        assert request.json()["type"] == "email.delivered"
        again = await gateway.ingest.reprocess(int(str(receipt["id"])))
        assert (again.status, again.events) == ("accepted", 0)


async def test_one_bad_item_of_a_batch_leaves_the_others_whole(gateway: Gateway, sink: Sink) -> None:
    account = await add_account(gateway, "sendgrid")
    await add_endpoint(gateway, sink.url)
    items = json.loads(account.request("open", "click").body)
    batch = [items[0], {"event": "open"}, "not an object", items[1]]
    assert (await account.send(resigned(gateway, account, batch))).status == 200
    await sink.arrived(2)
    [receipt] = await rows(gateway, RECEIPT)
    problems = json.loads(str(bytes(receipt["problems"]).decode()))  # type: ignore[arg-type]
    assert receipt["status"] == "quarantined"
    assert [problem["index"] for problem in problems] == [1, 2]


async def test_a_rejected_receipt_never_becomes_an_event(gateway: Gateway) -> None:
    account = await add_account(gateway, "resend")
    await account.send(NativeRequest(headers={}, body=b"{}"))
    [receipt] = await rows(gateway, RECEIPT)
    with pytest.raises(NotReprocessable, match="did not verify"):
        await gateway.ingest.reprocess(int(str(receipt["id"])))


async def test_a_failed_delivery_comes_again_on_schedule_with_the_same_id(gateway: Gateway, clock: FrozenClock) -> None:
    account = await add_account(gateway, "mailgun")
    async with serve(Answer(500), Answer(503), Answer(200)) as sink:
        await add_endpoint(gateway, sink.url)
        await account.post("opened")
        for attempt, wait_s in ((1, 5), (2, 30)):
            await sink.arrived(attempt)
            [delivery] = await until_delivery(gateway, "pending")
            waited_s = (delivery["due_at"] - clock.now()).total_seconds()  # type: ignore[operator]
            assert wait_s * 0.89 <= waited_s <= wait_s * 1.11
            clock.advance(waited_s + 1)
        requests = await sink.arrived(3)
        [delivery] = await until_delivery(gateway, "delivered")
    assert delivery["attempts"] == 3
    assert len({request.headers["webhook-id"] for request in requests}) == 1
    assert [request.headers["x-webhook-attempt"] for request in requests] == ["1", "2", "3"]
    assert len({request.headers["webhook-signature"] for request in requests}) == 3
    assert [row["status_code"] for row in await rows(gateway, ATTEMPT)] == [500, 503, 200]


async def test_after_the_last_wait_the_delivery_has_failed(gateway: Gateway, clock: FrozenClock) -> None:
    account = await add_account(gateway, "mailgun")
    async with serve(Answer(500)) as sink:
        await add_endpoint(gateway, sink.url, retry_schedule_s=[1, 1])
        await account.post("opened")
        for attempt in (1, 2):
            await sink.arrived(attempt)
            await until_delivery(gateway, "pending")
            clock.advance(2)
        [delivery] = await until_delivery(gateway, "failed")
    assert (delivery["attempts"], delivery["error"]) == (3, "answered 500")


async def test_an_endpoint_that_is_gone_is_disabled_and_what_follows_is_held(gateway: Gateway) -> None:
    account = await add_account(gateway, "mailgun")
    async with serve(Answer(410), Answer(200)) as sink:
        endpoint_id, _ = await add_endpoint(gateway, sink.url)
        await account.post("opened")
        await until_delivery(gateway, "failed")
        await account.post("clicked")
        await until_delivery(gateway, "held")
        endpoint = await get_endpoint(gateway.engine, ENVIRONMENT, endpoint_id)
        assert endpoint is not None
        assert not endpoint.active
        assert "410" in (endpoint.disabled_reason or "")
        assert len(sink.requests) == 1
        await enable_endpoint(gateway.engine, ENVIRONMENT, endpoint_id, gateway.clock.now())
        gateway.sender.bell.ring()
        await until_delivery(gateway, "delivered")
        assert len(sink.requests) == 2


async def test_a_paused_endpoint_gets_its_events_when_it_goes_on(gateway: Gateway, sink: Sink) -> None:
    account = await add_account(gateway, "mailgun")
    endpoint_id, _ = await add_endpoint(gateway, sink.url, active=False)
    await account.post("opened")
    await until_delivery(gateway, "held")
    await enable_endpoint(gateway.engine, ENVIRONMENT, endpoint_id, gateway.clock.now())
    await sink.arrived(1)
    await until_delivery(gateway, "delivered")


async def test_a_deleted_endpoint_is_sent_nothing_more(gateway: Gateway, clock: FrozenClock) -> None:
    account = await add_account(gateway, "mailgun")
    async with serve(Answer(500)) as sink:
        endpoint_id, _ = await add_endpoint(gateway, sink.url)
        await account.post("opened")
        await until_delivery(gateway, "pending")
        await delete_endpoint(gateway.engine, gateway.vault, ENVIRONMENT, endpoint_id, clock.now())
        await until_delivery(gateway, "cancelled")
        clock.advance(hours=1)
        await account.post("clicked")
        assert len(sink.requests) == 1
        assert len(await rows(gateway, DELIVERY)) == 1


async def test_a_filter_and_a_transform_are_applied(gateway: Gateway, sink: Sink) -> None:
    account = await add_account(gateway, "sendgrid")
    _, secret = await add_endpoint(
        gateway, sink.url, filter="data.bounce.class == 'hard'", transform="{text: data.recipient}"
    )
    await account.post("bounce", "open", "bounce/blocked")
    [request] = await sink.arrived(1)
    assert request.json() == {"text": "ada@example.com"}
    assert request.headers["x-webhook-signature"] == hmac.new(secret.encode(), request.body, "sha256").hexdigest()
    await until_delivery(gateway, "delivered")
    [attempt] = await rows(gateway, ATTEMPT)
    assert attempt["request_body"] == request.body


async def test_a_transform_that_fails_holds_the_delivery_with_the_reason(gateway: Gateway, sink: Sink) -> None:
    account = await add_account(gateway, "mailgun")
    await add_endpoint(gateway, sink.url, transform="join(', ', data.subject)")
    await account.post("opened")
    [delivery] = await until_delivery(gateway, "held")
    assert "transform failed" in str(delivery["error"])
    assert not sink.requests


async def test_a_transform_that_takes_long_is_stopped_before_others_feel_it(gateway: Gateway, sink: Sink) -> None:
    account = await add_account(gateway, "mailgun")
    await add_endpoint(gateway, sink.url, transform=" | ".join(["[@,@,@,@][]"] * 30))
    await account.post("opened")
    [delivery] = await until_delivery(gateway, "held")
    assert delivery["error"] == f"the transform failed: the evaluation takes more than {STEPS_MAX} steps"
    assert STEPS_MAX <= 100_000


async def test_headers_of_the_endpoint_are_sent(gateway: Gateway, sink: Sink) -> None:
    account = await add_account(gateway, "mailgun")
    await add_endpoint(gateway, sink.url, headers={"X-Team": "billing"})
    await account.post("opened")
    [request] = await sink.arrived(1)
    assert request.headers["x-team"] == "billing"


async def test_a_change_made_elsewhere_counts_for_the_very_next_event(gateway: Gateway, sink: Sink) -> None:
    account = await add_account(gateway, "mailgun")
    endpoint_id, _ = await add_endpoint(gateway, sink.url, "opened")
    change = EndpointChange(events="clicked")
    await change_endpoint(gateway.engine, gateway.vault, ENVIRONMENT, endpoint_id, change, gateway.clock.now())
    await account.post("opened")
    await account.post("clicked")
    [request] = await sink.arrived(1)
    assert request.json()["type"] == "email.click"
    assert len(await rows(gateway, DELIVERY)) == 1


async def test_what_was_owed_at_the_end_is_sent_after_the_next_start(
    database_url: str, tmp_path: Path, clock: FrozenClock
) -> None:
    settings = settings_for(database_url, tmp_path)
    async with serve(Answer(500), Answer(200)) as sink:
        async with opened(settings, clock) as gateway:
            account = await add_account(gateway, "mailgun")
            await add_endpoint(gateway, sink.url)
            await account.post("opened")
            await until_delivery(gateway, "pending")
        clock.advance(60)
        async with opened(settings, clock) as gateway:
            await sink.arrived(2)
            await until_delivery(gateway, "delivered")


async def test_the_lease_of_a_dead_node_lapses(gateway: Gateway, sink: Sink, clock: FrozenClock) -> None:
    account = await add_account(gateway, "mailgun")
    endpoint_id, _ = await add_endpoint(gateway, sink.url, active=False)
    await account.post("opened")
    taken = sa.update(DELIVERY).values(status="sending", lease_node=999, lease_until=clock.ms() + 10_000)
    async with gateway.engine.begin() as connection:
        await connection.execute(taken)
    change = EndpointChange(active=True)
    await change_endpoint(gateway.engine, gateway.vault, ENVIRONMENT, endpoint_id, change, clock.now())
    await asyncio.sleep(0.1)
    assert not sink.requests
    clock.advance(11)
    await sink.arrived(1)
    await until_delivery(gateway, "delivered")


async def test_a_hanging_endpoint_does_not_hold_up_another(gateway: Gateway, sink: Sink) -> None:
    account = await add_account(gateway, "mailgun")
    async with serve(Answer(then="hang")) as hanging:
        await add_endpoint(gateway, hanging.url, timeout_s=60, max_in_flight=2)
        await add_endpoint(gateway, sink.url)
        await asyncio.gather(*(account.post("opened") for _ in range(100)))
        await sink.arrived(100)
        assert len(hanging.requests) <= 2


async def test_a_fault_of_ours_does_not_end_the_search_for_due_work(
    gateway: Gateway, clock: FrozenClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = await add_account(gateway, "mailgun")
    async with serve(Answer(503), Answer(200)) as failing:
        await add_endpoint(gateway, failing.url)
        await account.post("opened")
        await until_delivery(gateway, "pending")
        with monkeypatch.context() as broken:
            broken.setattr(delivery_module, "find_work", None)
            await asyncio.sleep(0.1)
        clock.advance(seconds=10)
        await until_delivery(gateway, "delivered")


async def test_a_rate_limit_spreads_the_attempts(database_url: str, tmp_path: Path, sink: Sink) -> None:
    async with opened(settings_for(database_url, tmp_path)) as gateway:
        account = await add_account(gateway, "mailgun")
        await add_endpoint(gateway, sink.url, rate_limit_per_s=20)
        began = asyncio.get_running_loop().time()
        await asyncio.gather(*(account.post("opened") for _ in range(11)))
        await sink.arrived(11)
        assert asyncio.get_running_loop().time() - began >= 10 / 20


async def test_a_slow_rate_holds_for_events_that_come_one_by_one(gateway: Gateway, sink: Sink) -> None:
    account = await add_account(gateway, "mailgun")
    await add_endpoint(gateway, sink.url, rate_limit_per_s=0.01)
    await account.post("opened")
    await until_delivery(gateway, "delivered")
    for _ in range(2):  # two looks at the store, in which what is idle is let go
        await gateway.sender._look()  # pyright: ignore[reportPrivateUsage]
    await account.post("opened")
    assert [row["status"] for row in await until_delivery(gateway, "sending")] == ["delivered", "sending"]
    await asyncio.sleep(0.1)
    assert len(sink.requests) == 1


async def test_a_test_event_goes_to_its_endpoint_alone(gateway: Gateway, sink: Sink) -> None:
    async with serve() as other:
        endpoint_id, _ = await add_endpoint(gateway, sink.url, "bounce")
        await add_endpoint(gateway, other.url, "*")
        await gateway.ingest.send_test(ENVIRONMENT, endpoint_id)
        [request] = await sink.arrived(1)
        assert request.json()["type"] == "webhook.test"
        await until_delivery(gateway, "delivered")
        assert not other.requests


async def test_a_request_without_a_source_name_finds_the_source_whose_secret_verifies(gateway: Gateway) -> None:
    await add_account(gateway, "mailgun")
    await add_account(gateway, "resend", "first")
    second = await add_account(gateway, "resend", "second")
    await add_account(gateway, "resend", "third")
    answer = await gateway.ingest.receive(None, second.request("email.opened"))
    assert answer.status == 200
    [event] = await rows(gateway, EVENT)
    assert json.loads(bytes(event["body"]))["data"]["provider"]["source"] == "second"  # type: ignore[arg-type]


async def test_a_deleted_source_is_unknown(gateway: Gateway) -> None:
    account = await add_account(gateway, "mailgun")
    await delete_source(gateway.engine, gateway.vault, ENVIRONMENT, "mailgun", gateway.clock.now())
    await gateway.registry.reload()
    assert (await account.post("opened")).status == 404
    again = await add_account(gateway, "mailgun")
    assert (await again.post("opened")).status == 200


async def test_a_request_that_no_source_recognises_is_not_kept(gateway: Gateway) -> None:
    await add_account(gateway, "mailgun")
    answer = await gateway.ingest.receive(None, NativeRequest(headers={}, body=b'{"hello": 1}'))
    assert answer.status == 404
    assert not await rows(gateway, RECEIPT)


async def test_the_gateways_own_form_is_taken_with_an_api_key(gateway: Gateway) -> None:
    await add_account(gateway, "generic")
    body = b'{"type": "email.bounced", "email_id": "m1", "recipient": "a@b.c", "timestamp": "2026-03-03T08:00:00Z"}'
    request = NativeRequest(headers={"content-type": "application/json"}, body=body)
    assert (await gateway.ingest.receive("generic", request)).status == 401
    assert (await gateway.ingest.receive("generic", request, api_key="mw_live_not_a_key_of_ours")).status == 401
    assert (await gateway.ingest.receive("generic", request, api_key="mw_live_for_the_tests")).status == 200
    [event] = await rows(gateway, EVENT)
    assert event["type"] == "email.bounced"


async def test_credentials_in_headers_are_not_kept(gateway: Gateway) -> None:
    await add_account(gateway, "generic")
    request = NativeRequest(headers={"authorization": "Bearer mw_live_for_the_tests"}, body=b"{}")
    await gateway.ingest.receive("generic", request)
    [receipt] = await rows(gateway, RECEIPT)
    assert b"mw_live" not in bytes(receipt["headers"])  # type: ignore[arg-type]
