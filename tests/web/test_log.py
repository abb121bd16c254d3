from typing import Any

import pytest

from tests.web.gateways import Api, add_endpoint, add_source, fields_of, gateway_of, post_native

pytestmark = pytest.mark.anyio


async def rows(api: Api, path: str) -> list[dict[str, Any]]:
    answer = await api.get(path)
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


async def test_an_event_is_shown_with_its_receipt_and_its_deliveries(api: Api) -> None:
    await add_source(api)
    endpoint = await add_endpoint(api)
    await post_native(api)
    (line,) = await rows(api, "/api/events")
    shown = (await api.get(f"/api/events/{line['id']}")).json()
    assert shown["event"]["id"] == line["id"]
    assert shown["event"]["type"] == line["type"] == "email.bounced"
    assert shown["event"]["data"]["recipient"] == "anna@example.com"
    assert shown["receipt"]["status"] == "accepted"
    (delivery,) = shown["deliveries"]
    assert (delivery["endpoint_id"], delivery["event_id"]) == (endpoint["id"], line["id"])


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", 2),
        ("type=bounce", 1),
        ("type=email.delivered", 1),
        ("type=click", 0),
        ("provider=resend", 2),
        ("provider=sendgrid", 0),
        ("source=prod", 2),
        ("source=other", 0),
        ("source=null", 0),
        ("recipient=anna@example.com", 1),
        ("email_id=nobody", 0),
        ("since=2020-01-01T00:00:00Z", 2),
        ("until=2020-01-01T00:00:00%2B02:00", 0),
        ("q=ANNA", 1),
        ("q=bounced", 1),
        ("q=%25", 0),
        ("limit=1", 1),
    ],
)
async def test_events_are_filtered(small_api: Api, query: str, found: int) -> None:
    await add_source(small_api)
    await post_native(small_api, "email.bounced", recipient="anna@example.com")
    await post_native(small_api, "email.delivered", recipient="bert@example.com")
    assert len(await rows(small_api, f"/api/events?{query}")) == found


async def test_pages_follow_each_other_without_gap_or_overlap(api: Api) -> None:
    await add_source(api)
    for n in range(5):
        await post_native(api, recipient=f"r{n}@example.com")
    for room in ("events", "receipts"):
        seen = list[str]()
        cursor = None
        while True:
            page = (
                await api.get(f"/api/{room}", params={"limit": "2"} | ({"cursor": cursor} if cursor else {}))
            ).json()
            seen += [row["id"] for row in page["data"]]
            if page["next_cursor"] is None:
                break
            cursor = page["next_cursor"]
        assert len(seen) == 5
        assert seen == sorted(set(seen), reverse=True)


async def test_deliveries_are_filtered(api: Api) -> None:
    await add_source(api)
    paused = await add_endpoint(api, active=False)
    await add_endpoint(api, events="click")
    await post_native(api)
    for query, found in [
        ("status=held", 1),
        ("status=delivered", 0),
        (f"endpoint_id={paused['id']}", 1),
        ("endpoint_id=999", 0),
        ("type=bounced", 1),
        ("status_code=200", 0),
    ]:
        assert len(await rows(api, f"/api/deliveries?{query}")) == found, query


async def test_a_replayed_event_keeps_its_id_and_goes_to_the_endpoint_that_was_named(api: Api) -> None:
    await add_source(api)
    await post_native(api)
    (event,) = await rows(api, "/api/events")
    later = await add_endpoint(api, events="click", active=False)
    replayed = await api.post(f"/api/events/{event['id']}/replay", json={"endpoint_id": later["id"]})
    assert replayed.status_code == 202
    assert replayed.json()["event_id"] == event["id"]
    (delivery,) = await rows(api, "/api/deliveries")
    assert delivery["id"] == replayed.json()["delivery_ids"][0]
    assert (delivery["event_id"], delivery["origin"]) == (event["id"], "replay")


async def test_an_event_is_replayed_to_all_that_ask_for_it_now(api: Api) -> None:
    await add_source(api)
    await post_native(api)
    (event,) = await rows(api, "/api/events")
    refused = await api.post(f"/api/events/{event['id']}/replay")
    assert refused.status_code == 409
    asking = await add_endpoint(api, events="bounce", active=False)
    await add_endpoint(api, events="bounce", filter="data.recipient == 'bert@example.com'", active=False)
    await add_endpoint(api, events="click", active=False)
    assert (await api.post(f"/api/events/{event['id']}/replay")).status_code == 202
    assert [delivery["endpoint_id"] for delivery in await rows(api, "/api/deliveries")] == [asking["id"]]


async def test_replays_to_nowhere_are_refused(small_api: Api) -> None:
    await add_source(small_api)
    await post_native(small_api)
    (event,) = await rows(small_api, "/api/events")
    path = f"/api/events/{event['id']}/replay"
    assert (await small_api.post(path, json={"endpoint_id": 999})).status_code == 404
    for body, field in [
        ({"endpoint_id": 0}, "endpoint_id"),
        ({"endpoint": 1}, "endpoint"),
        ({"endpoint_id": "1"}, "endpoint_id"),
    ]:
        refused = await small_api.post(path, json=body)
        assert (refused.status_code, fields_of(refused)) == (422, [field])


async def test_a_held_delivery_cannot_be_retried_until_its_endpoint_is_active(api: Api) -> None:
    await add_source(api)
    endpoint = await add_endpoint(api, active=False)
    await post_native(api)
    (delivery,) = await rows(api, "/api/deliveries")
    refused = await api.post(f"/api/deliveries/{delivery['id']}/retry")
    assert refused.status_code == 409
    assert "enable it first" in refused.json()["detail"]
    await api.post(f"/api/webhooks/manage/{endpoint['id']}/enable")
    shown = (await api.get(f"/api/deliveries/{delivery['id']}")).json()
    assert shown["delivery"]["status"] in ("pending", "sending")


async def test_a_receipt_is_shown_as_it_arrived(api: Api) -> None:
    await add_source(api)
    await post_native(api)
    await post_native(api, headers={"svix-signature": "v1,wrong"})
    rejected, accepted = await rows(api, "/api/receipts")
    assert (rejected["status"], accepted["status"]) == ("rejected", "accepted")
    assert [row["id"] for row in await rows(api, "/api/receipts?status=rejected")] == [rejected["id"]]
    assert len(await rows(api, "/api/receipts?source=prod")) == 2
    shown = (await api.get(f"/api/receipts/{accepted['id']}")).json()
    assert shown["request"]["method"] == "POST"
    assert '"email.bounced"' in shown["request"]["body"]
    assert "svix-id" in shown["request"]["headers"]
    assert [event["type"] for event in shown["events"]] == ["email.bounced"]
    assert shown["problems"] == []


async def test_a_rejected_receipt_never_becomes_an_event(small_api: Api) -> None:
    await add_source(small_api)
    await post_native(small_api, headers={"svix-signature": "v1,wrong"})
    (receipt,) = await rows(small_api, "/api/receipts")
    refused = await small_api.post(f"/api/receipts/{receipt['id']}/reprocess")
    assert refused.status_code == 409
    assert "did not verify" in refused.json()["detail"]
    assert fields_of(await small_api.post("/api/receipts/reprocess", json={"status": "rejected"})) == ["status"]


async def test_quarantined_receipts_are_read_again(api: Api) -> None:
    added = await api.post("/api/sources", json={"name": "prod", "provider": "resend", "verification": "none"})
    assert added.status_code == 201
    for _ in range(2):
        await api.post("/api/webhooks/prod", json={"type": "email.newfangled", "created_at": "2026-03-03T08:15:00Z"})
    await post_native(api)
    quarantined = await rows(api, "/api/receipts?status=quarantined")
    one = (await api.post(f"/api/receipts/{quarantined[0]['id']}/reprocess")).json()
    assert (one["status"], one["events"], one["quarantined"]) == ("quarantined", 0, 1)
    many = (await api.post("/api/receipts/reprocess")).json()
    assert many == {
        "receipts": len(quarantined),
        "events": 0,
        "quarantined": len(quarantined),
        "skipped": 0,
        "next_cursor": None,
    }
    again = (await api.post("/api/receipts/reprocess", json={"status": "accepted", "source": "prod"})).json()
    assert (again["receipts"], again["events"]) == (1, 0)
    assert len(await rows(api, "/api/events")) == 1


@pytest.mark.parametrize("name", ["evt_1", "rcp_1", "dlv_1", "1", "evt_ZZZZZZZZZZZZZZZ", "%00", "evt_01K0000000000OO"])
async def test_an_id_that_is_none_is_answered_404(small_api: Api, name: str) -> None:
    for method, path in [
        ("GET", f"/api/events/{name}"),
        ("POST", f"/api/events/{name}/replay"),
        ("GET", f"/api/jobs/{name}"),
        ("POST", f"/api/jobs/{name}/cancel"),
        ("GET", f"/api/deliveries/{name}"),
        ("POST", f"/api/deliveries/{name}/retry"),
        ("GET", f"/api/receipts/{name}"),
        ("POST", f"/api/receipts/{name}/reprocess"),
    ]:
        gone = await small_api.request(method, path)
        assert gone.status_code == 404, (method, path)
        assert gone.headers["content-type"] == "application/problem+json"


async def test_what_the_test_event_did_can_be_followed(small_api: Api) -> None:
    endpoint = await add_endpoint(small_api)
    event_id = (await small_api.post(f"/api/webhooks/manage/{endpoint['id']}/test")).json()["event_id"]
    shown = (await small_api.get(f"/api/events/{event_id}")).json()
    assert shown["event"]["type"] == "webhook.test"
    assert shown["receipt"] is None
    assert [delivery["origin"] for delivery in shown["deliveries"]] == ["test"]
    assert gateway_of(small_api).registry.endpoint(endpoint["id"]) is not None
