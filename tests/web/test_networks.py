"""Sources verified by networks, through the whole application: who is taken for the client, and who is let in."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.processes import client as client_of
from tests.processes import running
from tests.web.gateways import Api, fields_of, gateway_of, serving

pytestmark = pytest.mark.anyio

SOURCES = "/api/sources"
POSTMARK, ELSEWHERE, PROXY = "3.134.147.250", "203.0.113.9", "10.0.0.1"
BY_ADDRESS = {"name": "mail", "provider": "postmark", "options": {"networks": "published"}}
PASSWORD = ("user", "password")
SPOOFS = [
    {"X-Forwarded-For": POSTMARK},
    {"X-Forwarded-For": f"{POSTMARK}, {PROXY}"},
    {"Forwarded": f"for={POSTMARK}"},
    {"X-Real-IP": POSTMARK},
]


@pytest.fixture
async def behind_proxy(sqlite_url: str, tmp_path: Path) -> AsyncIterator[Api]:
    """The API, which trusts the proxies of 10.0.0.0/8."""
    async with serving(sqlite_url, tmp_path, trusted_proxies="10.0.0.0/8") as api:
        yield api


async def add(api: Api, **fields: Any) -> None:
    added = await api.post(SOURCES, json={**BY_ADDRESS, **fields})
    assert added.status_code == 201, added.text


async def post(api: Api, peer: str, path: str = "/api/webhooks/mail", **given: Any) -> int:
    """The answer to an event of Postmark's from that address."""
    gateway = gateway_of(api)
    request = gateway.catalog.get("postmark").sample_request(
        ["Delivery"], signing={}, url="", at=gateway.clock.ms() / 1000, recipient="a@example.com", unique=lambda: "u1"
    )
    transport = httpx.ASGITransport(api.app, client=(peer, 4711))
    async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as provider:
        return (await provider.post(path, content=request.body, **given)).status_code


async def test_an_address_alone_lets_in_whoever_comes_from_it(api: Api) -> None:
    await add(api)
    assert await post(api, POSTMARK) == 200
    assert await post(api, f"::ffff:{POSTMARK}") == 200
    assert await post(api, POSTMARK, "/api/webhooks") == 200
    assert await post(api, ELSEWHERE) == 401
    assert await post(api, ELSEWHERE, "/api/webhooks") == 401
    rejected = (await api.get("/api/receipts", params={"status": "rejected"})).json()["data"]
    assert [ELSEWHERE in receipt["reason"] for receipt in rejected] == [True, True]
    events = (await api.get("/api/events")).json()["data"]
    assert [event["type"] for event in events] == ["email.delivered"] * 3


async def test_a_password_is_needed_in_addition_where_the_source_has_one(small_api: Api) -> None:
    await add(small_api, secrets={"basic_auth": ":".join(PASSWORD)})
    assert await post(small_api, POSTMARK, auth=PASSWORD) == 200
    assert await post(small_api, POSTMARK) == 401
    assert await post(small_api, ELSEWHERE, auth=PASSWORD) == 401


async def test_a_source_that_does_not_ask_takes_a_password_from_everywhere(small_api: Api) -> None:
    await add(small_api, secrets={"basic_auth": ":".join(PASSWORD)}, options={})
    for peer in (POSTMARK, ELSEWHERE, "unix"):
        assert await post(small_api, peer, auth=PASSWORD) == 200


@pytest.mark.parametrize("headers", SPOOFS, ids=str)
async def test_a_spoofed_header_lets_nobody_in_and_keeps_nobody_out(small_api: Api, headers: dict[str, str]) -> None:
    await add(small_api)
    for peer in (ELSEWHERE, PROXY):
        assert await post(small_api, peer, headers=headers) == 401
    assert await post(small_api, POSTMARK, headers=dict.fromkeys(headers, ELSEWHERE)) == 200


@pytest.mark.parametrize("headers", SPOOFS, ids=str)
async def test_who_is_no_trusted_proxy_says_nothing_of_its_client(behind_proxy: Api, headers: dict[str, str]) -> None:
    await add(behind_proxy)
    assert await post(behind_proxy, ELSEWHERE, headers=headers) == 401
    assert await post(behind_proxy, POSTMARK, headers=dict.fromkeys(headers, ELSEWHERE)) == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"X-Forwarded-For": POSTMARK}, 200),
        ({"X-Forwarded-For": f"{POSTMARK}, 10.2.0.1, 10.3.0.1"}, 200),
        ({"X-Forwarded-For": f"{ELSEWHERE}, {POSTMARK}"}, 200),
        ({"X-Forwarded-For": f"{POSTMARK}, {ELSEWHERE}"}, 401),
        ({"X-Forwarded-For": f"{POSTMARK}, {ELSEWHERE}, 10.2.0.1"}, 401),
        ({"X-Forwarded-For": f"{POSTMARK}, unknown"}, 401),
        ({"Forwarded": f'for={ELSEWHERE}, for="{POSTMARK}:443";proto=https'}, 200),
        ({"Forwarded": f"for={POSTMARK}, for={ELSEWHERE}"}, 401),
        ({"X-Forwarded-For": ELSEWHERE, "Forwarded": f"for={POSTMARK}"}, 401),
        ({"X-Forwarded-For": POSTMARK, "Forwarded": f"for={ELSEWHERE}"}, 401),
        ({}, 401),
    ],
    ids=str,
)
async def test_a_trusted_proxy_says_who_its_client_is(behind_proxy: Api, headers: dict[str, str], status: int) -> None:
    await add(behind_proxy)
    assert await post(behind_proxy, PROXY, headers=headers) == status


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"options": {}}, "secrets.basic_auth"),
        ({"options": {"networks": "10.0.0.1/8"}}, "options.networks"),
        ({"options": {"networks": ["published", "0.0.0.0/0"]}}, "options.networks"),
        ({"options": {"networks": []}}, "options.networks"),
        ({"verification": "none"}, "options.networks"),
    ],
    ids=str,
)
async def test_a_source_without_a_proof_is_refused_with_its_field(
    small_api: Api, fields: dict[str, Any], complaint: str
) -> None:
    assert complaint in fields_of(await small_api.post(SOURCES, json={**BY_ADDRESS, **fields}))


async def test_the_last_proof_cannot_be_taken_away(small_api: Api) -> None:
    await add(small_api)
    assert (await small_api.patch(f"{SOURCES}/mail", json={"options": {}})).status_code == 422
    assert (await small_api.patch(f"{SOURCES}/mail", json={"verification": "none"})).status_code == 422
    assert (await small_api.patch(f"{SOURCES}/mail", json={"verification": "none", "options": {}})).status_code == 200


async def test_a_mapping_is_tried_with_an_address(small_api: Api) -> None:
    asked = {"provider": "postmark", "secrets": {}, "options": {"networks": "published"}}
    for client, status in ((POSTMARK, 200), (ELSEWHERE, 401), ("", 401)):
        tried = await small_api.post("/api/mappings/try", json={**asked, "request": {"body": "{}", "client": client}})
        assert tried.json()["status"] == status, tried.text


def test_the_server_itself_believes_no_header(tmp_path: Path) -> None:
    with running(tmp_path) as gateway, client_of(gateway) as http:
        for name, networks in (("here", "127.0.0.0/8"), ("there", "published")):
            source = {**BY_ADDRESS, "name": name, "options": {"networks": networks}}
            assert http.post(SOURCES, json=source).status_code == 201
        for headers in ({}, *SPOOFS):
            statuses = [
                http.post(f"/api/webhooks/{name}", content=b"{}", headers=headers).status_code
                for name in ("here", "there")
            ]
            assert statuses == [200, 401]
