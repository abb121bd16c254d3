"""A real browser before a real gateway: Debian's Chromium, driven by Playwright.

Import the fixtures into a module of tests, which may hold no async tests (Playwright has a loop of its own running):

    from tests.browser import chromium, page, site

Whatever a test does, its page may not write an error to the console nor ask another host for anything.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from time import monotonic, sleep
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx
import pytest

from app.web.sessions import COOKIE
from tests.processes import KEY, Process, running
from tests.servers import PLAIN

EXECUTABLES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
WIDE, NARROW = {"width": 1280, "height": 800}, {"width": 390, "height": 844}
WAIT_MS = 10_000
POLL_S = 0.05

Found = TypeVar("Found")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """A browser for the tests of one module."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        _not_here("Playwright comes with the extra `test`, which is not installed")
    executable = next((path for name in EXECUTABLES if (path := shutil.which(name))), None)
    if executable is None:
        _not_here("no Chromium is installed (Debian: apt-get install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """A gateway that modules share, with whatever the tests before have left; its admin key is `processes.KEY`."""
    with running(tmp_path_factory.mktemp("site")) as gateway:
        yield gateway


@pytest.fixture
def page(chromium: Any, site: Process) -> Iterator[Any]:
    """A page of a browser that is logged in as the admin; `page.goto("/events")` works without the host."""
    context = chromium.new_context(base_url=site.url, viewport=WIDE)
    context.add_cookies([{"name": COOKIE, "value": new_session(site), "url": site.url, "sameSite": "Lax"}])
    page = context.new_page()
    page.set_default_timeout(WAIT_MS)
    complaints = watched(page, site)
    yield page
    context.close()
    assert complaints == [], "\n".join(complaints)


def watched(page: Any, site: Process) -> list[str]:
    """What is wrong with the page, as it goes on: errors in the console, and requests to other hosts."""
    complaints = list[str]()

    def check_host(request: Any) -> None:
        if urlsplit(request.url).netloc != urlsplit(site.url).netloc:
            complaints.append(f"asked another host: {request.url}")

    page.on("request", check_host)
    page.on("pageerror", lambda error: complaints.append(f"failed: {error}"))
    page.on("console", lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None)
    return complaints


def new_session(site: Process, key: str = KEY) -> str:
    """The cookie of a browser that has just logged in with the key."""
    answer = httpx.post(f"{site.url}/login", data={"key": key}, verify=PLAIN)
    assert answer.status_code == 303, answer.text
    return answer.cookies[COOKIE]


def scrolls_sideways(page: Any) -> bool:
    """Whether the page is wider than the window."""
    return page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")


def until(ask: Callable[[], Found | None]) -> Found:
    """What `ask` answers, once it says anything.

    For whatever a page does after a while, too: Playwright's own `wait_for_function` does not wait for a promise.
    """
    deadline = monotonic() + WAIT_MS / 1000
    while monotonic() < deadline:
        if answer := ask():
            return answer
        sleep(POLL_S)
    raise AssertionError(f"not within {WAIT_MS} ms")


def copied(page: Any, beginning: str) -> str:
    """What the clipboard holds, once it begins like that: a page writes to it after the key was pressed."""

    def text() -> str | None:
        held: str = page.evaluate("navigator.clipboard.readText()")
        return held if held.startswith(beginning) else None

    return until(text)


def _not_here(reason: str) -> None:
    if os.environ.get("CI") == "true":
        pytest.fail(f"CI must test in a browser: {reason}")
    pytest.skip(reason)
