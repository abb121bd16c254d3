"""What strangers can do to the way in: little work, little disk, and no passwords to read afterwards."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from adapters.catalog import Catalog
from adapters.decoders import CONTAINERS_MAX, parse_json
from adapters.errors import DecodeFailed, VerificationFailed
from adapters.request import NativeRequest
from app.gateway import Gateway
from app.refusals import REJECTED_KEPT_PER_MINUTE
from app.settings import Settings
from app.store.accounts import create_key
from app.store.requests import request_of
from app.store.sources import NewSource, create_source
from app.store.tables import EventRow, ReceiptRow, table_of
from tests.conftest import FrozenClock
from tests.gateways import ENVIRONMENT, add_account, opened, settings_for

pytestmark = pytest.mark.anyio

RECEIPT, EVENT = table_of(ReceiptRow), table_of(EventRow)
KEY = "mw_live_for_the_tests"
CATALOG = Catalog.load()
JSON = {"content-type": "application/json"}


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    return settings_for(database_url, tmp_path)


@pytest.fixture
async def gateway(settings: Settings, clock: FrozenClock) -> AsyncIterator[Gateway]:
    async with opened(settings, clock) as gateway:
        yield gateway


async def add_source(gateway: Gateway, name: str, provider: str, **secrets: str) -> None:
    """Without secrets it is one whose requests are all believed."""
    source = NewSource(
        name=name,
        provider=provider,
        secrets={secret: [text] for secret, text in secrets.items()},
        options={},
        verification="required" if secrets else "none",
    )
    await create_source(gateway.engine, gateway.vault, ENVIRONMENT, source, gateway.clock.now())
    await gateway.registry.reload()


async def rows(gateway: Gateway, table: sa.Table) -> list[dict[str, Any]]:
    async with gateway.engine.connect() as connection:
        found = (await connection.execute(sa.select(table).order_by(table.c.id))).all()
    return [{**row._mapping, **(request_of(row)._asdict() if table is RECEIPT else {})} for row in found]


async def sources_of(gateway: Gateway, table: sa.Table) -> list[str]:
    names = {source.id: source.name for source in gateway.registry.sources()}
    return [names[row["source_id"]] for row in await rows(gateway, table)]


def unsigned(body: bytes = b'[{"sg_event_id": "1"}]', url: str = "", **headers: str) -> NativeRequest:
    return NativeRequest(url=url, headers=JSON | headers, body=body)


class TestWork:
    @pytest.mark.parametrize(
        ("provider", "header"),
        [
            ("sendgrid", "x-twilio-email-event-webhook-signature"),
            ("resend", "svix-signature"),
            ("postal", "x-postal-signature-256"),
            ("mailtrap", "mailtrap-signature"),
        ],
    )
    def test_what_does_not_verify_is_not_decoded(self, provider: str, header: str) -> None:
        for request in (unsigned(), unsigned(**{header: "v1,AAAA", "svix-id": "1", "svix-timestamp": "1"})):
            refused(provider, request)
            assert request.decoded == {}

    @pytest.mark.parametrize("provider", ["zeptomail", "mandrill"])
    def test_a_missing_signature_is_refused_undecoded_though_one_would_cover_the_decoded_body(
        self, provider: str
    ) -> None:
        request = unsigned()
        refused(provider, request)
        assert request.decoded == {}

    def test_a_proof_inside_the_body_is_looked_for_there(self) -> None:
        request = unsigned()
        refused("mailgun", request)
        assert "json" in request.decoded

    async def test_a_body_is_decoded_once_for_all_sources(self, gateway: Gateway) -> None:
        for number in range(3):
            await add_account(gateway, "sendgrid", f"sendgrid-{number}")
        account = await add_account(gateway, "sendgrid", "last")
        request = account.request("open")
        decoded = Counting()
        request.decoded = decoded
        assert (await gateway.ingest.receive(None, request)).status == 200
        assert sorted(decoded.written) == ["auto", "json"]
        assert await sources_of(gateway, EVENT) == ["last"]

    async def test_an_adapter_looks_at_a_request_once_however_many_sources_it_has(self, gateway: Gateway) -> None:
        for number in range(3):
            await add_account(gateway, "sendgrid", f"sendgrid-{number}")
        assert (await gateway.ingest.receive(None, unsigned())).status == 401
        assert len(await rows(gateway, RECEIPT)) == 1

    @pytest.mark.parametrize(
        "body",
        [
            b'{"a": "' + b"\\n" * 1_000_000,
            b'{"a": "' + b"\\ud800" * 300_000 + b'"}',
            b"[" + b"[]," * 500_000 + b"[]]",
            b"1\n" * 1_000_000,
        ],
        ids=["escapes", "halves of characters", "lists", "lines"],
    )
    def test_an_odd_large_body_costs_no_more_than_its_length(self, body: bytes) -> None:
        """The test would not end where the cost grew faster than the body."""
        assert CATALOG.recognize(unsigned(body)) == []

    def test_more_objects_and_lists_than_a_batch_needs_are_refused_unread(self) -> None:
        assert parse_json(b"[" + b",".join([b"{}"] * (CONTAINERS_MAX - 1)) + b"]")
        with pytest.raises(DecodeFailed, match="the most"):
            parse_json(b"[" * (CONTAINERS_MAX + 1))


def refused(provider: str, request: NativeRequest) -> None:
    adapter = CATALOG.get(provider)
    secrets, _ = adapter.generate_secrets()
    with pytest.raises(VerificationFailed):
        adapter.read(request, {name: [text] for name, text in secrets.items()}, 0, 0)


class Counting(dict[str, Any]):
    """What was decoded, and how often."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[str] = []

    def __setitem__(self, kind: str, value: Any) -> None:
        self.written.append(kind)
        super().__setitem__(kind, value)


class TestPasswords:
    @pytest.mark.parametrize(
        ("url", "header", "shown_url", "shown_header"),
        [
            ("/in?token=s3cret&a=1", None, "/in?token=(hidden)&a=1", None),
            ("/in?a=1&%74oken=s3cret", None, "/in?a=1&%74oken=(hidden)", None),
            ("/in?a=1", "x-webhook-token", "/in?a=1", "(hidden)"),
            ("/in", "authorization", "/in", "(hidden)"),
            ("/in", "x-trace", "/in", "Bearer s3cret"),
        ],
    )
    async def test_a_token_is_not_kept_with_the_receipt(
        self, gateway: Gateway, url: str, header: str | None, shown_url: str, shown_header: str | None
    ) -> None:
        await add_source(gateway, "postmark", "postmark", token="s3cret")
        request = unsigned(b'{"RecordType": "Open"}', url, **({header: "Bearer s3cret"} if header else {}))
        await gateway.ingest.receive("postmark", request)
        [receipt] = await rows(gateway, RECEIPT)
        assert receipt["url"] == shown_url
        assert json.loads(receipt["headers"]).get(header) == shown_header

    async def test_a_wrong_token_is_not_kept_either(self, gateway: Gateway) -> None:
        await add_source(gateway, "postmark", "postmark", token="s3cret")
        await gateway.ingest.receive("postmark", unsigned(url="/in?token=of-last-month"))
        [receipt] = await rows(gateway, RECEIPT)
        assert (receipt["status"], receipt["url"]) == ("rejected", "/in?token=(hidden)")

    async def test_signatures_and_their_times_stay(self, gateway: Gateway) -> None:
        account = await add_account(gateway, "resend")
        request = account.request("email.opened")
        await account.send(request)
        [receipt] = await rows(gateway, RECEIPT)
        assert json.loads(receipt["headers"]) == request.headers

    async def test_a_receipt_without_its_token_is_read_again_as_the_same_events(self, gateway: Gateway) -> None:
        await add_source(gateway, "elastic", "elastic_email", token="s3cret")
        query = "token=s3cret&status=Sent&to=ada%40example.com&date=2026-03-03&messageid=m1"
        request = NativeRequest(method="GET", url=f"/in?{query}", headers={}, body=b"")
        assert (await gateway.ingest.receive("elastic", request)).status == 200
        [receipt] = await rows(gateway, RECEIPT)
        assert "s3cret" not in receipt["url"]
        again = await gateway.ingest.reprocess(receipt["id"])
        assert (again.status, again.events, again.quarantined) == ("accepted", 0, 0)
        assert len(await rows(gateway, EVENT)) == 1


class TestSourcesOfOneShape:
    async def test_one_that_proves_nothing_comes_after_those_that_do(self, gateway: Gateway) -> None:
        await add_source(gateway, "open", "sendgrid")
        signed = await add_account(gateway, "sendgrid", "signed")
        await add_source(gateway, "open-too", "sendgrid")
        assert (await gateway.ingest.receive(None, signed.request("open"))).status == 200
        assert (await gateway.ingest.receive(None, unsigned())).status == 200
        assert await sources_of(gateway, RECEIPT) == ["signed", "open"]

    async def test_a_key_of_the_gateway_finds_the_generic_source(self, gateway: Gateway) -> None:
        for name in ("first", "second"):
            await add_source(gateway, name, "generic", signing_secret="0123456789abcdef" * 2)
        assert (await gateway.ingest.receive(None, generic_request(KEY), api_key=KEY)).status == 200
        assert await sources_of(gateway, EVENT) == ["first"]

    @pytest.mark.parametrize("role", ["none", "read"])
    async def test_a_key_that_may_not_write_is_refused(self, gateway: Gateway, role: str) -> None:
        await add_source(gateway, "generic", "generic", signing_secret="0123456789abcdef" * 2)
        key = "mw_live_" + "x" * 32
        if role != "none":
            _, key = await create_key(gateway.engine, ENVIRONMENT, "reader", role, gateway.clock.now())
        assert (await gateway.ingest.receive(None, generic_request(key), api_key=key)).status == 401

    async def test_a_generic_body_without_any_proof_is_recognized_by_nobody(self, gateway: Gateway) -> None:
        await add_source(gateway, "generic", "generic", signing_secret="0123456789abcdef" * 2)
        assert (await gateway.ingest.receive(None, generic_request(None))).status == 404


def generic_request(key: str | None) -> NativeRequest:
    event = {"type": "email.bounced", "email_id": "m1", "recipient": "a@b.c", "timestamp": "2026-03-03T08:00:00Z"}
    return unsigned(json.dumps(event).encode(), **({"authorization": f"Bearer {key}"} if key else {}))


class TestDisk:
    async def test_of_many_refused_requests_some_are_kept_and_all_are_refused(
        self, gateway: Gateway, clock: FrozenClock
    ) -> None:
        flooded, quiet = await add_account(gateway, "resend"), await add_account(gateway, "resend", "quiet")
        answers = [await flooded.send(unsigned()) for _ in range(REJECTED_KEPT_PER_MINUTE + 5)]
        assert {answer.status for answer in answers} == {401}
        assert answers[-1] == answers[0]
        assert len(await rows(gateway, RECEIPT)) == REJECTED_KEPT_PER_MINUTE
        await quiet.send(unsigned())
        clock.advance(minutes=1)
        await flooded.send(unsigned())
        assert len(await rows(gateway, RECEIPT)) == REJECTED_KEPT_PER_MINUTE + 2

    async def test_what_verifies_is_taken_in_during_a_flood(self, gateway: Gateway) -> None:
        account = await add_account(gateway, "resend")
        for _ in range(REJECTED_KEPT_PER_MINUTE + 1):
            await account.send(unsigned())
        assert (await account.post("email.opened")).status == 200
        assert len(await rows(gateway, EVENT)) == 1
