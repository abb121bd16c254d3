"""Handshakes on the way in: certificates and consents that are fetched, credentials that are asked for, echoes."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from adapters.request import NativeRequest
from app.egress import Egress, Guard
from app.gateway import Gateway
from app.ingest import Answer, Ingest
from app.outcome import PostNotes, PostOutcome
from app.store.sources import NewSource, create_source
from app.store.tables import EventRow, ReceiptRow, table_of
from app.visits import CERTIFICATES_MAX, FETCHES_MAX, Visits
from tests.adapters.sns_messages import (
    CERTIFICATE_URL,
    SUBSCRIBE_URL,
    TOPIC,
    certificate,
    confirmation,
    notification,
    raw_request,
    request_of,
)
from tests.conftest import FrozenClock
from tests.gateways import ENVIRONMENT, opened, settings_for
from tests.servers import Answer as Scripted
from tests.servers import self_signed, sink

pytestmark = pytest.mark.anyio

RECEIPT, EVENT = table_of(ReceiptRow), table_of(EventRow)
BASIC = "Basic dXNlcjpwYXNzd29yZA=="
SENT = {
    "eventType": "Send",
    "mail": {"messageId": "m1", "timestamp": "2026-01-01T00:00:00Z", "destination": ["ann@example.net"]},
    "send": {},
}


class Amazon:
    """The far side: what lies at which URL, and which were asked for."""

    def __init__(self) -> None:
        self.pages: dict[str, tuple[int, bytes]] = {CERTIFICATE_URL: (200, certificate()), SUBSCRIBE_URL: (200, b"ok")}
        self.asked: list[str] = []
        self.open = asyncio.Event()
        self.open.set()

    async def get(self, url: str, *, timeout_s: float) -> PostOutcome:  # noqa: ARG002  as the door has it
        self.asked.append(url)
        await self.open.wait()
        notes = PostNotes(64 * 1024)
        notes.answer.status, notes.answer.body = self.pages.get(url, (404, b""))
        return notes.outcome()


@pytest.fixture
def amazon() -> Amazon:
    return Amazon()


@pytest.fixture
async def gateway(database_url: str, tmp_path: Path, clock: FrozenClock, amazon: Amazon) -> AsyncIterator[Gateway]:
    settings = settings_for(database_url, tmp_path)
    async with opened(settings, clock) as gateway:
        parts = (gateway.registry, gateway.ledger, gateway.engine, clock, settings, gateway.ids.next)
        gateway.ingest = Ingest(*parts, Visits(amazon, clock), gateway.drifts)
        yield gateway


async def add(gateway: Gateway, provider: str = "amazon_ses", **fields: Any) -> None:
    source = NewSource(name="ours", provider=provider, **fields)
    await create_source(gateway.engine, gateway.vault, ENVIRONMENT, source, gateway.clock.now())
    await gateway.registry.reload()


async def post(gateway: Gateway, request: NativeRequest) -> Answer:
    return await gateway.ingest.receive("ours", request)


async def receipts(gateway: Gateway) -> list[tuple[str, str | None]]:
    query = sa.select(RECEIPT.c.status, RECEIPT.c.reason).order_by(RECEIPT.c.id)
    async with gateway.engine.connect() as connection:
        return [(row.status, row.reason) for row in await connection.execute(query)]


TOPICS: dict[str, Any] = {"options": {"topic_arns": [TOPIC]}}


async def test_a_signed_message_is_verified_with_the_certificate_fetched_once(gateway: Gateway, amazon: Amazon) -> None:
    await add(gateway, **TOPICS)
    for number in range(3):
        message = notification({**SENT, "mail": {**SENT["mail"], "messageId": f"m{number}"}})
        assert (await post(gateway, request_of(message))).status == 200
    assert amazon.asked == [CERTIFICATE_URL]
    assert await receipts(gateway) == [("accepted", None)] * 3


async def test_a_forged_message_is_rejected(gateway: Gateway, amazon: Amazon) -> None:
    await add(gateway, **TOPICS)
    answer = await post(gateway, request_of({**notification(SENT), "MessageId": "another"}))
    assert (answer.status, dict(answer.headers).get("WWW-Authenticate")) == (401, None)
    ((status, reason),) = await receipts(gateway)
    assert status == "rejected"
    assert reason is not None
    assert "does not match" in reason


async def test_a_certificate_that_cannot_be_had_makes_the_provider_try_again(gateway: Gateway, amazon: Amazon) -> None:
    await add(gateway, **TOPICS)
    amazon.pages[CERTIFICATE_URL] = (503, b"")
    answer = await post(gateway, request_of(notification(SENT)))
    assert (answer.status, dict(answer.headers)["Retry-After"]) == (503, "5")
    assert await receipts(gateway) == []
    amazon.pages[CERTIFICATE_URL] = (200, certificate())
    gateway.clock.advance(10)  # type: ignore[attr-defined]
    assert (await post(gateway, request_of(notification(SENT)))).status == 200


@pytest.mark.parametrize("url", ["https://evil.example/x.pem", "http://sns.eu-west-1.amazonaws.com/x.pem"])
async def test_nothing_is_fetched_from_elsewhere(gateway: Gateway, amazon: Amazon, url: str) -> None:
    await add(gateway, **TOPICS)
    assert (await post(gateway, request_of({**notification(SENT), "SigningCertURL": url}))).status == 401
    assert (await post(gateway, request_of(confirmation(SubscribeURL=url)))).status == 401
    assert (await post(gateway, request_of(notification(SENT, TopicArn=f"{TOPIC}-theirs")))).status == 401
    assert set(amazon.asked) <= {CERTIFICATE_URL}


async def test_a_subscription_is_confirmed_before_it_is_kept(gateway: Gateway, amazon: Amazon) -> None:
    await add(gateway, **TOPICS)
    assert (await post(gateway, request_of(confirmation()))).status == 200
    assert amazon.asked == [CERTIFICATE_URL, SUBSCRIBE_URL]
    assert await receipts(gateway) == [("accepted", "subscription confirmed")]


async def test_a_consent_that_fails_is_asked_for_again(gateway: Gateway, amazon: Amazon) -> None:
    await add(gateway, **TOPICS)
    amazon.pages[SUBSCRIBE_URL] = (403, b"")
    assert (await post(gateway, request_of(confirmation()))).status == 503
    assert await receipts(gateway) == []


@pytest.mark.parametrize("proof", [{"verification": "none"}, {"secrets": {"basic_auth": ["user:password"]}}], ids=str)
async def test_an_unsigned_subscription_is_kept_and_not_confirmed(
    gateway: Gateway, amazon: Amazon, proof: dict[str, Any]
) -> None:
    await add(gateway, **proof)
    assert (await post(gateway, request_of(confirmation(), authorization=BASIC))).status == 200
    ((status, reason),) = await receipts(gateway)
    assert (status, (reason or "").startswith("subscription not confirmed")) == ("accepted", True)
    assert amazon.asked == []


async def test_the_end_of_a_subscription_visits_nothing(gateway: Gateway, amazon: Amazon) -> None:
    await add(gateway, **TOPICS)
    assert (await post(gateway, request_of(confirmation("UnsubscribeConfirmation")))).status == 200
    assert amazon.asked == [CERTIFICATE_URL]


async def test_credentials_are_asked_for_and_then_taken(gateway: Gateway) -> None:
    await add(gateway, secrets={"basic_auth": ["user:password"]})
    asked = await post(gateway, raw_request(SENT))
    assert asked.status == 401
    assert dict(asked.headers)["WWW-Authenticate"].startswith("Basic ")
    assert (await post(gateway, raw_request(SENT, authorization=BASIC))).status == 200


async def test_an_echo_is_given_once_the_request_has_verified(gateway: Gateway) -> None:
    await add(gateway, "azure", secrets={"token": ["s3cret"]})
    event = {"eventType": "Microsoft.EventGrid.SubscriptionValidationEvent", "data": {"validationCode": "512d"}}
    body = json.dumps([event]).encode()
    assert (await post(gateway, NativeRequest(headers={}, body=body))).status == 401
    answer = await post(gateway, NativeRequest(url="https://x.example/?secret=s3cret", headers={}, body=body))
    assert (answer.status, json.loads(answer.body)) == (200, {"validationResponse": "512d"})
    assert (await receipts(gateway))[-1] == ("accepted", "the provider's handshake, answered")


async def test_other_methods_are_answered_where_the_mapping_says_so(gateway: Gateway) -> None:
    await add(gateway, "unisender_go", secrets={"signing_secret": ["key"]})
    assert (await post(gateway, NativeRequest(method="GET", headers={}, body=b""))).status == 200
    refused = await post(gateway, NativeRequest(method="OPTIONS", headers={}, body=b""))
    assert (refused.status, dict(refused.headers)["Allow"]) == (405, "POST, GET, HEAD")
    assert await receipts(gateway) == []


async def test_a_source_is_found_by_its_topic_where_the_url_names_none(gateway: Gateway) -> None:
    await add(gateway, options={"topic_arns": [f"{TOPIC}-other"]})
    mine = NewSource(name="mine", provider="amazon_ses", options={"topic_arns": [TOPIC]})
    await create_source(gateway.engine, gateway.vault, ENVIRONMENT, mine, gateway.clock.now())
    await gateway.registry.reload()
    assert (await gateway.ingest.receive(None, request_of(notification(SENT)))).status == 200


async def test_one_fetch_serves_all_who_wait(clock: FrozenClock, amazon: Amazon) -> None:
    visits = Visits(amazon, clock)
    amazon.open.clear()
    waiting = [asyncio.create_task(visits.certificate(CERTIFICATE_URL)) for _ in range(5)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    amazon.open.set()
    assert await asyncio.gather(*waiting[1:]) == [certificate()] * 4
    assert amazon.asked == [CERTIFICATE_URL]


async def test_certificates_are_kept_for_a_day_and_failures_for_seconds(clock: FrozenClock, amazon: Amazon) -> None:
    visits = Visits(amazon, clock)
    for url, kept_s in ((CERTIFICATE_URL, 86_399), ("https://sns.x.amazonaws.com/gone.pem", 4)):
        amazon.asked.clear()
        await visits.certificate(url)
        clock.advance(kept_s)
        await visits.certificate(url)
        assert amazon.asked == [url]
        clock.advance(2)
        await visits.certificate(url)
        assert amazon.asked == [url, url]


async def test_made_up_urls_grow_nothing_without_bound(clock: FrozenClock, amazon: Amazon) -> None:
    visits = Visits(amazon, clock)
    for number in range(CERTIFICATES_MAX + 10):
        await visits.certificate(f"https://sns.x.amazonaws.com/{number}.pem")
    amazon.asked.clear()
    await visits.certificate("https://sns.x.amazonaws.com/0.pem")
    await visits.certificate(f"https://sns.x.amazonaws.com/{CERTIFICATES_MAX}.pem")
    assert amazon.asked == ["https://sns.x.amazonaws.com/0.pem"]
    amazon.open.clear()
    urls = [f"https://sns.y.amazonaws.com/{number}.pem" for number in range(FETCHES_MAX)]
    waiting = [asyncio.create_task(visits.certificate(url)) for url in urls]
    await asyncio.sleep(0)
    assert await visits.certificate(CERTIFICATE_URL) is None
    amazon.open.set()
    await asyncio.gather(*waiting)


async def test_a_certificate_comes_over_a_real_connection_and_never_in_plain_text(
    tmp_path: Path, clock: FrozenClock
) -> None:
    tls, trusted = self_signed(tmp_path)
    guard = Guard(("127.0.0.0/8",))
    egress = Egress(guard, user_agent="Mailweir/test", extra_ca_file=str(trusted))
    async with sink(Scripted(body=certificate()), tls=tls) as server, sink() as plain:
        visits = Visits(egress, clock)
        assert await visits.certificate(server.url) == certificate()
        assert await visits.consent(server.url) is None
        assert await visits.consent(plain.url) == "only https is visited"
        assert [(seen.method, seen.body) for seen in server.requests] == [("GET", b"")] * 2
        assert plain.requests == []
    await egress.aclose()


async def test_a_page_that_is_too_long_is_no_certificate(tmp_path: Path, clock: FrozenClock) -> None:
    tls, trusted = self_signed(tmp_path)
    egress = Egress(Guard(("127.0.0.0/8",)), user_agent="Mailweir/test", extra_ca_file=str(trusted))
    async with sink(Scripted(body=b"x" * 65_537), tls=tls) as server:
        assert await Visits(egress, clock).certificate(server.url) is None
    await egress.aclose()
