"""Deliveries and endpoints as people see them. Playwright's own loop is running: no async tests here."""

from typing import Any

import pytest

from tests.browser import NARROW, WIDE, chromium, new_session, page, scrolls_sideways, site
from tests.processes import Process, client

__all__ = ["chromium", "page", "site"]


@pytest.fixture(scope="module")
def endpoint(site: Process) -> int:
    """An endpoint where nobody listens, and a delivery to it."""
    with client(site) as http:
        wanted = {"url": f"{site.url.replace('127.0.0.1', '127.0.0.2')}/{'long-' * 30}", "events": "*"}
        made = http.post("/api/webhooks/manage", json=wanted)
        assert http.post(f"/api/webhooks/manage/{made.json()['id']}/test").status_code == 202
    return made.json()["id"]


@pytest.mark.parametrize("viewport", [WIDE, NARROW], ids=["wide", "narrow"])
def test_the_pages_fit_the_window(page: Any, endpoint: int, viewport: dict[str, int]) -> None:
    page.set_viewport_size(viewport)
    paths = ["", f"/{endpoint}", f"/{endpoint}/change", f"/{endpoint}/rotate", f"/{endpoint}/recover"]
    for path in ["/deliveries", *(f"/endpoints{rest}" for rest in paths)]:
        page.goto(path)
        assert not scrolls_sideways(page), path
    page.goto("/deliveries")
    page.locator("td a[href^='/deliveries/']").first.click()
    page.get_by_text("nothing listens at the port").wait_for()
    assert not scrolls_sideways(page)


def test_new_deliveries_come_in_by_themselves_and_tell_how_they_stand(page: Any, site: Process, endpoint: int) -> None:
    page.goto(f"/deliveries?endpoint_id={endpoint}")
    page.get_by_text("Live", exact=True).wait_for()
    known = page.locator("tbody tr").count()
    with client(site) as http:
        assert http.post(f"/api/webhooks/manage/{endpoint}/test").status_code == 202
    page.locator("tr.new", has_text="connection refused").wait_for()
    assert page.locator("tbody tr").count() == known + 1
    assert "due " in page.locator("tr.new").inner_text()
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_url("**/deliveries/dlv_*")


def test_an_endpoint_is_added_without_javascript(chromium: Any, site: Process) -> None:
    with chromium.new_context(base_url=site.url, java_script_enabled=False) as context:
        context.add_cookies([{"name": "mailweir_session", "value": new_session(site), "url": site.url}])
        page = context.new_page()
        page.goto("/endpoints/new")
        page.get_by_label("URL").fill("http://127.0.0.1:9/hook")
        page.get_by_label("Filter").fill("data.[")
        page.get_by_role("button", name="Try on the last 20 events").click()
        assert page.locator("#wrong-filter").is_visible()
        page.get_by_label("Filter").fill("data.recipient")
        page.get_by_role("button", name="Add the endpoint").click()
        assert page.get_by_text("whsec_").is_visible()
        page.get_by_role("link", name="Go on to the endpoint").click()
        page.locator("summary", has_text="Python").click()
        assert page.get_by_text("hmac.compare_digest").is_visible()
