import re
from datetime import timedelta
from pathlib import Path

import pytest

from app.store.accounts import revoke_key
from app.store.sessions import LINK_FOR, SESSION_FOR, create_link
from app.web.sessions import COOKIE
from app.web.wrong_keys import WRONG_MAX, WrongKeys
from tests.conftest import FrozenClock
from tests.web.gateways import ADMIN_KEY, Api, gateway_of, serving
from tests.web.pages.visitors import HOST, HTML, Visitor
from tests.web.test_auth import make_key

pytestmark = pytest.mark.anyio


async def test_a_page_sends_a_stranger_to_log_in_and_back(small_api: Api) -> None:
    visitor = Visitor(small_api)
    sent = await visitor.get("/events?type=bounce&q=a%26b")
    assert sent.status_code == 303
    assert sent.headers["location"] == "/login?next=%2Fevents%3Ftype%3Dbounce%26q%3Da%2526b"
    form = await visitor.get(sent.headers["location"])
    assert 'name="next" value="/events?type=bounce&amp;q=a%26b"' in form.text
    done = await visitor.post("/login", data={"key": " mw_live_the-admin-key-of-the-tests ", "next": "/events?q=a%26b"})
    assert (done.status_code, done.headers["location"]) == (303, "/events?q=a%26b")
    assert (await visitor.get("/events")).status_code == 200


@pytest.mark.parametrize("next_page", ["//evil.example", "/\\evil.example", "https://evil.example", "/\t/evil", "x"])
async def test_logging_in_never_leads_to_another_site(small_api: Api, next_page: str) -> None:
    visitor = Visitor(small_api)
    shown = await visitor.get("/login", params={"next": next_page})
    assert 'name="next" value="/"' in shown.text
    done = await visitor.post("/login", data={"key": "mw_live_the-admin-key-of-the-tests", "next": next_page})
    assert done.headers["location"] == "/"


@pytest.mark.parametrize("key", ["", "wrong", "x" * 600, "mw_live_é", "'; --"])
async def test_a_wrong_key_opens_nothing(small_api: Api, key: str) -> None:
    visitor = Visitor(small_api)
    refused = await visitor.post("/login", data={"key": key})
    assert refused.status_code in (401, 422)
    assert refused.headers["content-type"] == HTML
    assert visitor.session is None


async def test_who_tries_one_wrong_key_after_the_other_has_to_wait(small_api: Api) -> None:
    visitor = Visitor(small_api)
    for number in range(WRONG_MAX):
        assert (await visitor.post("/login", data={"key": f"wrong {number}"})).status_code == 401
    refused = await visitor.post("/login", data={"key": ADMIN_KEY})
    assert (refused.status_code, refused.headers["content-type"]) == (429, HTML)
    assert 0 < int(refused.headers["retry-after"]) <= 60
    assert "Too many wrong keys" in refused.text
    assert visitor.session is None
    assert (await small_api.get("/api/events")).status_code == 200


def test_wrong_keys_are_counted_by_the_address_and_forgotten() -> None:
    clock = FrozenClock()
    wrong_keys = WrongKeys(clock)
    for number in range(WRONG_MAX):
        wrong_keys.count("192.0.2.1")
        wrong_keys.count(f"2001:db8::{number}")
    assert wrong_keys.wait_s("192.0.2.1") == wrong_keys.wait_s("2001:db8::ffff") == 60
    assert wrong_keys.wait_s("192.0.2.2") == wrong_keys.wait_s("2001:db8:0:1::1") == wrong_keys.wait_s("") == 0
    clock.advance(61)
    assert wrong_keys.wait_s("192.0.2.1") == 0
    wrong_keys.count("192.0.2.1")
    assert wrong_keys.wait_s("192.0.2.1") == 0


async def test_the_session_cookie_is_out_of_reach_of_scripts_and_other_sites(small_api: Api) -> None:
    answer = await Visitor(small_api).post("/login", data={"key": "mw_live_the-admin-key-of-the-tests"})
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert "Path=/;" in cookie
    assert "Secure" not in cookie


async def test_the_session_cookie_stays_on_https_where_users_come_by_it(sqlite_url: str, tmp_path: Path) -> None:
    async with serving(sqlite_url, tmp_path, public_url="https://mail.example") as api:
        answer = await Visitor(api).post("/login", data={"key": "mw_live_the-admin-key-of-the-tests"})
        assert "Secure" in answer.headers["set-cookie"]


async def test_the_link_logs_in_once(api: Api) -> None:
    gateway = gateway_of(api)
    link = await create_link(gateway.engine, gateway.clock.now())
    first, second = Visitor(api), Visitor(api)
    opened = await first.get(f"/?login={link}")
    assert (opened.status_code, opened.headers["location"]) == (303, "/")
    assert (await first.get("/events")).status_code == 200
    refused = await second.get(f"/?login={link}")
    assert refused.headers["location"] == "/login?link=over"
    assert second.session is None
    assert "mailweir login" in (await second.get("/login?link=over")).text


@pytest.mark.parametrize("link", ["", "wrong", "x" * 5_000, "%00", "%F0%9F%98%80"])
async def test_a_wrong_link_opens_nothing(small_api: Api, link: str) -> None:
    visitor = Visitor(small_api)
    assert (await visitor.get(f"/?login={link}")).headers["location"] == "/login?link=over"
    assert visitor.session is None


async def test_a_link_is_over_after_an_hour(api: Api, clock: FrozenClock) -> None:
    gateway = gateway_of(api)
    link = await create_link(gateway.engine, gateway.clock.now() - LINK_FOR)
    assert (await Visitor(api).get(f"/?login={link}")).headers["location"] == "/login?link=over"


async def test_a_session_ends_by_itself(small_api: Api) -> None:
    visitor = await Visitor(small_api).log_in()
    assert (await visitor.get("/events")).status_code == 200
    clock = FrozenClock(gateway_of(small_api).clock.ms())
    clock.advance(SESSION_FOR.total_seconds() + 1)
    gateway_of(small_api).clock = small_api.app.state.key_ring._clock = clock
    assert (await visitor.get("/events")).status_code == 303


async def test_logging_out_ends_the_session_wherever_its_cookie_is(api: Api) -> None:
    visitor = await Visitor(api).log_in()
    thief = Visitor(api)
    thief.cookies.set(COOKIE, visitor.session or "")
    assert (await thief.get("/events")).status_code == 200
    assert (await visitor.fill("/logout")).headers["location"] == "/login"
    assert visitor.session is None
    assert (await thief.get("/events")).status_code == 303


async def test_revoking_the_key_ends_its_sessions(api: Api) -> None:
    key = await make_key(api, "write")
    visitor = await Visitor(api).log_in(key["key"])
    gateway = gateway_of(api)
    await revoke_key(gateway.engine, 1, key["id"], gateway.clock.now() + timedelta(0))
    api.app.state.key_ring.forget()
    assert (await visitor.get("/events")).status_code == 303


async def test_a_form_needs_the_proof_of_its_own_session(small_api: Api) -> None:
    visitor, other = await Visitor(small_api).log_in(), await Visitor(small_api).log_in()
    of_the_other = await other.csrf()
    for given in ({"theme": "dark"}, {"csrf": ""}, {"csrf": "wrong"}, {"csrf": "é"}, {"csrf": of_the_other}):
        refused = await visitor.post("/logout", data=given)
        assert refused.status_code == 403, given
        assert refused.headers["content-type"] == HTML
    assert (await visitor.get("/events")).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": f"{HOST}.evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
async def test_a_form_of_another_site_is_refused(small_api: Api, headers: dict[str, str]) -> None:
    visitor = await Visitor(small_api).log_in()
    data = {"csrf": await visitor.csrf()}
    assert (await visitor.post("/logout", data=data, headers=headers)).status_code == 403
    login = await Visitor(small_api).post("/login", data={"key": "any"}, headers=headers)
    assert login.status_code == 403


async def test_a_page_takes_forms_and_nothing_else(small_api: Api) -> None:
    visitor = await Visitor(small_api).log_in()
    refused = await visitor.post("/logout", json={"csrf": await visitor.csrf()})
    assert refused.status_code == 415


# The session at the API.


async def test_the_api_takes_the_session_to_read(small_api: Api) -> None:
    visitor = await Visitor(small_api).log_in()
    assert (await visitor.get("/api/events")).json() == {"data": [], "next_cursor": None}


async def test_the_api_takes_the_session_to_change_only_with_its_proof(small_api: Api) -> None:
    visitor = await Visitor(small_api).log_in()
    made = {"name": "by the page", "role": "read"}
    assert (await visitor.post("/api/keys", json=made)).status_code == 403
    proof = {"X-CSRF-Token": await visitor.csrf()}
    assert (await visitor.post("/api/keys", json=made, headers={"X-CSRF-Token": "wrong"})).status_code == 403
    foreign = {**proof, "Origin": "https://evil.example"}
    assert (await visitor.post("/api/keys", json=made, headers=foreign)).status_code == 403
    assert (await visitor.get("/api/keys", headers={"Origin": "https://evil.example"})).status_code == 403
    assert (await visitor.post("/api/keys", json=made, headers=proof)).status_code == 201


async def test_a_session_may_what_its_key_may(small_api: Api) -> None:
    visitor = await Visitor(small_api).log_in((await make_key(small_api, "read"))["key"])
    proof = {"X-CSRF-Token": await visitor.csrf()}
    refused = await visitor.post("/api/webhooks/manage", json={"url": HOST, "events": "*"}, headers=proof)
    assert refused.status_code == 403
    assert "role read" in refused.json()["detail"]


async def test_a_session_that_is_over_is_no_key(small_api: Api) -> None:
    visitor = Visitor(small_api)
    visitor.cookies.set(COOKIE, "wrong")
    refused = await visitor.get("/api/events")
    assert refused.status_code == 401
    assert refused.headers["content-type"] == "application/problem+json"


# What every page is sent with.


@pytest.mark.parametrize("path", ["/login", "/events", "/", "/nothing-here", "/events?type=nonsense", "/logout"])
async def test_every_answer_to_a_browser_is_closed_to_what_is_not_ours(small_api: Api, path: str) -> None:
    visitor = await Visitor(small_api).log_in()
    for answer in (await visitor.get(path), await Visitor(small_api).get(path)):
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'self';")
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "same-origin"
        assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("path", ["/login", "/events", "/nothing-here"])
async def test_a_page_has_no_script_or_style_of_its_own(small_api: Api, path: str) -> None:
    text = (await (await Visitor(small_api).log_in()).get(path)).text
    assert re.findall(r"<script(?![^>]*\ssrc=)[^>]*>|<style|\sstyle=|\son\w+=", text) == []
    assert re.findall(r'(?:src|href|action)="(?!/)[^"#]', text) == []


async def test_a_problem_is_a_page_for_a_browser_and_json_for_a_program(small_api: Api) -> None:
    visitor = await Visitor(small_api).log_in()
    page = await visitor.get("/nothing-here")
    assert (page.status_code, page.headers["content-type"]) == (404, HTML)
    wrong = await visitor.get("/events?type=nonsense")
    assert (wrong.status_code, wrong.headers["content-type"]) == (422, HTML)
    for answer in (await small_api.get("/nothing-here"), await visitor.get("/api/nothing-here")):
        assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
    assert (await visitor.get("/events", headers={"Accept": "*/*"})).headers["content-type"] == HTML


async def test_static_files_are_kept_for_ever_under_a_url_that_changes_with_them(small_api: Api) -> None:
    visitor = Visitor(small_api)
    urls = set(re.findall(r'(?:href|src)="(/static/[^"]+)"', (await visitor.get("/login")).text))
    assert len(urls) == 3
    for url in urls:
        answer = await visitor.get(url)
        assert answer.status_code == 200
        assert answer.headers["content-type"].count("charset") <= 1
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert answer.headers["x-content-type-options"] == "nosniff"
        older = await visitor.get(re.sub(r"/static/\w+/", "/static/older/", url))
        assert (older.content, older.headers["cache-control"]) == (answer.content, "no-cache")
    for path in ("/static/x/nothing.css", "/static/x/../../asgi.py", "/static/x/%2e%2e/%2e%2e/asgi.py"):
        assert (await visitor.get(path)).status_code == 404


async def test_the_theme_is_chosen_by_a_form_and_stays(small_api: Api) -> None:
    visitor = await Visitor(small_api).log_in()
    assert 'data-theme="auto"' in (await visitor.get("/events")).text
    assert (await visitor.fill("/theme", theme="dark", next="/events")).headers["location"] == "/events"
    assert 'data-theme="dark"' in (await visitor.get("/events")).text
    visitor.cookies.set("mailweir_theme", '"><script>')
    assert 'data-theme="auto"' in (await visitor.get("/events")).text
