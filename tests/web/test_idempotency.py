import asyncio

import pytest
import sqlalchemy as sa

from app.store.tables import IdempotentReplyRow, table_of
from tests.web.gateways import SUBSCRIBER, Api, fields_of, gateway_of, with_key

pytestmark = pytest.mark.anyio
MANAGE = "/api/webhooks/manage"
NEW = {"url": SUBSCRIBER, "events": "open"}


def keyed(key: str) -> dict[str, str]:
    return {"Idempotency-Key": key}


async def test_the_same_post_is_answered_the_same_and_done_once(api: Api) -> None:
    first = await api.post(MANAGE, json=NEW, headers=keyed("k1"))
    again = await api.post(MANAGE, json=NEW, headers=keyed("k1"))
    assert (again.status_code, again.json()) == (201, first.json())
    assert again.headers["idempotency-replayed"] == "true"
    assert len((await api.get(MANAGE)).json()["webhooks"]) == 1


async def test_another_key_is_another_post(small_api: Api) -> None:
    first = await small_api.post(MANAGE, json=NEW, headers=keyed("k1"))
    other = await small_api.post(MANAGE, json=NEW, headers=keyed("k2"))
    assert first.json()["id"] != other.json()["id"]


async def test_what_one_api_key_was_answered_another_is_not(api: Api) -> None:
    first = await api.post(MANAGE, json=NEW, headers=keyed("k1"))
    theirs = (await api.post("/api/keys", json={"name": "other", "role": "write"})).json()["key"]
    other = await api.post(MANAGE, json=NEW, headers=keyed("k1") | with_key(theirs))
    assert other.status_code == 201
    assert other.json()["id"] != first.json()["id"]
    assert other.json()["secret"] != first.json()["secret"]
    assert (await api.post(MANAGE, json=NEW, headers=keyed("k1"))).json() == first.json()


async def test_a_key_stands_for_one_request(small_api: Api) -> None:
    await small_api.post(MANAGE, json=NEW, headers=keyed("k1"))
    for path, body in ((MANAGE, NEW | {"events": "click"}), ("/api/keys", NEW)):
        refused = await small_api.post(path, json=body, headers=keyed("k1"))
        assert refused.status_code == 422
        assert "Idempotency-Key" in refused.json()["detail"]


async def test_an_error_is_not_kept(small_api: Api) -> None:
    assert (await small_api.post(MANAGE, json={"url": SUBSCRIBER}, headers=keyed("k1"))).status_code == 422
    assert (await small_api.post(MANAGE, json=NEW, headers=keyed("k1"))).status_code == 201


async def test_two_at_once_do_it_once(api: Api) -> None:
    answers = await asyncio.gather(*(api.post(MANAGE, json=NEW, headers=keyed("k1")) for _ in range(5)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.text for answer in answers}) == 1
    assert len((await api.get(MANAGE)).json()["webhooks"]) == 1


async def test_a_kept_answer_holds_no_readable_secret(small_api: Api) -> None:
    secret = (await small_api.post(MANAGE, json=NEW, headers=keyed("k1"))).json()["secret"]
    async with gateway_of(small_api).engine.connect() as connection:
        body = (await connection.execute(sa.select(table_of(IdempotentReplyRow).c.body))).scalar_one()
    assert secret.encode() not in body


@pytest.mark.parametrize("key", ["", " ", "a b", "a" * 256, "a\tb"])
async def test_a_bad_key_is_refused(small_api: Api, key: str) -> None:
    refused = await small_api.post(MANAGE, json=NEW, headers=keyed(key))
    assert (refused.status_code, fields_of(refused)) == (422, ["Idempotency-Key"])


async def test_keys_of_other_methods_mean_nothing(small_api: Api) -> None:
    for _ in range(2):
        assert (await small_api.get(MANAGE, headers=keyed("k1"))).status_code == 200
