"""The first page as people see it. Playwright's own loop is running: no async tests here."""

from typing import Any

import httpx
import pytest

from tests.browser import NARROW, chromium, page, scrolls_sideways, site
from tests.processes import Process, client
from tests.servers import PLAIN

__all__ = ["chromium", "page", "site"]


@pytest.fixture(scope="module", autouse=True)
def source(site: Process) -> None:
    with client(site) as http:
        added = http.post("/api/sources", json={"name": "live", "provider": "generic", "verification": "none"})
        assert added.status_code == 201, added.text


def post(site: Process, name: str) -> None:
    body = {"type": "email.delivered", "email_id": name, "recipient": f"{name}@example.com"}
    sent = httpx.post(f"{site.url}/api/webhooks/live", json=body | {"timestamp": "2026-03-03T08:15:00Z"}, verify=PLAIN)
    assert sent.status_code == 200, sent.text


def test_what_comes_in_shows_without_a_reload(page: Any, site: Process) -> None:
    post(site, "first")
    page.goto("/")
    page.get_by_text("Following").wait_for()
    before = int(page.locator(".tile .value").first.inner_text())
    post(site, "second")
    page.get_by_text("second@example.com").wait_for()
    assert page.locator("tr.new").count() == 1
    assert page.locator(".tile .value").first.inner_text() == str(before + 1)


def test_the_first_page_fits_a_telephone_and_its_time_is_in_the_url(page: Any, site: Process) -> None:
    post(site, "third")
    page.set_viewport_size(NARROW)
    page.goto("/")
    assert not scrolls_sideways(page)
    page.get_by_role("link", name="7d").click()
    page.wait_for_url("**/?range=7d")
    assert page.get_by_role("link", name="7d").get_attribute("aria-current") == "true"
    page.get_by_text("Menu", exact=True).click()
    assert page.locator(".top a[aria-current='page']").inner_text() == "Overview"
