"""What a source redacts is never stored, in whichever table."""

import json
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlmodel import SQLModel

from adapters.events import BLOCKS, Bounce, Click, Client, EventData, Geo, Provider
from adapters.request import NativeRequest
from app.gateway import Gateway
from app.ingest import NotReprocessable
from app.redaction import FIELDS, Redaction, pseudonym, unknown_words
from app.store.forgetting import Forgotten
from app.store.sealing import reseal_secrets
from app.store.sources import NewSource, SourceChange, change_source, create_source
from app.store.tables import DriftRow, EventRow, ReceiptRow
from app.store.transactions import writing
from app.vault import Vault
from tests import stored
from tests.gateways import ENVIRONMENT, add_endpoint, opened, settings_for
from tests.servers import sink

pytestmark = pytest.mark.anyio

KEY, OTHER_KEY = b"k" * 32, b"o" * 32
EVERYTHING = (*FIELDS, "metadata.customer")
PERSONAL = ("ann", "example.com", "hello", "203.0.113.7", "mozilla", "4711", "berlin", "shop@")


def data(**fields: Any) -> EventData:
    given: dict[str, Any] = {
        "recipient": "Ann@Example.com",
        "to": ["Ann <ann@example.com>", "bob@example.org"],
        "provider": Provider(name="resend", source="prod"),
        "subject": "Hello",
        "from_": "Shop <shop@example.com>",
        "metadata": {"customer": "4711", "campaign": "spring", "copy": "mail to ann@example.com"},
        "client": Client(ip="203.0.113.7", user_agent="Mozilla/5.0", os="iOS"),
        "geo": Geo(country="DE", city="Berlin"),
        "click": Click(url="https://shop.example/?to=ann%40example.com"),
        "bounce": Bounce(class_="hard", diagnostic="550 <ANN@example.com>: unknown"),
    }
    return EventData(**given | fields)


def redacted(*words: str, key: bytes = KEY, **fields: Any) -> EventData:
    return Redaction(words, key).of_event(data(**fields))


async def test_a_recipient_becomes_a_pseudonym_wherever_the_address_stands() -> None:
    found = redacted("recipient")
    ann = pseudonym("ann@example.com", KEY)
    assert ann.endswith("@redacted.invalid")
    assert (found.recipient, found.to) == (ann, [ann, pseudonym("bob@example.org", KEY)])
    assert found.metadata["copy"] == f"mail to {ann}"
    assert isinstance(found.bounce, Bounce)
    assert found.bounce.diagnostic == f"550 <{ann}>: unknown"
    assert isinstance(found.click, Click)
    assert found.click.url == f"https://shop.example/?to={ann}"
    assert (found.subject, found.from_) == ("Hello", "Shop <shop@example.com>")


async def test_pseudonyms_are_stable_and_belong_to_a_key() -> None:
    assert redacted("recipient").recipient == redacted("recipient", recipient="ann@EXAMPLE.com").recipient
    assert redacted("recipient").recipient != redacted("recipient", key=OTHER_KEY).recipient
    assert redacted("recipient").recipient != redacted("recipient", recipient="bob@example.com").recipient


async def test_each_word_takes_out_its_field_and_nothing_else() -> None:
    whole = data()
    for word, (field, path) in {
        "subject": ("subject", None),
        "ip": ("client", "ip"),
        "user_agent": ("client", "user_agent"),
        "geo": ("geo", None),
        "url": ("click", "url"),
        "tags": ("tags", None),
        "metadata": ("metadata", None),
        "metadata.customer": ("metadata", None),
        "from": ("from_", None),
    }.items():
        found = redacted(word, tags=["spring"])
        changed = {name for name in found.__struct_fields__ if getattr(found, name) != getattr(whole, name)} - {"tags"}
        assert changed == {field} - {"tags"}, word
        assert found.tags == ([] if word == "tags" else ["spring"])
        if path:
            assert getattr(getattr(found, field), path) is None
            assert isinstance(getattr(found, field), BLOCKS[field])
    assert redacted("metadata.customer").metadata == {"campaign": "spring", "copy": "mail to ann@example.com"}
    assert redacted("metadata").metadata == {}
    assert redacted("subject", client=Client()).subject is None


async def test_words_that_mean_nothing_are_told() -> None:
    assert unknown_words([*EVERYTHING, "body", "metadata.", "Recipient"]) == ["body", "metadata.", "Recipient"]


async def test_bodies_can_be_told_apart_by_what_is_kept_of_them_and_events_be_known_again() -> None:
    one, other = Redaction(["ip"], KEY), Redaction(["ip"], OTHER_KEY)
    assert one.of_body(b"a") == one.of_body(b"a") != one.of_body(b"b")
    assert one.of_body(b"a") != other.of_body(b"a")
    assert one.of_dedup_key(b"a") == one.of_dedup_key(b"a") != other.of_dedup_key(b"a")


@pytest.fixture
async def gateway(database_url: str, tmp_path: Path):
    async with opened(settings_for(database_url, tmp_path, secret_key="first")) as gateway:
        await add_source(gateway, "prod", EVERYTHING)
        yield gateway


async def add_source(gateway: Gateway, name: str, redact: tuple[str, ...] = ()) -> None:
    source = NewSource(name=name, provider="resend", verification="none", redact=redact)
    await create_source(gateway.engine, gateway.vault, ENVIRONMENT, source, gateway.clock.now())
    await gateway.registry.reload()


async def post(gateway: Gateway, number: int = 1, *, source: str = "prod", **others: Any) -> None:
    native = {
        "type": "email.clicked",
        "created_at": f"2026-03-03T08:15:00.00{number}Z",
        "data": {
            "email_id": "56761188-7520-42d8-8898-ff6fc54ce618",
            "from": "Shop <shop@example.com>",
            "to": ["Ann@example.com"],
            "subject": "Hello",
            "tags": {"customer": "4711"},
            "click": {
                "ipAddress": "203.0.113.7",
                "link": "https://shop.example/?to=ann@example.com",
                "timestamp": "2026-03-03T08:15:00.000Z",
                "userAgent": "Mozilla/5.0 (Berlin)",
            },
        },
    }
    request = NativeRequest(
        url=f"http://127.0.0.1:8420/api/webhooks/{source}?to=ann@example.com",
        headers={"content-type": "application/json", "x-customer": "4711", "user-agent": "Svix/1"},
        body=json.dumps(native | others).encode(),
    )
    assert (await gateway.ingest.receive(source, request)).status == 200


async def everything(gateway: Gateway) -> str:
    return (await stored.everything(gateway.engine)).replace("tests/", "")


async def rows(gateway: Gateway, row: type[SQLModel]) -> list[Any]:
    return await stored.rows(gateway.engine, row)


async def test_nothing_of_it_is_in_any_table_and_subscribers_get_the_same(gateway: Gateway) -> None:
    async with sink() as subscriber:
        await add_endpoint(gateway, subscriber.url)
        await post(gateway)
        (got,) = await subscriber.arrived(1)
    found = await everything(gateway)
    assert [text for text in PERSONAL if text in found or text.encode() in got.body.lower()] == []
    (event,) = await rows(gateway, EventRow)
    assert event.recipient == got.json()["data"]["recipient"] == pseudonym("ann@example.com", await key_of(gateway))
    (receipt,) = await rows(gateway, ReceiptRow)
    assert (receipt.withheld, json.loads(receipt.headers)) == (
        "redacted",
        {"content-type": "application/json", "user-agent": "Svix/1"},
    )
    assert receipt.url == "http://127.0.0.1:8420/api/webhooks/prod"


async def test_repetitions_are_recognised_and_people_can_be_counted(gateway: Gateway) -> None:
    await post(gateway)
    await post(gateway)
    await post(gateway, 2)
    assert [receipt.status for receipt in await rows(gateway, ReceiptRow)] == ["accepted", "duplicate", "accepted"]
    assert len({event.recipient for event in await rows(gateway, EventRow)}) == 1


async def test_what_cannot_be_read_leaves_no_value_behind_and_is_not_read_again(gateway: Gateway) -> None:
    await post(gateway, type="email.novel", created_at="ann@example.com", note={"to": "ann@example.com"})
    await post(gateway, 2, created_at="Hello ann@example.com", note={"to": "ann@example.com"})
    await gateway.drifts.write()
    first, _ = await rows(gateway, ReceiptRow)
    assert first.status == "quarantined"
    problems = [json.loads(receipt.problems or b"[]") for receipt in await rows(gateway, ReceiptRow)]
    assert [problem["reason"] for found in problems for problem in found]
    found = await everything(gateway)
    assert [text for text in PERSONAL if text in found] == []
    assert {drift.sample for drift in await rows(gateway, DriftRow)} <= {"{}", "(redacted)"}
    with pytest.raises(NotReprocessable, match="body"):
        await gateway.ingest.reprocess(first.id)


async def test_a_source_that_begins_to_redact_does_so_from_then_on(gateway: Gateway) -> None:
    await add_source(gateway, "other")
    await post(gateway, source="other")
    change = SourceChange(redact=["recipient", "subject"])
    await change_source(gateway.engine, gateway.vault, ENVIRONMENT, "other", change, gateway.clock.now())
    await gateway.registry.reload()
    await post(gateway, 2, source="other")
    first, second = await rows(gateway, EventRow)
    assert first.recipient == "ann@example.com"
    assert second.recipient.startswith("anon-")
    (receipt, _) = await rows(gateway, ReceiptRow)
    assert (await gateway.ingest.reprocess(receipt.id)).events == 0
    assert len(await rows(gateway, EventRow)) == 2


async def test_a_person_is_forgotten_under_the_pseudonym_too(gateway: Gateway) -> None:
    await post(gateway)
    walked = await gateway.forgetting.walk(ENVIRONMENT, "ann@example.com")
    assert walked.forgotten == Forgotten(events=1)
    (event,) = await rows(gateway, EventRow)
    assert event.recipient == "(forgotten)"
    await post(gateway)
    assert [receipt.status for receipt in await rows(gateway, ReceiptRow)] == ["accepted", "duplicate"]


async def test_pseudonyms_outlive_a_rotation_of_the_secret_key(gateway: Gateway) -> None:
    before = await key_of(gateway)
    assert await reseal_secrets(gateway.engine, Vault(["second", "first"])) >= 1
    async with gateway.engine.connect() as connection:
        sealed = await connection.scalar(sa.text("SELECT pseudonym_key_sealed FROM environment"))
    assert bytes.fromhex(Vault(["second"]).open(sealed)) == before


async def test_without_its_key_a_source_takes_nothing_in(gateway: Gateway) -> None:
    async with writing(gateway.engine) as connection:
        await connection.execute(sa.text("UPDATE environment SET pseudonym_key_sealed = NULL, config_version = 99"))
    await gateway.registry.reload()
    request = NativeRequest(url="http://127.0.0.1:8420/api/webhooks/prod", headers={}, body=b"{}")
    assert (await gateway.ingest.receive("prod", request)).status == 503
    assert await rows(gateway, ReceiptRow) == []


async def key_of(gateway: Gateway) -> bytes:
    key = gateway.registry.environment(ENVIRONMENT).pseudonym_key
    assert key is not None
    return key


def test_the_docs_name_every_word_and_what_it_does() -> None:
    page = (Path(__file__).parents[1] / "docs/api.md").read_text()
    for word, (meaning, _) in FIELDS.items():
        assert f"| `{word}` | {meaning} |" in page
