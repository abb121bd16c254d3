"""The frame of the dashboard as people see it. Playwright's own loop is running: no async tests here."""

import re
from typing import Any

import pytest

from tests.browser import NARROW, WIDE, chromium, page, scrolls_sideways, site, watched
from tests.processes import KEY, Process, client

__all__ = ["chromium", "page", "site"]


def test_a_person_logs_in_with_the_key_and_out_again(chromium: Any, site: Process) -> None:
    with chromium.new_context(base_url=site.url) as context:
        page = context.new_page()
        complaints = watched(page, site)
        page.goto("/events")
        page.get_by_label("API key").fill(KEY)
        page.get_by_role("button", name="Log in").click()
        page.wait_for_url("**/events")
        assert page.locator("h1").inner_text() == "Events"
        page.get_by_role("button", name="Log out").click()
        page.wait_for_url("**/login")
        assert complaints == []


@pytest.mark.parametrize("viewport", [WIDE, NARROW], ids=["wide", "narrow"])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_frame_fits_the_window_in_both_themes(page: Any, viewport: dict[str, int], theme: str) -> None:
    page.set_viewport_size(viewport)
    page.goto("/events")
    if viewport == NARROW:
        page.get_by_text("Menu", exact=True).click()
    page.get_by_role("button", name=theme.capitalize()).click()
    page.wait_for_load_state()
    scheme = page.evaluate("getComputedStyle(document.documentElement).colorScheme")
    assert scheme == theme
    assert not scrolls_sideways(page)


def test_every_page_works_without_javascript(chromium: Any, site: Process) -> None:
    with chromium.new_context(base_url=site.url, java_script_enabled=False) as context:
        page = context.new_page()
        page.goto("/login")
        page.get_by_label("API key").fill(KEY)
        page.get_by_role("button", name="Log in").click()
        page.goto("/events")
        page.get_by_label("Search").fill("nobody@example.com")
        page.get_by_role("button", name="Apply").click()
        assert re.search(r"[?&]q=nobody%40example.com", page.url)
        assert page.get_by_text("No event fits").is_visible()


def test_the_keyboard_reaches_the_content_first(page: Any) -> None:
    page.goto("/events")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"


def test_a_page_is_light(page: Any, site: Process) -> None:
    with client(site) as http:
        assert http.get("/api/events").status_code == 200
    sizes = list[int]()
    page.on("response", lambda answer: sizes.append(len(answer.body())))
    page.goto("/events")
    page.wait_for_load_state("networkidle")
    assert 0 < sum(sizes) < 150_000
