"""The log of events under a person's hands. Playwright's own loop is running: no async tests here."""

import json
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.browser import NARROW, chromium, copied, page, scrolls_sideways, site
from tests.processes import Process, client

__all__ = ["chromium", "page", "site"]

HOSTILE = "<script>document.title = 'owned'</script><img src=x onerror=\"document.title = 'owned'\">\u202e"


@pytest.fixture(scope="module")
def http(site: Process) -> Iterator[httpx.Client]:
    with client(site) as http:
        http.post("/api/sources", json={"name": "open", "provider": "resend", "verification": "none"})
        http.post("/api/webhooks/manage", json={"url": "http://127.0.0.1:9/hook", "events": "*"})
        for number in range(3):
            post(http, f"first{number}")
        yield http


def post(http: httpx.Client, name: str, **more: Any) -> None:
    data = {"email_id": name, "to": [f"{name}@example.com"], "created_at": "2026-03-03T08:15:00Z", **more}
    body = {"type": "email.bounced", "created_at": "2026-03-03T08:15:00Z", "data": data}
    assert http.post("/api/webhooks/open", json=body).status_code == 200


def newest(http: httpx.Client, **filters: str) -> dict[str, Any]:
    return http.get("/api/events", params=filters).json()["data"][0]


def test_new_events_come_in_by_themselves_and_ticks_stay(page: Any, http: httpx.Client) -> None:
    page.goto("/events?type=bounce")
    page.get_by_text("Live", exact=True).wait_for()
    ticked = page.locator("tbody input").first
    value = ticked.get_attribute("value")
    ticked.check()
    post(http, "live")
    page.get_by_text("live@example.com").wait_for()
    assert page.locator("tbody tr").first.inner_text().count("live@example.com") == 1
    assert page.locator("tbody input:checked").get_attribute("value") == value


def test_an_event_that_does_not_fit_the_filters_does_not_come_in(page: Any, http: httpx.Client) -> None:
    page.goto("/events?q=chosen")
    page.get_by_text("Live", exact=True).wait_for()
    post(http, "other")
    post(http, "chosen")
    page.get_by_text("chosen@example.com").wait_for()
    assert page.locator("tbody tr").count() == 1


def test_the_list_is_used_with_the_keyboard_alone(page: Any, http: httpx.Client) -> None:
    page.goto("/events?q=first")
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("k")
    here = page.locator("tr.here")
    assert "first1@example.com" in here.inner_text()
    page.keyboard.press("x")
    assert page.locator("[data-selected]").inner_text() == "1"
    page.keyboard.press("x")
    assert page.locator("tbody input:checked").count() == 0
    page.keyboard.press("?")
    assert page.get_by_role("dialog", name="Keys").is_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("/")
    page.keyboard.type("jx?")
    assert page.get_by_label("Search").input_value() == "jx?"
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    assert page.locator("tr.here").count() == 0
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_url("**/events/evt_*")
    page.keyboard.press("Escape")
    page.wait_for_url(re.compile(r"/events\?q=first$"))


def test_the_selection_is_replayed_by_key_and_the_page_says_so(page: Any, http: httpx.Client) -> None:
    page.goto("/events?q=first")
    page.keyboard.press("j")
    page.keyboard.press("x")
    page.keyboard.press("j")
    page.keyboard.press("x")
    page.keyboard.press("r")
    page.get_by_role("status").wait_for()
    assert "2 deliveries are on the way, of 2 events." in page.get_by_role("status").inner_text()
    assert page.url.endswith("/events?q=first")


def test_an_event_and_its_link_are_copied(page: Any, http: httpx.Client) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto("/events?q=first")
    page.keyboard.press("j")
    page.keyboard.press("y")
    link = copied(page, "http")
    assert link.endswith(f"/events/{newest(http, q='first')['id']}")
    page.keyboard.press("c")
    assert json.loads(copied(page, "{"))["id"] == newest(http, q="first")["id"]
    page.goto(link)
    page.get_by_text("Copy", exact=True).click()
    page.get_by_role("link", name="Native request as curl").click()
    copied(page, "curl")


def test_linked_values_light_up_together(page: Any, http: httpx.Client) -> None:
    page.goto(f"/events/{newest(http)['id']}")
    page.locator("mark.link", has_text="@example.com").first.hover()
    assert page.locator("mark.lit").count() >= 2


def test_a_hostile_payload_does_nothing(page: Any, http: httpx.Client) -> None:
    post(http, "hostile", subject=HOSTILE, **{HOSTILE: HOSTILE})
    event = newest(http, q="hostile")["id"]
    for path in (f"/events/{event}", f"/events/{event}/as/json", f"/events/{event}/as/native"):
        page.goto(path)
        assert page.title() != "owned"
        assert "<script>" in page.inner_text("body")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_pages_fit_a_telephone(page: Any, http: httpx.Client, theme: str) -> None:
    post(http, "long" + "x" * 180, subject="y" * 3_000)
    page.emulate_media(color_scheme=theme)
    page.set_viewport_size(NARROW)
    for path in ("/events", f"/events/{newest(http)['id']}"):
        page.goto(path)
        assert not scrolls_sideways(page), path
