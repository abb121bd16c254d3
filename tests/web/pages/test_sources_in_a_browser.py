"""Adding a source and trying a mapping, as people do. Playwright's own loop is running: no async tests here."""

from typing import Any

from app.web.sessions import COOKIE
from tests.browser import NARROW, chromium, new_session, page, scrolls_sideways, site
from tests.processes import Process
from tests.web.gateways import RESEND_SECRET

__all__ = ["chromium", "page", "site"]


def test_the_url_follows_what_is_typed_and_the_first_event_shows_by_itself(page: Any, site: Process) -> None:
    page.goto("/sources/new?q=postmark")
    page.get_by_role("link", name="Postmark").click()
    page.get_by_label("Name, part of the URL").fill("shop")
    page.get_by_label("User and password").fill("me:a long one")
    url = f"{site.url}/api/webhooks/shop".replace("://", "://me:a%20long%20one@")
    assert page.get_by_label("The URL", exact=True).inner_text() == url
    page.get_by_role("button", name="Add the source").click()
    page.wait_for_url("**/sources/shop/waiting")
    assert page.get_by_text("Nothing has come yet").is_visible()
    other = page.context.new_page()
    other.goto("/sources/shop/waiting")
    other.get_by_role("button", name="Send it").click()
    other.get_by_text("and answered 200").wait_for()
    page.bring_to_front()
    page.get_by_text("The first event is here").wait_for()
    page.set_viewport_size(NARROW)
    assert not scrolls_sideways(page)
    page.goto("/sources/shop")
    assert not scrolls_sideways(page)


def test_a_mapping_is_tried_while_it_is_written(page: Any) -> None:
    page.goto("/playground")
    page.get_by_text('"type": "email.sent"').wait_for()
    mapping = page.locator("[name=mapping]")
    mapping.fill(mapping.input_value().replace("email.sent", "email.open"))
    page.get_by_text('"type": "email.open"').wait_for()
    mapping.fill(mapping.input_value().replace("email.open", "email.opne"))
    page.get_by_text("mapping, line 8").wait_for()
    page.set_viewport_size(NARROW)
    assert not scrolls_sideways(page)


def test_a_source_is_added_without_javascript(chromium: Any, site: Process) -> None:
    with chromium.new_context(base_url=site.url, java_script_enabled=False) as context:
        context.add_cookies([{"name": COOKIE, "value": new_session(site), "url": site.url, "sameSite": "Lax"}])
        page = context.new_page()
        page.goto("/sources/new?provider=resend")
        page.get_by_label("Name, part of the URL").fill("plain")
        page.get_by_role("button", name="Show its URL").click()
        assert page.get_by_label("The URL", exact=True).inner_text() == f"{site.url}/api/webhooks/plain"
        page.get_by_label("Signing secret").fill(RESEND_SECRET)
        page.get_by_role("button", name="Add the source").click()
        page.get_by_role("button", name="Send it").click()
        assert page.get_by_text("The first event is here").is_visible()
