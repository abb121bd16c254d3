"""Whole walks through the dashboard, as people take them. Playwright's own loop is running: no async tests here.

The first walk begins with an empty gateway, so it comes first; whatever follows makes what it needs by itself.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from anyio.from_thread import start_blocking_portal

from adapters.catalog import mapping_text
from app.web.pages.dashboard import PAGES
from tests import servers
from tests.browser import NARROW, WIDE, chromium, copied, page, scrolls_sideways, until, watched
from tests.processes import KEY, Process, client, running
from tests.servers import Answer, Received, Sink
from tests.web.pages.accessibility import THEMES, barriers

__all__ = ["chromium", "page"]

SCRIPT = "<script>window.owned = 1</script><img src=x onerror=\"window.owned = 1\"><svg onload='window.owned = 1'>"
HOSTILE = f"{SCRIPT}\u202e\u2066'\"`${{window.owned = 1}}{{{{ 7 * 7 }}}}</pre></textarea></title>"
LONG = "y" * 1_000_000
TABS_MAX = 80


@pytest.fixture(scope="module")
def mappings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the operator's own mappings are."""
    return tmp_path_factory.mktemp("mappings")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, mappings: Path) -> Iterator[Process]:
    """A gateway for the walks, with a folder of mappings."""
    with running(tmp_path_factory.mktemp("site"), MAILWEIR_MAPPINGS_DIR=str(mappings)) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def http(site: Process) -> Iterator[httpx.Client]:
    with client(site) as http:
        yield http


@pytest.fixture(scope="module")
def subscriber() -> Iterator[Sink]:
    """A subscriber that takes everything, but not at /broken, and answers there in the words of a stranger."""

    def decide(request: Received) -> Answer:
        return Answer(500, {"X-Said": SCRIPT}, HOSTILE.encode()) if request.target == "/broken" else Answer()

    with start_blocking_portal() as portal, portal.wrap_async_context_manager(servers.sink()) as here:
        here.decide = decide
        yield here


def test_from_the_first_run_to_the_first_event(page: Any, subscriber: Sink) -> None:
    page.goto("/")
    assert page.locator("h1").inner_text() == "Welcome to Mailweir"
    assert page.locator(".first-step").count() == 3
    page.get_by_role("link", name="Add a source").click()
    page.get_by_label("Search").fill("resend")
    page.get_by_role("button", name="Apply").click()
    page.get_by_role("link", name="Resend").click()
    page.get_by_label("Name, part of the URL").fill("shop")
    page.get_by_label("Signing secret").fill("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    page.get_by_role("button", name="Add the source").click()
    page.wait_for_url("**/sources/shop/waiting")

    visit(page, "Overview")
    page.get_by_role("link", name="Add an endpoint").click()
    page.get_by_label("URL").fill(subscriber.url)
    page.locator("[name=events]").fill("*")
    page.get_by_role("button", name="Add the endpoint").click()
    page.get_by_role("link", name="Go on to the endpoint").click()

    visit(page, "Sources")
    page.get_by_role("link", name="shop").click()
    page.get_by_role("link", name="Test it").click()
    page.get_by_label("Native event").select_option("email.delivered")
    page.get_by_role("button", name="Send it").click()
    page.get_by_text("The first event is here").wait_for()
    page.get_by_role("link", name="Look at the request").click()
    page.get_by_role("link", name=re.compile("^evt_")).click()
    assert "email.delivered" in page.locator("h1").inner_text()
    reload_until(page, "delivered", ".deliveries .badge")
    visit(page, "Overview")
    assert page.locator("h1").inner_text() == "Overview"


def test_a_failed_delivery_is_found_understood_mended_and_sent_again(
    page: Any, http: httpx.Client, subscriber: Sink
) -> None:
    add_source(http, "mend")
    url, once = subscriber.url_for("127.0.0.1", "/broken"), list[int]()
    wanted = {"url": url, "events": "bounce", "retry_schedule_s": once, "description": "Ledger"}
    made = http.post("/api/webhooks/manage", json=wanted)
    assert made.status_code == 201, made.text
    post(http, "mend", "mend-1", native_type="email.bounced")
    until(lambda: http.get("/api/deliveries", params={"status": "failed"}).json()["data"])

    page.goto("/")
    assert "Ledger" in page.locator(".attention").inner_text()
    visit(page, "Deliveries")
    page.get_by_label("Status").select_option("failed")
    page.get_by_role("button", name="Apply").click()
    page.locator("tbody tr", has_text="mend-1@example.com").get_by_role("link").first.click()
    assert "The receiver failed" in page.locator(".explained").inner_text()
    assert SCRIPT in page.locator("main").inner_text()
    delivery = page.url
    page.get_by_role("link", name="Ledger").click()
    page.get_by_role("link", name="Change").first.click()
    page.get_by_label("URL").fill(subscriber.url_for("127.0.0.1", "/mended"))
    page.get_by_role("button", name="Save").click()
    page.get_by_role("link", name="Send again what failed or is missing").click()
    page.get_by_role("button", name="Count them").click()
    page.get_by_role("button", name="Send it again").click()
    page.goto(delivery)
    reload_until(page, "delivered", ".standing .badge")
    assert [request.target for request in subscriber.requests].count("/mended") == 1
    page.goto("/")
    assert "Ledger" not in "".join(page.locator(".attention").all_inner_texts())


def test_an_unmapped_type_is_mended_in_the_playground_and_read_again(
    page: Any, http: httpx.Client, mappings: Path
) -> None:
    add_source(http, "drift")
    post(http, "drift", "juggler", native_type="email.juggled")
    visit(page, "Receipts")
    page.get_by_label("Status").select_option("quarantined")
    page.get_by_role("button", name="Apply").click()
    page.locator("tbody tr", has_text="drift").get_by_role("link").first.click()
    assert "email.juggled" in page.locator("main").inner_text()
    receipt = page.url
    page.get_by_role("link", name="in the playground", exact=True).click()
    page.locator("#result").get_by_text("0 events, 1 quarantined").wait_for()
    assert "email.juggled" in page.locator("#result").inner_text()
    mended = (mapping_text("resend") or "").replace("\ntypes:\n", "\ntypes:\n  email.juggled: email.sent\n")
    page.locator("[name=mapping]").fill(mended)
    page.locator("#result").get_by_text("1 event, 0 quarantined").wait_for()
    page.get_by_role("button", name="Compare on the last 200 receipts").click()
    page.locator("#result").get_by_text("1 mended").wait_for()

    (mappings / "resend.yaml").write_text(mended)
    until(lambda: read_again(page, receipt))
    page.get_by_role("link", name=re.compile("^evt_")).click()
    assert "email.sent" in page.locator("h1").inner_text()
    assert "juggler@example.com" in page.locator("main").inner_text()


def read_again(page: Any, receipt: str) -> bool:
    page.goto(receipt)
    page.get_by_role("button", name="Read it again").click()
    page.wait_for_load_state()
    return page.get_by_text("Events that came of it").is_visible()


def test_a_whole_walk_by_keyboard_alone(chromium: Any, site: Process, http: httpx.Client, subscriber: Sink) -> None:
    add_source(http, "keys")
    http.post("/api/webhooks/manage", json={"url": subscriber.url, "events": "delivered"})
    for number in range(3):
        post(http, "keys", f"keys{number}")
    with chromium.new_context(base_url=site.url, permissions=["clipboard-read", "clipboard-write"]) as context:
        page = context.new_page()
        complaints = watched(page, site)
        log_in_by_keyboard(page)
        walk_the_list(page)
        tab_to(page, ".side a[href='/endpoints']")
        page.keyboard.press("Enter")
        page.wait_for_url("**/endpoints")
        add_endpoint_by_keyboard(page, subscriber.url_for("127.0.0.1", "/typed"))
        tab_to(page, ".logout button")
        page.keyboard.press("Enter")
        page.wait_for_url("**/login*")
        assert complaints == []


def log_in_by_keyboard(page: Any) -> None:
    page.goto("/events")
    tab_to(page, "[name=key]")
    page.keyboard.type(KEY)
    page.keyboard.press("Enter")
    page.wait_for_url("**/events")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")


def walk_the_list(page: Any) -> None:
    """Through the list of events with each of its keys, to one of them, and back to the list as it was."""
    press = page.keyboard.press
    listed = re.compile(r"/events\?q=keys")
    press("/")
    page.keyboard.type("keys")
    press("Enter")
    page.wait_for_url(listed)
    for key in "jjjk":
        press(key)
    assert "keys1@example.com" in page.locator("tr.here").inner_text()
    press("c")
    event = json.loads(copied(page, "{"))["id"]
    press("y")
    assert copied(page, "http").endswith(event)
    press("?")
    assert page.get_by_role("dialog", name="Keys").is_visible()
    press("Escape")
    assert page.get_by_role("dialog", name="Keys").is_hidden()
    press("x")
    assert page.locator("tbody input:checked").get_attribute("value") == event
    press("r")
    page.get_by_role("status").filter(has_text="on the way").wait_for()
    press("j")
    here = page.locator("tr.here").get_attribute("id")
    press("Enter")
    page.wait_for_url(f"**/events/{here}")
    tab_to(page, "details.drop summary")
    press("Enter")
    assert page.get_by_role("link", name="Event as JSON").is_visible()
    press("Escape")
    page.wait_for_url(listed)


def add_endpoint_by_keyboard(page: Any, url: str) -> None:
    tab_to(page, "main a[href='/endpoints/new']")
    page.keyboard.press("Enter")
    page.wait_for_url("**/endpoints/new")
    tab_to(page, "[name=url]")
    page.keyboard.type(url)
    tab_to(page, "[name=description]")
    page.keyboard.type("Typed")
    page.keyboard.press("Enter")
    page.get_by_text("whsec_").first.wait_for()


def tab_to(page: Any, selector: str) -> None:
    """Goes on with Tab until what is wanted has the focus."""
    for _ in range(TABS_MAX):
        page.keyboard.press("Tab")
        if page.evaluate("wanted => document.activeElement.matches(wanted)", selector):
            return
    raise AssertionError(f"Tab does not come to {selector}")


@pytest.fixture(scope="module")
def paths(http: httpx.Client, subscriber: Sink) -> list[str]:
    """Every page of the navigation, and those behind it, each with something to show."""
    add_source(http, "wide")
    broken = {"url": subscriber.url_for("127.0.0.1", f"/broken?{'long-' * 40}"), "events": "*", "active": True}
    endpoint = http.post("/api/webhooks/manage", json=broken | {"description": "Wide " * 12}).json()["id"]
    alert = http.post("/api/alerts", json={"kind": "failure_rate", "name": "Wide " * 12})
    assert alert.status_code == 201, alert.text
    post(http, "wide", "a" * 60, native_type="email.bounced", subject="Wide " * 60)
    post(http, "wide", "unmapped", native_type="email.unheard-of")
    delivery = until(lambda: http.get("/api/deliveries", params={"endpoint_id": endpoint}).json()["data"])[0]
    until(lambda: http.get(f"/api/deliveries/{delivery['id']}").json()["attempts"])
    receipts = http.get("/api/receipts").json()["data"]
    quarantined = next(receipt["id"] for receipt in receipts if receipt["status"] == "quarantined")
    return [
        *(entry.path for entry in PAGES),
        f"/events/{delivery['event_id']}",
        "/events?q=nothing-of-this-kind",
        f"/messages/one?id={'a' * 60}",
        f"/recipients?address={'a' * 60}@example.com",
        f"/deliveries/{delivery['id']}",
        f"/endpoints/{endpoint}",
        "/endpoints/new",
        *(f"/endpoints/{endpoint}/{rest}" for rest in ("change", "recover", "rotate", "delete")),
        "/sources/new",
        "/sources/new?provider=resend",
        "/sources/wide",
        "/sources/wide/waiting",
        f"/receipts/{receipts[0]['id']}",
        f"/receipts/{quarantined}",
        "/alerts/new",
        "/alerts/new?kind=failure_rate",
        f"/alerts/{alert.json()['id']}",
        f"/playground?receipt={quarantined}",
        "/docs/events",
    ]


def test_every_page_fits_a_telephone_and_bars_nobody(page: Any, paths: list[str]) -> None:
    found = list[str]()
    for path in paths:
        page.set_viewport_size(NARROW)
        visit_path(page, path)
        for theme in THEMES:
            page.emulate_media(color_scheme=theme)
            found += [f"{path}: {theme}, scrolls sideways"] * scrolls_sideways(page)
        page.set_viewport_size(WIDE)
        found += [f"{path}: {barrier}" for barrier in barriers(page)]
    assert not found, "\n".join(found)


def visit_path(page: Any, path: str) -> None:
    answer = page.goto(path)
    assert answer.status == 200, path


@pytest.mark.parametrize("text", [HOSTILE, LONG], ids=["markup", "long"])
def test_what_strangers_send_stays_text(page: Any, http: httpx.Client, subscriber: Sink, text: str) -> None:
    name = "hostile" if text == HOSTILE else "huge"
    add_source(http, name)
    broken = {"url": subscriber.url_for("127.0.0.1", "/broken"), "events": "complaint", "description": text[:200]}
    endpoint = http.post("/api/webhooks/manage", json=broken).json()["id"]
    email_id = text[:200]
    address = f'"{text[:40]}"@example.com'
    more = {"email_id": email_id, "subject": text, "to": [address], "tags": {text[:100]: text}, text[:100]: text}
    post(http, name, email_id, native_type="email.complained", **more)
    post(http, name, email_id, native_type=text[:500], **more)
    delivery = until(lambda: http.get("/api/deliveries", params={"endpoint_id": endpoint}).json()["data"])[0]
    until(lambda: http.get(f"/api/deliveries/{delivery['id']}").json()["attempts"])
    event = delivery["event_id"]
    receipts = http.get("/api/receipts", params={"source": name}).json()["data"]
    pages = [
        "/",
        "/events",
        f"/events?q={quote(text[:60])}",
        f"/events/{event}",
        *(f"/receipts/{receipt['id']}" for receipt in receipts),
        f"/playground?receipt={receipts[0]['id']}",
        "/deliveries",
        f"/deliveries/{delivery['id']}",
        f"/endpoints/{endpoint}",
        f"/sources/{name}",
        f"/messages/one?id={quote(email_id)}",
        f"/messages?q={quote(text[:60])}",
        f"/recipients?address={quote(address)}",
    ]
    seen = 0
    for path in pages:
        assert page.goto(path).ok, path
        assert page.evaluate("window.owned") is None, path
        assert page.locator("main script, main img, main svg[onload]").count() == 0, path
        said = page.inner_text("body")
        seen += text[:10] in said
        assert "\u202e" not in said, path
        assert not scrolls_sideways(page), path
        assert len(page.content()) < 400_000, path
    assert seen > len(pages) / 2
    raw = [f"/events/{event}/as/native", f"/receipts/{receipts[0]['id']}/raw"]
    for path in [*raw, f"/deliveries/{delivery['id']}/attempts/1/response"]:
        head = page.request.get(path).headers
        assert head["content-type"].startswith("text/plain"), path
        assert head["x-content-type-options"] == "nosniff", path


def visit(page: Any, label: str) -> None:
    if page.url == "about:blank":
        page.goto("/")
    page.locator(".side").get_by_role("link", name=label, exact=True).click()
    page.wait_for_load_state()


def reload_until(page: Any, word: str, selector: str) -> None:
    """Waits for the state; the page is loaded again meanwhile, as people do."""

    def holds() -> bool:
        page.reload()
        return word in page.locator(selector).first.inner_text()

    until(holds)


def add_source(http: httpx.Client, name: str) -> None:
    added = http.post("/api/sources", json={"name": name, "provider": "resend", "verification": "none"})
    assert added.status_code == 201, added.text


def post(http: httpx.Client, source: str, name: str, *, native_type: str = "email.delivered", **more: Any) -> None:
    """One request of the provider; its recipient is the name at example.com."""
    data = {"email_id": name, "to": [f"{name}@example.com"], "created_at": "2026-03-03T08:15:00Z", **more}
    body = {"type": native_type, "created_at": "2026-03-03T08:15:00Z", "data": data}
    sent = http.post(f"/api/webhooks/{source}", json=body)
    assert sent.status_code == 200, sent.text
