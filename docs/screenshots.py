"""Takes the pictures of the README anew, from the demo in a real browser: `make screenshots`."""

import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright

IMAGES = Path(__file__).parent / "images"
WINDOW = {"width": 1280, "height": 860}
LIVE_FOR_S = 20.0
"""How long the demo's mail is under way before the pictures are taken."""

LOGIN = re.compile(r"http://\S+\?login=\S+")


@contextmanager
def demo() -> Iterator[str]:
    """A demo that runs; the link that logs in to its dashboard."""
    command = [sys.executable, "-u", "-m", "app", "demo", "--port", "0", "--subscriber-port", "0", "--seed", "1"]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        yield next(found[0] for line in running.stdout or () if (found := LOGIN.search(line)))
    finally:
        running.terminate()
        running.wait(30)


def first_link(page: Page, prefix: str) -> str:
    """Where the first link of the page leads whose address begins so."""
    return page.locator(f'main a[href^="{prefix}"]').first.get_attribute("href") or prefix


def open_event(page: Page) -> None:
    page.goto("/events?type=bounce")
    page.goto(first_link(page, "/events/evt_"))


def open_delivery(page: Page) -> None:
    page.goto("/deliveries?status=failed")
    page.goto(first_link(page, "/deliveries/dlv_"))


def open_wizard(page: Page) -> None:
    page.goto("/sources/new?provider=sendgrid")


def open_playground(page: Page) -> None:
    page.goto("/receipts?status=quarantined")
    page.goto(first_link(page, "/receipts/rcp_"))
    page.goto(first_link(page, "/playground"))
    page.locator("#result").get_by_text("quarantined").first.wait_for()


PICTURES: dict[str, Any] = {
    "overview": lambda page: page.goto("/"),
    "event": open_event,
    "delivery": open_delivery,
    "wizard": open_wizard,
    "playground": open_playground,
}


def main() -> None:
    """All of them, in the folder `images`."""
    IMAGES.mkdir(exist_ok=True)
    executable = shutil.which("chromium") or shutil.which("google-chrome")
    with demo() as link, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable)
        page = browser.new_page(base_url=link.partition("/?")[0], viewport=WINDOW, color_scheme="light")
        page.goto(link)
        time.sleep(LIVE_FOR_S)
        for name, open_page in PICTURES.items():
            open_page(page)
            page.wait_for_timeout(500)
            page.screenshot(path=IMAGES / f"{name}.png")
        browser.close()


if __name__ == "__main__":
    main()
