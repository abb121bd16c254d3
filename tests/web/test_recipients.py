from typing import Any

import pytest

from tests.web.gateways import Api, add_endpoint, add_source, fields_of, post_native, with_key

pytestmark = pytest.mark.anyio
FORGET = "/api/recipients/forget"
NOTHING = {"receipts": 0, "events": 0, "deliveries": 0, "attempts": 0, "drift": 0, "jobs": 0}


async def test_a_recipient_is_forgotten_in_the_log_and_in_receipts(api: Api) -> None:
    await add_source(api)
    await add_endpoint(api, active=False)
    await post_native(api, recipient="Anna@example.com")
    await post_native(api, recipient="bob@example.com")
    foretold = await api.post(FORGET, json={"address": "anna@EXAMPLE.com", "dry_run": True})
    counts = NOTHING | {"receipts": 1, "events": 1, "deliveries": 1}
    assert foretold.json() == {**counts, "dry_run": True, "next_cursor": None}
    done = await api.post(FORGET, json={"address": "anna@EXAMPLE.com"})
    assert done.json() == {**counts, "dry_run": False, "next_cursor": None}
    bobs, annas = (await api.get("/api/events")).json()["data"]
    assert (bobs["recipient"], annas["recipient"]) == ("bob@example.com", "(forgotten)")
    shown: dict[str, Any] = (await api.get(f"/api/events/{annas['id']}")).json()
    assert shown["event"]["type"] == "email.bounced"
    assert shown["receipt"]["withheld"] == "forgotten"
    assert shown["deliveries"][0]["status"] == "cancelled"
    receipt = (await api.get(f"/api/receipts/{shown['receipt']['id']}")).json()
    assert receipt["request"]["body"] == ""
    refused = await api.post(f"/api/receipts/{shown['receipt']['id']}/reprocess")
    assert refused.status_code == 409
    assert "body" in refused.json()["detail"]
    assert (await api.post(FORGET, json={"address": "anna@example.com"})).json()["events"] == 0


@pytest.mark.parametrize("address", ["anna", "anna@", "@example.com", "a b@example.com", "a@b@example.com", "   "])
async def test_what_is_no_address_is_refused(small_api: Api, address: str) -> None:
    refused = await small_api.post(FORGET, json={"address": address})
    assert refused.status_code == 422
    assert fields_of(refused) == ["address"]


async def test_only_admins_forget(small_api: Api) -> None:
    made = await small_api.post("/api/keys", json={"name": "support", "role": "write"})
    refused = await small_api.post(FORGET, json={"address": "a@b.example"}, headers=with_key(made.json()["key"]))
    assert refused.status_code == 403
