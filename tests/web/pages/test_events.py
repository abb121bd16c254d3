import html
import json
import re
import shlex
from typing import Any

import pytest

from tests.web.gateways import Api, add_endpoint, add_source, post_native
from tests.web.pages.visitors import HTML, Visitor
from tests.web.test_auth import key_of_another_environment, make_key

pytestmark = pytest.mark.anyio
HOSTILE = "<script>alert(1)</script>\u202e\"'&{{7*7}}"


async def newest(api: Api) -> str:
    return (await api.get("/api/events?limit=1")).json()["data"][0]["id"]


async def post_unsigned(api: Api, body: dict[str, Any], name: str = "open") -> None:
    """What a source takes that verifies nothing."""
    await api.post("/api/sources", json={"name": name, "provider": "resend", "verification": "none"})
    assert (await api.post(f"/api/webhooks/{name}", json=body)).status_code == 200


def bounced(**more: Any) -> dict[str, Any]:
    data = {"email_id": "em_1", "to": ["ann@example.com"], "created_at": "2026-03-03T08:15:00Z", **more}
    return {"type": "email.bounced", "created_at": "2026-03-03T08:15:00Z", "data": data}


async def test_the_list_shows_what_the_filters_let_through(api: Api) -> None:
    await add_source(api)
    await post_native(api, recipient="anna@example.com")
    await post_native(api, "email.delivered", recipient="bert@example.com")
    visitor = await Visitor(api).log_in()
    assert recipients(await page(visitor, "/events")) == ["bert@example.com", "anna@example.com"]
    for query in ("type=bounce", "q=ANNA", "recipient=anna%40example.com", "source=prod&type=email.bounced&q="):
        assert recipients(await page(visitor, f"/events?{query}")) == ["anna@example.com"], query
    assert "No event fits these filters" in await page(visitor, "/events?q=nobody&since=2026-01-01T00:00")
    kept = await page(visitor, "/events?q=anna&recipient=anna%40example.com&since=2026-01-01T08%3A30")
    for shown in ('name="q" value="anna"', 'name="recipient" value="anna@', 'value="2026-01-01T08:30"'):
        assert shown in kept


async def test_an_empty_log_says_what_to_do(small_api: Api) -> None:
    assert "No event has come in yet" in await page(await Visitor(small_api).log_in(), "/events")


async def test_older_events_are_behind_a_link_that_keeps_the_filters(small_api: Api) -> None:
    await add_source(small_api)
    for number in range(3):
        await post_native(small_api, recipient=f"r{number}@example.com")
    visitor = await Visitor(small_api).log_in()
    first = await page(visitor, "/events?limit=2&type=bounce")
    older = re.search(r'rel="next" href="([^"]+)"', first)
    assert older is not None
    second = await page(visitor, html.unescape(older[1]))
    assert recipients(first) + recipients(second) == ["r2@example.com", "r1@example.com", "r0@example.com"]
    assert 'href="/events?limit=2&amp;type=bounce"' in second
    assert "data-stream" in first
    assert "data-stream" not in second


async def test_a_selection_is_sent_again(api: Api) -> None:
    await add_source(api)
    await post_native(api)
    await post_native(api)
    await add_endpoint(api, events="bounce")
    ids = [event["id"] for event in (await api.get("/api/events?type=bounce")).json()["data"]]
    visitor = await Visitor(api).log_in()
    sent = await visitor.fill("/events/replay", id=ids, next="/events?type=bounce")
    assert (sent.status_code, sent.headers["location"]) == (303, "/events?type=bounce")
    assert "2 deliveries are on the way, of 2 events." in await page(visitor, "/events?type=bounce")
    assert "on the way" not in await page(visitor, "/events?type=bounce")
    replayed = (await api.get("/api/deliveries")).json()["data"]
    assert {(delivery["event_id"], delivery["origin"]) for delivery in replayed} == {
        (ids[0], "replay"),
        (ids[1], "replay"),
    }


async def test_a_selection_that_goes_nowhere_says_why(small_api: Api) -> None:
    await add_source(small_api)
    await post_native(small_api)
    visitor = await Visitor(small_api).log_in()
    await visitor.fill("/events/replay")
    assert "Tick the events" in await page(visitor, "/events")
    await visitor.fill("/events/replay", id=[await newest(small_api)])
    assert "No endpoint asks for such events" in await page(visitor, "/events")
    assert (await visitor.fill("/events/replay", id=["evt_wrong"])).status_code == 404
    assert (await visitor.fill("/events/replay", id=[f"evt_{n}" for n in range(201)])).status_code == 422


async def test_who_may_only_read_is_offered_nothing_else(small_api: Api) -> None:
    await add_source(small_api)
    await post_native(small_api)
    event = await newest(small_api)
    visitor = await Visitor(small_api).log_in((await make_key(small_api, "read"))["key"])
    for path in ("/events", f"/events/{event}"):
        assert "replay" not in (await page(visitor, path)).replace("js/events", "")
    assert (await visitor.fill(f"/events/{event}/replay")).status_code == 403
    assert (await visitor.fill("/events/replay", id=[event])).status_code == 403


async def test_an_event_is_shown_with_its_native_item_its_receipt_and_its_deliveries(api: Api) -> None:
    await add_source(api)
    endpoint = await add_endpoint(api)
    await post_native(api, recipient="anna@example.com")
    shown = await page(await Visitor(api).log_in(), f"/events/{await newest(api)}")
    native, unified = re.findall(r"<pre.*?</pre>", shown, re.DOTALL)
    for side in (native, unified):
        assert re.search(r'<mark class="link" data-link="\d+"><span class="s"><bdi dir="auto">&#34;anna@', side)
    assert f"Endpoint {endpoint['id']}" in shown
    assert "verified" in shown
    assert "accepted" in shown


async def test_native_keys_that_no_field_reads_are_marked(small_api: Api) -> None:
    await post_unsigned(small_api, {**bounced(), "brand_new": {"x": 1}})
    shown = await page(await Visitor(small_api).log_in(), f"/events/{await newest(small_api)}")
    assert re.search(r'<span class="unmapped"[^>]*><span class="k"><bdi dir="auto">&#34;brand_new', shown)
    assert "not asked for" in shown


async def test_a_hostile_payload_stays_text_in_every_form(small_api: Api) -> None:
    await post_unsigned(small_api, bounced(subject=HOSTILE, to=["<img src=x>@example.com"], big="<b>" * 300_000))
    event = await newest(small_api)
    visitor = await Visitor(small_api).log_in()
    for path in ("/events", f"/events/{event}", "/events?q=%3Cscript%3Ealert(1)", "/events?source=%22%3E%3Cb%3E"):
        shown = await page(visitor, path)
        assert re.findall(r"<script(?! type=\"module\" src=)|<img|<b>|\u202e", shown) == [], path
        assert len(shown) < 150_000
    for form in ("json", "native", "curl", "fixture"):
        answer = await visitor.get(f"/events/{event}/as/{form}")
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        assert "sandbox" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
    assert (await visitor.get(f"/events/{event}/as/html")).status_code == 404


async def test_an_event_is_copied_as_curl_and_as_a_fixture(small_api: Api) -> None:
    body = bounced(subject="it's $HOME")
    await post_unsigned(small_api, body)
    visitor, event = await Visitor(small_api).log_in(), await newest(small_api)
    words = shlex.split((await visitor.get(f"/events/{event}/as/curl")).text)
    assert words[:4] == ["curl", "-X", "POST", "http://127.0.0.1:8420/api/webhooks/open"]
    assert json.loads(words[words.index("--data-binary") + 1]) == body
    (case,) = (await visitor.get(f"/events/{event}/as/fixture")).json()
    assert case["body"] == body
    (read,) = case["events"]
    assert (read["type"], read["event_type"]) == ("email.bounced", "email.bounced")
    assert read["data"]["recipient"] == "ann@example.com"


async def test_an_event_is_sent_again_to_all_or_to_one(api: Api) -> None:
    await add_source(api)
    await post_native(api)
    event, visitor = await newest(api), await Visitor(api).log_in()
    await visitor.fill(f"/events/{event}/replay", endpoint_id="")
    assert "choose one to send it there nevertheless" in await page(visitor, f"/events/{event}")
    endpoint = await add_endpoint(api, events="open")
    await visitor.fill(f"/events/{event}/replay", endpoint_id=str(endpoint["id"]))
    assert "A new delivery is on the way." in await page(visitor, f"/events/{event}")
    assert (await visitor.fill(f"/events/{event}/replay", endpoint_id="99")).status_code == 404
    assert (await visitor.fill(f"/events/{event}/replay", endpoint_id="x")).status_code == 422


async def test_the_receipt_of_an_event_is_read_again(api: Api) -> None:
    await add_source(api)
    await post_native(api)
    event, visitor = await newest(api), await Visitor(api).log_in()
    await visitor.fill(f"/events/{event}/reprocess")
    assert "read again: 0 new events" in await page(visitor, f"/events/{event}")


async def test_repeats_are_looked_for_when_asked(api: Api) -> None:
    await post_unsigned(api, bounced())
    await post_unsigned(api, bounced())
    await post_unsigned(api, bounced(email_id="em_2", created_at="2026-03-03T08:16:00Z"))
    visitor = await Visitor(api).log_in()
    ids = [event["id"] for event in (await api.get("/api/events")).json()["data"]]
    assert "Look for repeats" in await page(visitor, f"/events/{ids[-1]}")
    assert "bring it again" in await page(visitor, f"/events/{ids[-1]}?repeats=look")
    assert "not among the last" in await page(visitor, f"/events/{ids[0]}?repeats=look")


async def test_an_event_without_a_receipt_or_a_source_is_shown_all_the_same(api: Api) -> None:
    endpoint = await add_endpoint(api)
    await api.post(f"/api/webhooks/manage/{endpoint['id']}/test")
    visitor = await Visitor(api).log_in()
    event = await newest(api)
    assert "The gateway itself made this event" in await page(visitor, f"/events/{event}")
    assert (await visitor.get(f"/events/{event}/as/native")).status_code == 404
    assert (await visitor.fill(f"/events/{event}/reprocess")).status_code == 409
    await post_unsigned(api, bounced())
    await api.delete("/api/sources/open")
    assert "its source was deleted" in await page(visitor, f"/events/{await newest(api)}")


@pytest.mark.parametrize("event", ["evt_wrong", "evt_01M7Z25CDF00200", "%00", "..%2f..", "evt_%3Cscript%3E"])
async def test_an_event_that_is_not_there_is_a_page(small_api: Api, event: str) -> None:
    visitor = await Visitor(small_api).log_in()
    answer = await visitor.get(f"/events/{event}")
    assert (answer.status_code, answer.headers["content-type"]) == (404, HTML)
    assert "<script>" not in answer.text


async def test_another_environments_events_are_not_there(api: Api) -> None:
    await add_source(api)
    await post_native(api)
    event, stranger = await newest(api), await Visitor(api).log_in(await key_of_another_environment(api))
    for path in (f"/events/{event}", f"/events/{event}/as/json", f"/events/{event}/as/native"):
        assert (await stranger.get(path)).status_code == 404
    assert recipients(await page(stranger, "/events")) == []
    for path in (f"/events/{event}/replay", f"/events/{event}/reprocess"):
        assert (await stranger.fill(path)).status_code == 404
    assert (await stranger.fill("/events/replay", id=[event])).status_code == 404


async def page(visitor: Visitor, path: str) -> str:
    answer = await visitor.get(path)
    assert answer.status_code == 200, answer.text
    return answer.text


def recipients(shown: str) -> list[str]:
    """In the rows of the list."""
    return re.findall(r'<td class="wide"><span class="text"><bdi dir="auto">(.*?)</bdi>', shown)
