from urllib.parse import quote

import pytest

from tests.web.gateways import Api, add_endpoint, add_source, post_native

pytestmark = pytest.mark.anyio


async def add_generic(api: Api, name: str = "shop") -> None:
    added = await api.post("/api/sources", json={"name": name, "provider": "generic", "verification": "none"})
    assert added.status_code == 201, added.text


async def post(api: Api, type_: str, minute: int, source: str = "shop", **fields: object) -> None:
    event = {"email_id": "m1", "recipient": "Ann@Example.com", "timestamp": f"2026-03-03T08:{minute:02d}:00Z", **fields}
    posted = await api.post(f"/api/webhooks/{source}", json={"type": type_, **event})
    assert posted.status_code == 200, posted.text


async def test_a_message_shows_its_state_and_what_happened_to_it_across_providers(api: Api) -> None:
    await add_generic(api)
    await add_generic(api, "mail")
    endpoint = await add_endpoint(api)
    await post(api, "email.delivered", 3)
    await post(api, "email.sent", 2, "mail")
    await post(api, "email.open", 4)
    shown = (await api.get("/api/messages/m1")).json()
    assert shown["state"] == "delivered"
    (recipient,) = shown["recipients"]
    assert recipient["since"] == "2026-03-03T08:03:00.000Z"
    assert recipient["opened_at"] == "2026-03-03T08:04:00.000Z"
    assert [(one["event"]["type"], one["event"]["source"], one["late"]) for one in shown["events"]] == [
        ("email.sent", "mail", True),
        ("email.delivered", "shop", False),
        ("email.open", "shop", False),
    ]
    assert {one["deliveries"][0]["endpoint_id"] for one in shown["events"]} == {endpoint["id"]}
    assert (shown["complete"], shown["next_cursor"]) == (True, None)


async def test_an_address_is_found_in_any_case_and_says_whether_to_write_to_it(api: Api) -> None:
    await add_generic(api)
    await add_source(api)
    await post_native(api, "email.bounced", recipient="ann@example.com")
    await post(api, "email.unsubscribe", 2)
    for written in ("ann@example.com", "ANN@example.com", "Ann@Example.COM"):
        shown = (await api.get(f"/api/recipients/{written}")).json()
        assert shown["address"] == written
        assert shown["send"] is False
        assert {reason["reason"] for reason in shown["reasons"]} == {"hard_bounce", "unsubscribe"}
        assert len(shown["events"]) == 2
        listed = (await api.get("/api/events", params={"recipient": written})).json()["data"]
        assert len(listed) == 2
    event = (await api.get(f"/api/events/{listed[0]['id']}")).json()["event"]
    assert event["data"]["recipient"].lower() == "ann@example.com"


async def test_later_evidence_lifts_what_it_may_lift(api: Api) -> None:
    await add_generic(api)
    await post(api, "email.unsubscribe", 1)
    assert (await api.get("/api/recipients/ann@example.com")).json()["send"] is False
    await post(api, "email.subscribe", 2)
    assert (await api.get("/api/recipients/ann@example.com")).json()["send"] is True


async def test_an_unknown_address_may_be_written_to_and_an_unknown_message_is_not_there(small_api: Api) -> None:
    shown = await small_api.get("/api/recipients/nobody@example.com")
    assert shown.status_code == 200
    assert (shown.json()["send"], shown.json()["events"]) == (True, [])
    missing = await small_api.get("/api/messages/nothing")
    assert missing.status_code == 404
    assert missing.json()["detail"] == "There is no message nothing."


async def test_a_timeline_comes_in_pages(api: Api) -> None:
    await add_generic(api)
    for minute in range(5):
        await post(api, "email.open", minute)
    first = (await api.get("/api/messages/m1", params={"limit": 3})).json()
    assert [one["event"]["occurred_at"][14:16] for one in first["events"]] == ["02", "03", "04"]
    rest = (await api.get("/api/messages/m1", params={"limit": 3, "cursor": first["next_cursor"]})).json()
    assert [one["event"]["occurred_at"][14:16] for one in rest["events"]] == ["00", "01"]
    assert rest["next_cursor"] is None
    assert rest["state"] == first["state"]


async def test_the_log_names_no_address(small_api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    await small_api.get("/api/recipients/secret.person@example.com")
    logged = capsys.readouterr().out
    assert "/api/recipients/{address}" in logged
    assert "secret.person" not in logged


@pytest.mark.parametrize("email_id", ["a/b", "a//b/", "/a", "../a", "a?b#c%2Fd", "%00", "ü/ü"])
async def test_an_id_and_an_address_may_hold_any_character(small_api: Api, email_id: str) -> None:
    await add_generic(small_api)
    address = f"{email_id}@example.com"
    await post(small_api, "email.bounced", 1, email_id=email_id, recipient=address)
    for path in (f"messages/{quote(email_id, safe='')}", f"recipients/{quote(address, safe='')}"):
        shown = await small_api.get(f"/api/{path}")
        assert (shown.status_code, len(shown.json()["events"])) == (200, 1), path
    if not {"?", ".."} & {email_id[1:2], email_id[:2]}:
        assert (await small_api.get(f"/api/messages/{quote(email_id)}")).json()["email_id"] == email_id
