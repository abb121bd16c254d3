"""The log of deliveries as pages, over HTTP."""

import re
from typing import Any

import anyio
import pytest

from tests.servers import Answer, sink
from tests.web.gateways import Api, add_endpoint, add_source, post_native
from tests.web.pages.visitors import Visitor

pytestmark = pytest.mark.anyio

HOSTILE = b"<script>alert(1)</script>\xe2\x80\xae evil"


async def delivery_when(api: Api, status: str) -> str:
    """The id of the newest delivery, once it has that status."""
    with anyio.fail_after(15):
        while True:
            for line in (await api.get("/api/deliveries")).json()["data"][:1]:
                if line["status"] == status:
                    return line["id"]
            await anyio.sleep(0.02)


async def failed_once(api: Api, **endpoint: Any) -> str:
    """A delivery that was given up after an answer 500 with a hostile body."""
    async with sink(Answer(500, body=HOSTILE)) as subscriber:
        await add_source(api)
        await add_endpoint(api, **{"url": subscriber.url, "retry_schedule_s": [], **endpoint})
        await post_native(api)
        return await delivery_when(api, "failed")


async def test_the_first_page_says_what_to_do(small_api: Api) -> None:
    visitor = await Visitor(small_api).log_in()
    assert 'href="/endpoints/new"' in (await visitor.get("/deliveries")).text


async def test_deliveries_are_listed_and_filtered(small_api: Api) -> None:
    delivery_id = await failed_once(small_api, description="CRM")
    visitor = await Visitor(small_api).log_in()
    listed = (await visitor.get("/deliveries?status=failed&status_code=500&type=bounce&endpoint_id=1")).text
    assert f'href="/deliveries/{delivery_id}"' in listed
    assert 'href="/endpoints/1"' in listed
    assert "CRM" in listed
    for query in ("status=delivered", "status_code=404", "endpoint_id=2", "type=click"):
        other = (await visitor.get(f"/deliveries?{query}")).text
        assert delivery_id not in other
        assert "No delivery fits" in other
    assert (await visitor.get("/deliveries?status=nonsense")).status_code == 422


async def test_older_deliveries_are_a_link_away(small_api: Api) -> None:
    await add_source(small_api)
    await add_endpoint(small_api)
    for _ in range(3):
        await post_native(small_api)
    visitor = await Visitor(small_api).log_in()
    first = (await visitor.get("/deliveries?limit=2")).text
    older = re.search(r'rel="next" href="([^"]+)"', first)
    assert older is not None
    second = (await visitor.get(older[1].replace("&amp;", "&"))).text
    ids = [set(re.findall(r'href="/deliveries/(dlv_\w+)"', text)) for text in (first, second)]
    assert [len(each) for each in ids] == [2, 1]
    assert not ids[0] & ids[1]


async def test_a_failed_delivery_is_told_and_sent_again(small_api: Api) -> None:
    delivery_id = await failed_once(small_api)
    visitor = await Visitor(small_api).log_in()
    shown = (await visitor.get(f"/deliveries/{delivery_id}")).text
    assert "Given up after 1 attempt" in shown
    assert "The receiver failed while it handled the event." in shown
    assert "X-Webhook-Signature" in shown
    assert '"type": "email.bounced"'.replace('"', "&#34;") in shown
    again = await visitor.fill(f"/deliveries/{delivery_id}/retry")
    assert (again.status_code, again.headers["location"]) == (303, f"/deliveries/{delivery_id}")
    assert await delivery_when(small_api, "failed") == delivery_id
    with anyio.fail_after(15):
        while "connection refused" not in (text := (await visitor.get(f"/deliveries/{delivery_id}")).text):
            await anyio.sleep(0.02)
    assert "nothing listens at the port" in text
    assert "receiver failed while" in (await visitor.get(f"/deliveries/{delivery_id}?attempt=1")).text


async def test_what_a_subscriber_answers_is_text(small_api: Api) -> None:
    delivery_id = await failed_once(small_api)
    visitor = await Visitor(small_api).log_in()
    shown = (await visitor.get(f"/deliveries/{delivery_id}")).text
    assert "<script>alert" not in shown
    assert "&lt;script&gt;alert(1)" in shown
    assert "\u202e" not in shown
    raw = await visitor.get(f"/deliveries/{delivery_id}/attempts/1/response")
    assert (raw.content, raw.headers["content-type"]) == (HOSTILE, "text/plain; charset=utf-8")
    assert raw.headers["x-content-type-options"] == "nosniff"
    assert (await visitor.get(f"/deliveries/{delivery_id}/attempts/1/request")).json()["type"] == "email.bounced"


@pytest.mark.parametrize("path", ["dlv_nonsense", "dlv_000000000000000"])
async def test_a_delivery_that_is_not_there_is_a_page(small_api: Api, path: str) -> None:
    visitor = await Visitor(small_api).log_in()
    for rest in ("", "/attempts/1/response"):
        assert (await visitor.get(f"/deliveries/{path}{rest}")).status_code == 404
    assert (await visitor.fill(f"/deliveries/{path}/retry")).status_code == 404


async def test_an_attempt_or_part_that_is_not_there_is_a_page(small_api: Api) -> None:
    delivery_id = await failed_once(small_api)
    visitor = await Visitor(small_api).log_in()
    for rest in ("2/response", "1/cookies"):
        assert (await visitor.get(f"/deliveries/{delivery_id}/attempts/{rest}")).status_code == 404


async def test_a_held_delivery_leads_to_its_endpoint(small_api: Api) -> None:
    await add_source(small_api)
    await add_endpoint(small_api, active=False)
    await post_native(small_api)
    delivery_id = await delivery_when(small_api, "held")
    visitor = await Visitor(small_api).log_in()
    shown = (await visitor.get(f"/deliveries/{delivery_id}")).text
    assert "the endpoint is not active" in shown
    assert 'class="button primary" href="/endpoints/1"' in shown
    assert f"{delivery_id}/retry" not in shown


async def test_who_may_only_read_is_offered_nothing(small_api: Api) -> None:
    delivery_id = await failed_once(small_api)
    key = (await small_api.post("/api/keys", json={"name": "watcher", "role": "read"})).json()["key"]
    visitor = await Visitor(small_api).log_in(key)
    assert f"{delivery_id}/retry" not in (await visitor.get(f"/deliveries/{delivery_id}")).text
    assert (await visitor.fill(f"/deliveries/{delivery_id}/retry")).status_code == 403
