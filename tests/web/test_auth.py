from typing import Any

import pytest
import sqlalchemy as sa

from app.store.accounts import create_key
from app.store.tables import EnvironmentRow, table_of
from tests.web.gateways import ADMIN_KEY, Api, add_endpoint, add_source, fields_of, gateway_of, post_native, with_key

pytestmark = pytest.mark.anyio
KEYS = "/api/keys"
GUARDED = [
    "/api/webhooks/manage",
    "/api/webhooks/manage/1",
    "/api/sources",
    "/api/sources/prod",
    "/api/events",
    "/api/events/evt_1",
    "/api/deliveries",
    "/api/receipts",
    "/api/mappings",
    "/api/event-types",
    "/api/keys",
]


async def make_key(api: Api, role: str) -> dict[str, Any]:
    made = await api.post(KEYS, json={"name": f"for {role}", "role": role})
    assert made.status_code == 201
    return made.json()


@pytest.mark.parametrize("authorization", ["", "Bearer", "Bearer ", "Bearer wrong", f"Basic {ADMIN_KEY}", ADMIN_KEY])
async def test_nothing_is_shown_without_a_key(small_api: Api, authorization: str) -> None:
    for path in GUARDED:
        refused = await small_api.get(path, headers={"Authorization": authorization})
        assert refused.status_code == 401, path
        assert refused.headers["www-authenticate"].startswith("Bearer")
        assert refused.headers["content-type"] == "application/problem+json"


async def test_odd_keys_are_refused_like_wrong_ones(small_api: Api) -> None:
    for key in (b"\xff\xfe", b"x" * 5000, b"mw_live_\xc3\xa9"):
        refused = await small_api.get(KEYS, headers={b"Authorization": b"Bearer " + key})
        assert refused.status_code == 401


async def test_a_role_may_do_what_it_may_and_no_more(api: Api) -> None:
    endpoint = await add_endpoint(api)
    allowed = {
        "read": {"read": 200, "write": 403, "keys": 403},
        "write": {"read": 200, "write": 200, "keys": 403},
        "admin": {"read": 200, "write": 200, "keys": 200},
    }
    for role, expected in allowed.items():
        headers = with_key((await make_key(api, role))["key"])
        path = f"/api/webhooks/manage/{endpoint['id']}"
        answers = {
            "read": await api.get(path, headers=headers),
            "write": await api.patch(path, json={}, headers=headers),
            "keys": await api.get(KEYS, headers=headers),
        }
        assert {what: answer.status_code for what, answer in answers.items()} == expected
        for answer in answers.values():
            assert answer.status_code == 200 or f"has the role {role}" in answer.json()["detail"]


async def test_a_key_is_shown_once(api: Api) -> None:
    made = await make_key(api, "read")
    key = made.pop("key")
    listed = (await api.get(KEYS)).json()["data"]
    assert made in listed
    assert key not in (await api.get(KEYS)).text
    assert key.startswith(made["hint"])


async def test_an_answer_that_may_hold_a_secret_is_not_to_be_cached(small_api: Api) -> None:
    answer = await small_api.post(KEYS, json={"name": "x"})
    assert answer.headers["cache-control"] == "no-store"


async def test_a_revoked_key_is_refused_at_once(api: Api) -> None:
    made = await make_key(api, "read")
    assert (await api.get("/api/sources", headers=with_key(made["key"]))).status_code == 200
    assert (await api.delete(f"{KEYS}/{made['id']}")).status_code == 204
    assert (await api.get("/api/sources", headers=with_key(made["key"]))).status_code == 401
    assert (await api.get(KEYS)).json()["data"][-1]["revoked_at"] is not None


async def test_the_last_admin_key_stays(api: Api) -> None:
    (admin,) = (await api.get(KEYS)).json()["data"]
    refused = await api.delete(f"{KEYS}/{admin['id']}")
    assert refused.status_code == 409
    assert (await api.get(KEYS)).status_code == 200


async def test_bad_keys_are_refused_by_field(small_api: Api) -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({}, "name"),
        ({"name": ""}, "name"),
        ({"name": "n" * 101}, "name"),
        ({"name": "x", "role": "root"}, "role"),
        ({"name": "x", "rolle": "read"}, "rolle"),
    ]
    for body, field in cases:
        refused = await small_api.post(KEYS, json=body)
        assert (refused.status_code, fields_of(refused)) == (422, [field])


async def test_akey_of_another_environment_finds_nothing(api: Api) -> None:
    endpoint = await add_endpoint(api)
    await add_source(api)
    await post_native(api)
    paths = [f"/api/webhooks/manage/{endpoint['id']}", "/api/sources/prod", *await _log_paths(api)]
    headers = with_key(await key_of_another_environment(api))
    for path in paths:
        assert (await api.get(path)).status_code == 200, path
        assert (await api.get(path, headers=headers)).status_code == 404, path
    for path in ("/api/webhooks/manage", "/api/sources", "/api/events", "/api/deliveries", "/api/receipts"):
        (listed,) = [rows for rows in (await api.get(path, headers=headers)).json().values() if rows is not None]
        assert listed == [], path
    assert (await api.post(f"{paths[0]}/test", headers=headers)).status_code == 404
    assert (await api.delete(paths[0], headers=headers)).status_code == 404
    assert (await api.post(f"{paths[2]}/replay", json={}, headers=headers)).status_code == 404
    assert (await api.post(f"{paths[3]}/retry", headers=headers)).status_code == 404
    assert (await api.post(f"{paths[4]}/reprocess", headers=headers)).status_code == 404


async def _log_paths(api: Api) -> list[str]:
    rooms = ("/api/events", "/api/deliveries", "/api/receipts")
    return [f"{room}/{(await api.get(room)).json()['data'][0]['id']}" for room in rooms]


async def key_of_another_environment(api: Api) -> str:
    gateway = gateway_of(api)
    environment = table_of(EnvironmentRow)
    new = sa.insert(environment).values(
        public_id="env_other", organization_id=1, name="staging", config_version=1, created_at=gateway.clock.now()
    )
    async with gateway.engine.begin() as connection:
        number = (await connection.execute(new.returning(environment.c.id))).scalar_one()
    _, key = await create_key(gateway.engine, number, "other", "admin", gateway.clock.now())
    return key
