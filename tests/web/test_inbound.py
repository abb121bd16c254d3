import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.web.gateways import ADMIN_KEY, Api, add_source, gateway_of, post_native, serving, with_key

pytestmark = pytest.mark.anyio
INBOUND = "/api/webhooks/prod"


async def test_a_signed_request_is_answered_received(api: Api) -> None:
    await add_source(api)
    api.headers.pop("Authorization")
    answer = await post_native(api)
    assert (answer.status_code, answer.json()) == (200, {"received": True})
    assert answer.headers["content-type"] == "application/json"


async def test_the_source_is_found_by_the_shape_of_the_request(api: Api) -> None:
    await add_source(api)
    for path in ("/api/webhooks", "/api/webhooks/"):
        assert (await post_native(api, path=path)).status_code == 200


@pytest.mark.parametrize("signature", ["", "v1,AAAA", "v1,ümlaut".encode().decode("latin-1"), "nonsense", "v1," * 1000])
async def test_a_wrong_signature_is_answered_401(small_api: Api, signature: str) -> None:
    await add_source(small_api)
    headers: Any = {"svix-signature": signature.encode("latin-1")}
    answer = await post_native(small_api, headers=headers)
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"


async def test_an_api_key_is_no_signature(small_api: Api) -> None:
    await add_source(small_api)
    answer = await small_api.post(INBOUND, content=b"{}", headers=with_key(ADMIN_KEY))
    assert answer.status_code == 401


async def test_an_api_key_authenticates_the_generic_form(small_api: Api) -> None:
    added = await small_api.post(
        "/api/sources", json={"name": "own", "provider": "generic", "secrets": {}, "verification": "required"}
    )
    assert added.status_code == 201, added.text
    event = {
        "type": "email.bounced",
        "email_id": "m1",
        "recipient": "a@example.com",
        "timestamp": "2026-03-03T08:15:00Z",
    }
    assert (await small_api.post("/api/webhooks/own", json=event)).status_code == 200
    for key in (None, "wrong", "x" * 5000):
        assert (await small_api.post("/api/webhooks/own", json=event, headers=with_key(key))).status_code == 401


async def test_an_unknown_source_is_answered_404(small_api: Api) -> None:
    for name in ("nobody", "%00", "a" * 1000, "%F0%9F%90%9F", "a%20b"):
        answer = await small_api.post(f"/api/webhooks/{name}", content=b"{}")
        assert answer.status_code == 404, name


async def test_other_methods_are_answered_by_the_same_door(small_api: Api) -> None:
    await add_source(small_api)
    for method in ("GET", "HEAD", "PUT", "DELETE", "OPTIONS"):
        answer = await small_api.request(method, INBOUND)
        assert (answer.status_code, answer.headers["allow"]) == (405, "POST"), method


async def test_the_manage_api_wins_over_a_source_of_that_name(small_api: Api) -> None:
    assert (await small_api.get("/api/webhooks/manage")).json() == {"webhooks": []}
    assert (await small_api.get("/api/webhooks/manage/")).json() == {"webhooks": []}
    assert (await small_api.get("/api/webhooks/manage", headers=with_key(None))).status_code == 401


async def test_a_body_over_the_limit_is_refused_whether_or_not_it_is_announced(sqlite_url: str, tmp_path: Path) -> None:
    async with serving(sqlite_url, tmp_path, body_bytes_max=1000) as api:
        await add_source(api)
        announced = await api.post(INBOUND, content=b"x" * 1001)
        assert announced.status_code == 413
        assert announced.headers["content-type"] == "application/problem+json"
        endless = ({"type": "http.request", "body": b"x" * 100, "more_body": True} for _ in range(1000))
        start, _ = await asgi_call(api, endless)
        assert start["status"] == 413
        assert len(list(endless)) == 1000 - 11
        assert (await api.post(INBOUND, content=b"x" * 1000)).status_code == 401
        assert len((await api.get("/api/receipts")).json()["data"]) == 1


async def test_a_provider_that_hangs_up_gets_no_answer_and_leaves_nothing(small_api: Api) -> None:
    await add_source(small_api)
    hung_up = [{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}]
    assert await asgi_call(small_api, iter(hung_up)) == []
    assert (await small_api.get("/api/receipts")).json()["data"] == []


async def asgi_call(api: Api, messages: Iterator[Any]) -> list[Any]:
    """What the application sends when it receives these messages."""
    sent = list[Any]()

    async def receive() -> Any:
        return next(messages)

    async def send(message: Any) -> None:
        sent.append(message)

    scope: Any = {"type": "http", "method": "POST", "path": INBOUND, "query_string": b"", "headers": []}
    await api.app(scope, receive, send)
    return sent


async def test_the_url_is_the_public_one_with_path_and_query_as_they_came(sqlite_url: str, tmp_path: Path) -> None:
    async with serving(sqlite_url, tmp_path, public_url="https://hooks.example.com/in/") as api:
        await add_source(api)
        await api.post(f"{INBOUND}?a=%2F&b=%C3%BC", content=b"{}")
        (receipt,) = (await api.get("/api/receipts")).json()["data"]
        shown = (await api.get(f"/api/receipts/{receipt['id']}")).json()
        assert shown["request"]["url"] == f"https://hooks.example.com/in{INBOUND}?a=%2F&b=%C3%BC"
        listed = (await api.get("/api/sources/prod")).json()
        assert listed["url"] == f"https://hooks.example.com/in{INBOUND}"


async def test_our_own_fault_is_answered_500_without_a_word_of_the_inside(
    small_api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    await add_source(small_api)
    monkeypatch.setattr(gateway_of(small_api).ingest, "_drafts", None)
    answer = await small_api.post(INBOUND, content=b"{}")
    assert (answer.status_code, answer.json()["status"]) == (500, 500)
    assert "NoneType" not in answer.text


async def test_a_provider_that_would_throw_the_event_away_at_500_is_answered_what_makes_it_come_again(
    small_api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    brevo = {"name": "news", "provider": "brevo", "secrets": {"token": "a-token-of-some-length"}}
    assert (await small_api.post("/api/sources", json=brevo)).status_code == 201
    monkeypatch.setattr(gateway_of(small_api).ingest, "_drafts", None)
    native = {"event": "delivered", "email": "ann@example.net", "message-id": "<a@b>", "ts_event": 1_772_525_700}
    for path in ("/api/webhooks/news", "/api/webhooks"):
        assert (await small_api.post(path, json=native)).status_code == 429, path


async def test_a_store_that_is_busy_is_answered_503_and_the_provider_tries_again(
    sqlite_url: str, tmp_path: Path
) -> None:
    async with serving(sqlite_url, tmp_path, inbound_waiting_max=1, commit_timeout_s=0.2) as api:
        await add_source(api)
        async with gateway_of(api).engine.execution_options(writes=True).begin():
            answers = await asyncio.gather(*(post_native(api) for _ in range(4)))
        assert {answer.status_code for answer in answers} == {503}
        assert all("retry-after" in answer.headers for answer in answers)
        assert (await api.get("/api/receipts")).json()["data"] == []
