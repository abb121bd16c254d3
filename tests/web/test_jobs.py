import asyncio
from typing import Any

import pytest

from tests.web.gateways import Api, add_endpoint, add_source, fields_of, post_native, with_key

pytestmark = pytest.mark.anyio

LONG_AGO = "2020-01-01T00:00:00Z"
SLOW = {"per_second": 0.1}
"""One delivery, and ten seconds until the next."""


async def begun(api: Api, path: str, **body: Any) -> dict[str, Any]:
    answer = await api.post(path, json=body)
    assert answer.status_code == 202, answer.text
    return answer.json()


async def ended(api: Api, job: dict[str, Any]) -> dict[str, Any]:
    async with asyncio.timeout(10):
        while (shown := (await api.get(f"/api/jobs/{job['id']}")).json())["state"] == "running":
            await asyncio.sleep(0.02)
    return shown


async def deliveries(api: Api, query: str = "") -> list[dict[str, Any]]:
    return (await api.get(f"/api/deliveries?{query}")).json()["data"]


async def post_events(api: Api) -> None:
    await add_source(api)
    await post_native(api, recipient="anna@example.com")
    await post_native(api, recipient="bert@example.com")
    await post_native(api, "email.delivered", recipient="anna@example.com")


async def test_a_dry_run_tells_how_many_it_would_be_and_leaves_nothing_behind(api: Api) -> None:
    await post_events(api)
    await add_endpoint(api, events="*", active=False)
    await add_endpoint(api, events="bounce", active=False)
    proposed = await begun(api, "/api/events/replay", since=LONG_AGO, dry_run=True)
    assert (proposed["id"], proposed["state"], proposed["done"]) == (None, "proposed", 0)
    assert (proposed["total"], proposed["total_exact"]) == (5, True)
    assert (await api.get("/api/jobs")).json() == {"data": [], "next_cursor": None}
    assert await deliveries(api) == []


@pytest.mark.parametrize(
    ("filters", "total"),
    [
        ({"type": "bounced"}, 2),
        ({"recipient": "anna@example.com"}, 2),
        ({"type": "bounce", "recipient": "anna@example.com"}, 1),
        ({"source": "prod"}, 3),
        ({"provider": "sendgrid"}, 0),
        ({"q": "BERT"}, 1),
        ({"email_id": "nobody"}, 0),
        ({"since": LONG_AGO}, 3),
        ({"until": LONG_AGO}, 0),
        ({"endpoint_id": 1}, 3),
    ],
)
async def test_replays_take_the_filters_of_the_log(small_api: Api, filters: dict[str, Any], total: int) -> None:
    await post_events(small_api)
    await add_endpoint(small_api, events="*", active=False)
    assert (await begun(small_api, "/api/events/replay", **filters, dry_run=True))["total"] == total


async def test_many_events_are_replayed_to_all_that_ask_for_them_now(api: Api) -> None:
    await post_events(api)
    asking = await add_endpoint(api, events="bounce", filter="data.recipient == 'bert@example.com'", active=False)
    every = await add_endpoint(api, events="*", active=False)
    job = await begun(api, "/api/events/replay", type="bounce")
    assert (job["kind"], job["filters"], job["total"]) == ("replay", {"type": "email.bounced"}, 3)
    done = await ended(api, job)
    assert (done["state"], done["done"], done["error"]) == ("done", 3, None)
    assert done["finished_at"] is not None
    assert [delivery["endpoint_id"] for delivery in await deliveries(api)].count(every["id"]) == 2
    (only,) = await deliveries(api, f"endpoint_id={asking['id']}")
    assert (only["recipient"], only["origin"]) == ("bert@example.com", "replay")


async def test_many_events_are_replayed_to_one_endpoint_whatever_it_asks_for(api: Api) -> None:
    await post_events(api)
    await add_endpoint(api, active=False)
    named = await add_endpoint(api, events="click", active=False)
    job = await begun(api, "/api/events/replay", since=LONG_AGO, endpoint_id=named["id"])
    assert (await ended(api, job))["done"] == 3
    assert {delivery["endpoint_id"] for delivery in await deliveries(api)} == {named["id"]}


async def test_an_endpoint_recovers_what_it_asks_for_and_never_got(api: Api) -> None:
    await post_events(api)
    late = await add_endpoint(api, events="bounce", filter="data.recipient == 'anna@example.com'")
    path = f"/api/webhooks/manage/{late['id']}/recover"
    for expected in (1, 0):
        job = await begun(api, path, since=LONG_AGO, status="missing")
        assert (job["kind"], job["endpoint_id"], job["total"]) == ("recover_missing", late["id"], expected)
        assert (await ended(api, job))["done"] == expected
    (delivery,) = await deliveries(api)
    assert (delivery["recipient"], delivery["origin"]) == ("anna@example.com", "replay")
    assert (await begun(api, path, since=LONG_AGO, dry_run=True))["total"] == 0


async def test_failed_deliveries_are_recovered_and_retried(api: Api) -> None:
    endpoint = await add_endpoint(api, retry_schedule_s=[])
    other = await add_endpoint(api, retry_schedule_s=[], events="delivered")
    await post_events(api)
    await failed(api, 4)
    paths = [f"/api/webhooks/manage/{number}/recover" for number in (endpoint["id"], other["id"])]
    assert [(await begun(api, path, since=LONG_AGO, dry_run=True))["total"] for path in paths] == [3, 1]
    for body, total in [({"endpoint_id": other["id"]}, 1), ({"type": "delivered"}, 2), ({"status_code": 500}, 0)]:
        assert (await begun(api, "/api/deliveries/retry", **body, dry_run=True))["total"] == total
    recovered = await ended(api, await begun(api, paths[1], since=LONG_AGO))
    assert (recovered["kind"], recovered["state"], recovered["done"]) == ("recover_failed", "done", 1)
    await failed(api, 4)
    assert [delivery["attempts"] for delivery in await deliveries(api, f"endpoint_id={other['id']}")] == [2]
    assert (await ended(api, await begun(api, "/api/deliveries/retry", since=LONG_AGO)))["done"] == 4


async def failed(api: Api, number: int) -> None:
    async with asyncio.timeout(10):
        while len(await deliveries(api, "status=failed")) < number:
            await asyncio.sleep(0.02)


async def test_a_job_is_cancelled_where_it_stands(api: Api) -> None:
    await post_events(api)
    await add_endpoint(api, active=False)
    job = await begun(api, "/api/events/replay", since=LONG_AGO, **SLOW)
    async with asyncio.timeout(10):
        while not await deliveries(api):
            await asyncio.sleep(0.02)
    cancelled = (await api.post(f"/api/jobs/{job['id']}/cancel")).json()
    assert (cancelled["state"], cancelled["done"], cancelled["total"]) == ("cancelled", 1, 3)
    assert (await api.post(f"/api/jobs/{job['id']}/cancel")).json() == cancelled
    assert len(await deliveries(api)) == 1


async def test_a_job_that_is_done_cannot_be_cancelled(small_api: Api) -> None:
    done = await ended(small_api, await begun(small_api, "/api/events/replay", since=LONG_AGO))
    assert (done["state"], done["total"], done["done"]) == ("done", 0, 0)
    refused = await small_api.post(f"/api/jobs/{done['id']}/cancel")
    assert refused.status_code == 409
    assert "done already" in refused.json()["detail"]


async def test_a_recovery_fails_when_its_endpoint_is_paused_on_the_way(api: Api) -> None:
    await post_events(api)
    endpoint = await add_endpoint(api, rate_limit_per_s=0.01)
    path = f"/api/webhooks/manage/{endpoint['id']}"
    job = await begun(api, f"{path}/recover", since=LONG_AGO, status="missing", per_second=2)
    await api.patch(path, json={"active": False})
    shown = await ended(api, job)
    assert (shown["state"], shown["done"] < shown["total"]) == ("failed", True)
    assert "is not active; enable it first" in shown["error"]


async def test_jobs_are_listed_newest_first(small_api: Api) -> None:
    for _ in range(3):
        await ended(small_api, await begun(small_api, "/api/events/replay", since=LONG_AGO))
    page = (await small_api.get("/api/jobs?limit=2&state=done")).json()
    rest = (await small_api.get(f"/api/jobs?limit=2&cursor={page['next_cursor']}")).json()
    ids = [job["id"] for job in [*page["data"], *rest["data"]]]
    assert ids == sorted(ids, reverse=True)
    assert (len(ids), rest["next_cursor"]) == (3, None)
    assert (await small_api.get("/api/jobs?state=running")).json()["data"] == []


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, ""),
        ({"dry_run": True}, ""),
        ({"type": "bonce"}, "type"),
        ({"since": "yesterday"}, "since"),
        ({"since": "2020-01-02T00:00:00Z", "until": LONG_AGO}, "since"),
        ({"since": "2999-01-01T00:00:00Z"}, "since"),
        ({"since": LONG_AGO, "endpoint_id": 0}, "endpoint_id"),
        ({"since": LONG_AGO, "per_second": 0}, "per_second"),
        ({"since": LONG_AGO, "per_second": 1e9}, "per_second"),
        ({"since": LONG_AGO, "dry_run": "yes"}, "dry_run"),
        ({"since": LONG_AGO, "limit": 5}, "limit"),
    ],
)
async def test_bad_replays_are_refused(small_api: Api, body: dict[str, Any], field: str) -> None:
    for path in ("/api/events/replay", "/api/deliveries/retry"):
        refused = await small_api.post(path, json=body)
        assert (refused.status_code, fields_of(refused)) == (422, [field])


async def test_a_replay_to_an_endpoint_that_is_not_there_is_refused(small_api: Api) -> None:
    for path in ("/api/events/replay", "/api/deliveries/retry"):
        assert (await small_api.post(path, json={"since": LONG_AGO, "endpoint_id": 999})).status_code == 404


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "since"),
        ({"since": "yesterday"}, "since"),
        ({"since": 5}, "since"),
        ({"since": LONG_AGO, "status": "held"}, "status"),
        ({"since": LONG_AGO, "untill": LONG_AGO}, "untill"),
        ({"since": LONG_AGO, "until": "2019-01-01T00:00:00Z"}, "since"),
    ],
)
async def test_bad_recoveries_are_refused(small_api: Api, body: dict[str, Any], field: str) -> None:
    endpoint = await add_endpoint(small_api)
    refused = await small_api.post(f"/api/webhooks/manage/{endpoint['id']}/recover", json=body)
    assert (refused.status_code, fields_of(refused)) == (422, [field])


async def test_a_recovery_of_an_endpoint_that_is_not_active_is_refused(small_api: Api) -> None:
    endpoint = await add_endpoint(small_api, active=False)
    for path in (f"/api/webhooks/manage/{endpoint['id']}/recover", "/api/deliveries/retry"):
        body = {"since": LONG_AGO} | ({"endpoint_id": endpoint["id"]} if path.endswith("retry") else {})
        refused = await small_api.post(path, json=body)
        assert refused.status_code == 409
        assert "enable it first" in refused.json()["detail"]


async def test_a_job_needs_a_key_that_may_write(small_api: Api) -> None:
    made = (await small_api.post("/api/keys", json={"name": "reader", "role": "read"})).json()
    headers = with_key(made["key"])
    assert (await small_api.post("/api/events/replay", json={"since": LONG_AGO}, headers=headers)).status_code == 403
    assert (await small_api.get("/api/jobs", headers=headers)).status_code == 200
