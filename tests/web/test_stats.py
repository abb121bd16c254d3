"""The numbers of an environment, a source and an endpoint, against what really happened."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from app.store.rollups import HOUR_MS, MINUTE_MS
from app.store.tables import EnvironmentRow, RollupHourRow, RollupRow, table_of
from app.store.transactions import writing
from tests.servers import Answer
from tests.servers import sink as serve
from tests.web.gateways import Api, add_endpoint, add_source, fields_of, gateway_of, post_native

pytestmark = pytest.mark.anyio

NOT_AUTHENTIC = {"svix-signature": "v1,AAAA"}


async def figures(api: Api, path: str, **query: str) -> dict[str, Any]:
    answer = await api.get(path, params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def until_attempts(api: Api, path: str, count: int) -> dict[str, Any]:
    """The statistics, once so many attempts were counted."""
    async with asyncio.timeout(10):
        while True:
            found = await figures(api, path)
            if sum(found["outbound"]["attempts"].values()) >= count:
                return found
            await asyncio.sleep(0.02)


async def test_what_came_in_and_went_out_is_counted(api: Api) -> None:
    await add_source(api)
    async with serve(Answer(200), Answer(200), Answer(503)) as sink:
        endpoint = await add_endpoint(api, url=sink.url, events="delivered,bounced,complaint")
        for native in ("email.delivered", "email.delivered", "email.bounced", "email.opened"):
            assert (await post_native(api, native)).status_code == 200
        assert (await post_native(api, headers=NOT_AUTHENTIC)).status_code == 401
        path = f"/api/webhooks/manage/{endpoint['id']}/stats"
        of_endpoint = await until_attempts(api, path, 3)
        whole = await figures(api, "/api/stats")
        of_source = await figures(api, "/api/sources/prod/stats")
    inbound = of_source["inbound"]
    assert inbound["receipts"] == {"accepted": 4, "rejected": 1}
    assert inbound["events"] == {"email.bounced": 1, "email.delivered": 2, "email.open": 1}
    assert (inbound["messages"], inbound["bounce_rate"], inbound["complaint_rate"]) == (3, 0.333333, 0.0)
    assert sum(inbound["bounces"].values()) == 1
    outbound = of_endpoint["outbound"]
    assert outbound["attempts"] == {"5xx": 1, "delivered": 2}
    assert (outbound["delivered"], outbound["failed"], outbound["success_rate"]) == (2, 0, 0.666667)
    assert 0 < outbound["duration_ms"]["p50"] <= outbound["latency_ms"]["p99"]
    assert of_endpoint["queue"] == {"pending": 1, "sending": 0, "held": 0, "queued": 0}
    assert (whole["inbound"], whole["outbound"]) == (inbound, outbound)


async def test_the_buckets_are_whole_and_add_up_to_the_total(api: Api) -> None:
    await add_source(api)
    await post_native(api)
    until = datetime.now(UTC)
    since = (until - timedelta(minutes=30)).isoformat()
    found = await figures(api, "/api/stats", since=since, bucket="5m")
    assert len(found["buckets"]) in (6, 7)
    assert found["buckets"][0]["at"] == found["since"]
    assert found["since"][14:16] in {f"{minute:02}" for minute in range(0, 60, 5)}
    accepted = [bucket["inbound"]["receipts"].get("accepted", 0) for bucket in found["buckets"]]
    assert sum(accepted) == found["inbound"]["receipts"]["accepted"] == 1
    assert (await figures(api, "/api/stats"))["bucket"] == "15m"
    assert (await figures(api, "/api/stats", since=since))["bucket"] == "1m"


async def test_hours_of_the_past_and_minutes_of_today_are_one_series(api: Api) -> None:
    await add_source(api)
    now = gateway_of(api).clock.ms()
    places = {"environment_id": 1, "kind": "source", "subject_id": 1, "measure": "receipt.accepted"}
    old, recent = (now - 72 * HOUR_MS) // HOUR_MS * HOUR_MS, now // MINUTE_MS * MINUTE_MS
    async with writing(gateway_of(api).engine) as connection:
        await connection.execute(sa.insert(table_of(RollupHourRow)).values(places | {"hour": old, "count": 5}))
        for node in (1, 2):
            row = places | {"minute": recent, "node": node, "count": 1}
            await connection.execute(sa.insert(table_of(RollupRow)).values(row))
    week = (datetime.now(UTC) - timedelta(days=7)).isoformat()
    found = await figures(api, "/api/stats", since=week)
    assert (found["bucket"], found["inbound"]["receipts"]) == ("6h", {"accepted": 7})
    counts = [bucket["inbound"]["receipts"].get("accepted", 0) for bucket in found["buckets"]]
    assert sorted(counts)[-2:] == [2, 5]
    refused = await api.get("/api/stats", params={"since": week, "bucket": "5m"})
    assert (refused.status_code, fields_of(refused)) == (422, ["bucket"])


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"since": "2999-01-01T00:00:00Z"}, "since"),
        ({"since": "0001-01-01T00:00:00Z", "bucket": "1d"}, "bucket"),
        ({"bucket": "2m"}, "bucket"),
        ({"until": "1969-01-01T00:00:00Z"}, "since"),
        ({"size": "1m"}, "size"),
    ],
)
async def test_what_cannot_be_answered_is_refused(small_api: Api, query: dict[str, str], field: str) -> None:
    refused = await small_api.get("/api/stats", params=query)
    assert (refused.status_code, fields_of(refused)) == (422, [field])


async def test_a_stretch_up_to_the_end_of_the_calendar_is_cut_at_now(small_api: Api) -> None:
    found = await figures(small_api, "/api/stats", until="9999-12-31T23:59:59Z")
    assert found["until"] < "9999"


async def test_other_environments_do_not_show(api: Api) -> None:
    await add_source(api)
    endpoint = await add_endpoint(api)
    environment = table_of(EnvironmentRow)
    gateway = gateway_of(api)
    async with writing(gateway.engine) as connection:
        insert = sa.insert(environment).values(
            public_id="env_other", organization_id=1, name="other", config_version=1, created_at=gateway.clock.now()
        )
        await connection.execute(insert)
        for table, moment in ((table_of(RollupRow), "minute"), (table_of(RollupHourRow), "hour")):
            row = {"environment_id": 2, "kind": "source", "subject_id": 1, "measure": "receipt.accepted", "count": 1}
            node = {"node": 1} if moment == "minute" else {}
            now = gateway.clock.ms() // HOUR_MS * HOUR_MS
            await connection.execute(sa.insert(table).values(row | node | {moment: now}))
    assert (await figures(api, "/api/stats"))["inbound"]["receipts"] == {}
    assert (await api.get("/api/sources/nobody/stats")).status_code == 404
    assert (await api.get("/api/sources/Not-a-name/stats")).status_code == 404
    assert (await api.get(f"/api/webhooks/manage/{endpoint['id'] + 1}/stats")).status_code == 404


async def test_the_oldest_delivery_that_is_due_is_told(api: Api) -> None:
    gateway = gateway_of(api)
    await add_source(api)
    endpoint = await add_endpoint(api)
    await gateway.sender.close()
    await post_native(api)
    found = await figures(api, "/api/stats")
    of_endpoint = await figures(api, f"/api/webhooks/manage/{endpoint['id']}/stats")
    assert found["oldest_due_at"] == of_endpoint["oldest_due_at"]
    assert found["oldest_due_at"] is not None
    assert of_endpoint["queue"]["pending"] == 1
