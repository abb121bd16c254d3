"""The endpoints as pages, over HTTP."""

import re
from typing import Any

import anyio
import pytest

from tests.servers import Answer, sink
from tests.web.gateways import SUBSCRIBER, Api, add_endpoint, add_source, post_native
from tests.web.pages.test_deliveries import delivery_when
from tests.web.pages.visitors import Visitor

pytestmark = pytest.mark.anyio

FORM = {"url": SUBSCRIBER, "events": "bounce, click", "signature": "hmac"}


async def shown(api: Api, number: int = 1) -> dict[str, Any]:
    return (await api.get(f"/api/webhooks/manage/{number}")).json()


async def test_the_first_page_says_what_to_do(small_api: Api) -> None:
    visitor = await Visitor(small_api).log_in()
    assert 'href="/endpoints/new"' in (await visitor.get("/endpoints")).text


async def test_an_endpoint_is_added_and_its_secret_shown_once(small_api: Api) -> None:
    visitor = await Visitor(small_api).log_in()
    added = await visitor.fill("/endpoints/new", "/endpoints/new", **FORM, description="CRM", headers="X-Tenant: 7")
    assert added.status_code == 201
    secret = re.search(r"whsec_[\w+/=]+", added.text)
    assert secret is not None
    stored = await shown(small_api)
    assert (stored["events"], stored["description"], stored["headers"]) == (
        "bounce,click",
        "CRM",
        {"X-Tenant": "(hidden)"},
    )
    for path in ("/endpoints", "/endpoints/1", "/endpoints/1/change"):
        text = (await visitor.get(path)).text
        assert "CRM" in text
        assert secret[0] not in text


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("url", "http://192.168.0.1/", "private"),
        ("events", "bounse", "did you mean"),
        ("filter", "data.[", "position"),
        ("timeout_s", "soon", "must be a number"),
        ("headers", "Host: a", "set by the gateway"),
        ("secret", "short", "secret"),
    ],
)
async def test_what_is_wrong_stands_beside_its_field(small_api: Api, field: str, value: str, said: str) -> None:
    visitor = await Visitor(small_api).log_in()
    refused = await visitor.fill("/endpoints/new", "/endpoints/new", **{**FORM, field: value})
    assert refused.status_code == 422
    beside = re.search(rf'id="wrong-{field}">(.*?)</span>', refused.text)
    assert beside is not None
    assert said in beside[1]
    assert (await small_api.get("/api/webhooks/manage")).json()["webhooks"] == []


async def test_a_change_keeps_what_the_form_does_not_show(small_api: Api) -> None:
    before = await add_endpoint(small_api, headers={"X-Tenant": "7"}, retry_on=["5xx"], events="bounce")
    visitor = await Visitor(small_api).log_in()
    page = "/endpoints/1/change"
    changed = await visitor.fill(page, page, **FORM, description="Renamed", retry_on="5xx, 429")
    assert (changed.status_code, changed.headers["location"]) == (303, "/endpoints/1")
    after = await shown(small_api)
    assert (after["description"], after["retry_on"], after["headers"]) == (
        "Renamed",
        ["5xx", 429],
        before["headers"] | {"X-Tenant": "(hidden)"},
    )
    await visitor.fill(page, page, **FORM, drop_headers="yes")
    assert (await shown(small_api))["headers"] == {}
    assert (await visitor.fill(page, page, **{**FORM, "url": "nonsense"})).status_code == 422


async def test_a_change_to_a_key_pair_shows_the_public_key(small_api: Api) -> None:
    await add_endpoint(small_api)
    visitor = await Visitor(small_api).log_in()
    changed = await visitor.fill("/endpoints/1/change", "/endpoints/1/change", **{**FORM, "signature": "ed25519"})
    assert "whpk_" in changed.text
    page = (await visitor.get("/endpoints/1")).text
    assert "whpk_" in page
    assert "hashlib" not in page


async def test_a_filter_and_a_transform_are_tried_where_they_are_written(small_api: Api) -> None:
    await add_source(small_api)
    await post_native(small_api, recipient="anna@example.com")
    await post_native(small_api, recipient="<b>ben</b>@example.com")
    visitor = await Visitor(small_api).log_in()
    fields = {**FORM, "filter": "starts_with(data.recipient, 'anna')", "transform": "{who: data.recipient}"}
    tried = (await visitor.fill("/endpoints/new/try", "/endpoints/new", **fields)).text
    assert "<strong>1 of 2</strong>" in tried
    assert "&#34;who&#34;: &#34;anna@example.com&#34;" in tried
    assert "starts_with(data.recipient" in tried
    await add_endpoint(small_api)
    all_of_them = (
        await visitor.fill("/endpoints/1/change/try", "/endpoints/new", **FORM, transform="data.recipient")
    ).text
    assert "<strong>2 of 2</strong>" in all_of_them
    assert "<b>" not in all_of_them
    wrong = await visitor.fill("/endpoints/new/try", "/endpoints/new", **{**FORM, "transform": "data.["})
    assert wrong.status_code == 422
    assert 'id="wrong-transform"' in wrong.text


async def test_an_endpoint_is_paused_and_enabled_with_or_without_what_was_held(small_api: Api) -> None:
    async with sink() as subscriber:
        await add_source(small_api)
        await add_endpoint(small_api, url=subscriber.url)
        visitor = await Visitor(small_api).log_in()
        await visitor.fill("/endpoints/1/pause")
        assert (await shown(small_api))["state"] == "paused"
        await post_native(small_api)
        await delivery_when(small_api, "held")
        page = (await visitor.get("/endpoints/1")).text
        assert "A person paused it. 1 delivery is held for it." in page
        await visitor.fill("/endpoints/1/enable", held="drop")
        assert (await shown(small_api))["state"] == "healthy"
        await delivery_when(small_api, "cancelled")
        await visitor.fill("/endpoints/1/pause")
        await post_native(small_api)
        await delivery_when(small_api, "held")
        await visitor.fill("/endpoints/1/enable", held="send")
        await delivery_when(small_api, "delivered")


async def test_a_failing_endpoint_is_explained_and_probed(small_api: Api) -> None:
    async with sink(*[Answer(500)] * 5, Answer(200)) as subscriber:
        await add_source(small_api)
        await add_endpoint(small_api, url=subscriber.url, description="Loader")
        for _ in range(5):
            await post_native(small_api)
        await subscriber.arrived(5)
        visitor = await Visitor(small_api).log_in()
        with anyio.fail_after(15):
            while "probed by one delivery at a time" not in (page := (await visitor.get("/endpoints/1")).text):
                await anyio.sleep(0.02)
        assert "The receiver failed while it handled the event." in page
        assert "The last 5 attempts: 0 delivered, 5 failed" in page
        assert "failing" in (await visitor.get("/endpoints")).text
        probe = await visitor.fill("/endpoints/1/test")
        assert re.fullmatch(r"/deliveries/dlv_\w+", probe.headers["location"])
        await subscriber.arrived(6)
        with anyio.fail_after(15):
            while (await shown(small_api))["state"] != "healthy":
                await anyio.sleep(0.02)


async def test_a_new_secret_is_shown_once_and_the_old_one_ends(small_api: Api) -> None:
    old = (await add_endpoint(small_api))["secret"]
    visitor = await Visitor(small_api).log_in()
    rotated = await visitor.fill("/endpoints/1/rotate", "/endpoints/1/rotate", overlap_s="3600")
    new = re.search(r"whsec_[\w+/=]+", rotated.text)
    assert new is not None
    assert new[0] != old
    assert len((await shown(small_api))["old_secrets"]) == 1
    refused = await visitor.fill("/endpoints/1/rotate", "/endpoints/1/rotate", secret="short")
    assert refused.status_code == 422
    assert "wrong-secret" in refused.text


async def test_an_endpoint_is_deleted_after_a_question(small_api: Api) -> None:
    await add_source(small_api)
    await add_endpoint(small_api, active=False)
    await post_native(small_api)
    visitor = await Visitor(small_api).log_in()
    question = (await visitor.get("/endpoints/1/delete")).text
    assert "<strong>1 delivery</strong>" in question
    assert (await shown(small_api))["id"] == 1
    assert (await visitor.fill("/endpoints/1/delete")).headers["location"] == "/endpoints"
    assert (await visitor.get("/endpoints/1")).status_code == 404


async def test_what_is_missing_is_counted_and_sent_as_a_job(small_api: Api) -> None:
    await add_source(small_api)
    await post_native(small_api)
    await post_native(small_api)
    async with sink() as subscriber:
        await add_endpoint(small_api, url=subscriber.url)
        visitor = await Visitor(small_api).log_in()
        page = (await visitor.get("/endpoints/1/recover?status=missing&since=2020-01-01T00:00")).text
        assert "<strong>2</strong>" in page
        assert "nothing that failed" in (await visitor.get("/endpoints/1/recover?since=2020-01-01T00:00")).text
        fields = {"since": "2020-01-01T00:00:00.000Z", "status": "missing"}
        begun = await visitor.fill("/endpoints/1/recover", **fields)
        assert begun.headers["location"] == "/endpoints/1/recover"
        await subscriber.arrived(2)
        with anyio.fail_after(15):
            while "2 of 2" not in (await visitor.get("/endpoints/1/recover")).text:
                await anyio.sleep(0.02)


async def test_a_paused_endpoint_has_to_be_enabled_before_it_recovers(small_api: Api) -> None:
    await add_endpoint(small_api, active=False)
    visitor = await Visitor(small_api).log_in()
    page = await visitor.get("/endpoints/1/recover?since=2020-01-01T00:00")
    assert page.status_code == 200
    assert "The endpoint is not active" in page.text


async def test_a_page_of_an_endpoint_has_receivers_in_four_languages(small_api: Api) -> None:
    await add_endpoint(small_api)
    page = (await (await Visitor(small_api).log_in()).get("/endpoints/1")).text
    for word in ("hmac.compare_digest", "timingSafeEqual", "hmac.Equal", "hash_equals"):
        assert word in page
    assert len(page) < 150_000


async def test_who_may_only_read_is_offered_nothing(small_api: Api) -> None:
    await add_endpoint(small_api)
    key = (await small_api.post("/api/keys", json={"name": "watcher", "role": "read"})).json()["key"]
    visitor = await Visitor(small_api).log_in(key)
    page = (await visitor.get("/endpoints/1")).text
    assert re.findall(r'action="/endpoints/1/\w+"', page) == []
    assert "/endpoints/1/delete" not in page
    assert "/endpoints/new" not in (await visitor.get("/endpoints")).text
    for path in ("pause", "enable", "test", "delete", "change", "rotate", "recover"):
        assert (await visitor.fill(f"/endpoints/1/{path}")).status_code == 403
    assert (await shown(small_api))["active"]


@pytest.mark.parametrize("rest", ["", "/change", "/rotate", "/delete", "/recover"])
async def test_an_endpoint_that_is_not_there_is_a_page(small_api: Api, rest: str) -> None:
    visitor = await Visitor(small_api).log_in()
    for number in ("7", "99999999999"):
        assert (await visitor.get(f"/endpoints/{number}{rest}")).status_code == 404
