"""From a provider's request to a subscriber's server, with nothing but the API in between."""

import hashlib
import hmac
import time
from typing import Any

import anyio
import pytest

from tests.servers import Answer, sink
from tests.web.gateways import Api, add_endpoint, add_source, post_native

pytestmark = pytest.mark.anyio
WITHIN_S = 15


async def delivery_when(api: Api, status: str) -> dict[str, Any]:
    """The newest delivery with its attempts, once it has that status."""
    deadline = time.monotonic() + WITHIN_S
    while time.monotonic() < deadline:
        for line in (await api.get("/api/deliveries")).json()["data"][:1]:
            if line["status"] == status:
                return (await api.get(f"/api/deliveries/{line['id']}")).json()
        await anyio.sleep(0.02)
    raise AssertionError(f"no delivery became {status}")


async def test_a_subscriber_gets_the_event_signed_and_the_log_shows_the_attempt(api: Api) -> None:
    async with sink() as subscriber:
        await add_source(api)
        endpoint = await add_endpoint(api, url=subscriber.url, events="bounce", headers={"X-Tenant": "7"})
        await post_native(api)
        (got,) = await subscriber.arrived(1)
        signature = hmac.new(endpoint["secret"].encode(), got.body, hashlib.sha256).hexdigest()
        assert got.headers["x-webhook-signature"] == signature
        assert got.headers["x-tenant"] == "7"
        shown = await delivery_when(api, "delivered")
    (attempt,) = shown["attempts"]
    assert attempt["status_code"] == 200
    assert attempt["request"]["body"] == got.body.decode()
    assert attempt["response"]["body"] == "ok"
    assert shown["delivery"]["event_id"] == got.json()["id"]


async def test_a_failed_delivery_is_retried_by_hand(api: Api) -> None:
    async with sink(Answer(500), Answer(200)) as subscriber:
        await add_source(api)
        await add_endpoint(api, url=subscriber.url, retry_schedule_s=[])
        await post_native(api)
        failed = await delivery_when(api, "failed")
        assert failed["attempts"][0]["status_code"] == 500
        retried = await api.post(f"/api/deliveries/{failed['delivery']['id']}/retry")
        assert retried.status_code == 202
        delivered = await delivery_when(api, "delivered")
    assert [attempt["number"] for attempt in delivered["attempts"]] == [1, 2]


async def test_a_held_delivery_goes_out_when_its_endpoint_is_enabled(api: Api) -> None:
    async with sink() as subscriber:
        await add_source(api)
        endpoint = await add_endpoint(api, url=subscriber.url, active=False)
        await post_native(api)
        await delivery_when(api, "held")
        await api.post(f"/api/webhooks/manage/{endpoint['id']}/enable")
        await subscriber.arrived(1)
        await delivery_when(api, "delivered")


async def test_a_test_event_arrives_whatever_the_endpoint_asks_for(api: Api) -> None:
    async with sink() as subscriber:
        endpoint = await add_endpoint(api, url=subscriber.url, events="click")
        event_id = (await api.post(f"/api/webhooks/manage/{endpoint['id']}/test")).json()["event_id"]
        (got,) = await subscriber.arrived(1)
    assert got.json()["id"] == event_id
    assert got.headers["x-webhook-event"] == "webhook.test"
