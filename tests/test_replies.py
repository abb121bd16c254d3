"""Inbound mail that answers a known message is a reply, on both databases."""

import shutil
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from app.replies import MESSAGE_IDS_MAX, names_of
from app.store.replies import seen_messages
from tests.web.gateways import Api, gateway_of, serving

pytestmark = pytest.mark.anyio


@pytest.fixture
async def api(database_url: str, tmp_path: Path) -> AsyncIterator[Api]:
    async with serving(database_url, tmp_path) as client:
        await add_generic(client)
        yield client


async def add_generic(api: Api) -> None:
    added = await api.post("/api/sources", json={"name": "own", "provider": "generic", "secrets": {}})
    assert added.status_code == 201, added.text


async def post(api: Api, **fields: Any) -> None:
    event = {"type": "email.received", "recipient": "shop@example.com", "timestamp": "2026-03-03T08:15:00Z", **fields}
    assert (await api.post("/api/webhooks/own", json=event)).status_code == 200


async def types(api: Api) -> list[str]:
    """Of all events, oldest first."""
    listed = (await api.get("/api/events")).json()["data"]
    return [event["type"] for event in reversed(listed)]


async def test_mail_that_answers_a_known_message_is_a_reply(api: Api) -> None:
    await post(api, type="email.sent", email_id="m1", message_id="<order-1@example.com>")
    await post(api, email_id="m2", metadata={"in_reply_to": "order-1@example.com"})
    await post(api, email_id="m3", metadata={"references": "<thread@else.example>\r\n <order-1@example.com>"})
    await post(api, email_id="m4", metadata={"in_reply_to": "<order-2@example.com>"})
    await post(api, email_id="m5")
    assert await types(api) == ["email.sent", "email.replied", "email.replied", "email.received", "email.received"]


async def test_the_body_that_subscribers_receive_names_the_same_type(api: Api) -> None:
    await post(api, type="email.sent", email_id="<order-1@example.com>", message_id="<order-1@example.com>")
    await post(api, email_id="m2", metadata={"in_reply_to": "order-1@example.com"})
    (reply,) = (await api.get("/api/events", params={"type": "email.replied"})).json()["data"]
    assert (await api.get(f"/api/events/{reply['id']}")).json()["event"]["type"] == "email.replied"


async def test_a_message_known_by_the_providers_id_alone_is_known(api: Api) -> None:
    await post(api, type="email.delivered", email_id="0a129aee-e1cd-480d-b08d-4f48548ff48d")
    await post(api, email_id="m2", metadata={"in_reply_to": "<0a129aee-e1cd-480d-b08d-4f48548ff48d@mtasv.net>"})
    assert await types(api) == ["email.delivered", "email.replied"]


async def test_other_types_are_never_replies(api: Api) -> None:
    await post(api, type="email.sent", email_id="m1", message_id="order-1@example.com")
    await post(api, type="email.delivered", email_id="m2", metadata={"in_reply_to": "order-1@example.com"})
    assert await types(api) == ["email.sent", "email.delivered"]


async def test_a_reply_that_is_read_again_is_the_same_event(api: Api) -> None:
    await post(api, type="email.sent", email_id="m1", message_id="order-1@example.com")
    await post(api, email_id="m2", metadata={"in_reply_to": "order-1@example.com"})
    receipts = (await api.get("/api/receipts")).json()["data"]
    assert (await api.post(f"/api/receipts/{receipts[0]['id']}/reprocess")).status_code in (200, 201)
    assert await types(api) == ["email.sent", "email.replied"]


async def test_a_store_that_cannot_be_asked_makes_the_provider_come_again(
    sqlite_migrated: Path, tmp_path: Path
) -> None:
    database = shutil.copy(sqlite_migrated, tmp_path / "mailweir.db")
    async with serving(f"sqlite+aiosqlite:///{database}", tmp_path) as api:
        await add_generic(api)
        with closing(sqlite3.connect(database, isolation_level=None)) as connection:
            connection.executescript("BEGIN IMMEDIATE; ALTER TABLE event RENAME TO gone; COMMIT")
        event = {"type": "email.received", "recipient": "a@b.example", "timestamp": "2026-03-03T08:15:00Z"}
        answer = await api.post("/api/webhooks/own", json={**event, "metadata": {"in_reply_to": "<x@y>"}})
        assert answer.status_code == 503
        assert "retry-after" in answer.headers


async def test_messages_of_another_environment_are_not_known(api: Api) -> None:
    await post(api, type="email.sent", email_id="m1", message_id="order-1@example.com")
    asked = {"order-1@example.com", "m1", "m2"}
    engine = gateway_of(api).engine
    assert await seen_messages(engine, 1, asked) == {"order-1@example.com", "m1"}
    assert await seen_messages(engine, 2, asked) == set()


async def test_no_batch_of_inbound_mail_is_too_large_to_ask_for(api: Api) -> None:
    await post(api, type="email.sent", email_id="m1", message_id="29999@example.com")
    asked = [f"{number}@example.com" for number in range(30_000)]
    assert await seen_messages(gateway_of(api).engine, 1, asked) == {"29999@example.com"}


async def test_the_question_is_answered_by_the_indexes(engine: AsyncEngine) -> None:
    if engine.dialect.name != "sqlite":
        pytest.skip("PostgreSQL reads a table that is almost empty from end to end")
    query = "EXPLAIN QUERY PLAN SELECT message_id FROM event WHERE environment_id = 1 AND message_id IN ('a', 'b')"
    async with engine.connect() as connection:
        plan = str((await connection.execute(sa.text(query))).all())
    assert "USING INDEX ix_event_message" in plan


@pytest.mark.parametrize(
    ("metadata", "names"),
    [
        ({}, set()),
        ({"in_reply_to": None, "references": 7}, set()),
        ({"in_reply_to": "a@b"}, {"a@b"}),
        ({"in_reply_to": ["<a@b>", 7, None]}, {"a@b"}),
        ({"references": "<a@b><c@d>,\t<e@f>"}, {"a@b", "c@d", "e@f"}),
        ({"in_reply_to": "your message of Monday"}, set()),
        ({"in_reply_to": "<0123456789abcdef@x>"}, {"0123456789abcdef@x", "0123456789abcdef"}),
        ({"references": "a" * 2000 + "@b"}, set()),
        ({"in_reply_to": "<a\0@b> <\ud800@c>"}, set()),
    ],
)
def test_the_messages_that_mail_answers_are_read_from_its_headers(metadata: dict[str, Any], names: set[str]) -> None:
    assert names_of(metadata) == names


def test_of_a_long_thread_the_latest_messages_count() -> None:
    thread = " ".join(f"<{number}@x>" for number in range(1000))
    names = names_of({"references": thread, "in_reply_to": "<last@x>"})
    assert len(names) == MESSAGE_IDS_MAX
    assert {"last@x", "999@x"} <= names
