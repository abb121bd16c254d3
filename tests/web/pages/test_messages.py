import pytest

from tests.web.gateways import Api, add_endpoint
from tests.web.pages.visitors import Visitor
from tests.web.test_timelines import add_generic, post

pytestmark = pytest.mark.anyio

HOSTILE = "<script>alert(1)</script>\u202e@example.com"


async def test_a_message_is_found_by_its_id_and_shows_how_it_stands(api: Api) -> None:
    await add_generic(api)
    await add_endpoint(api)
    await post(api, "email.open", 4)
    await post(api, "email.delivered", 3)
    visitor = await Visitor(api).log_in()
    found = await visitor.get("/messages", params={"q": " m1 "})
    assert (found.status_code, found.headers["location"]) == (303, "/messages/one?id=m1")
    shown = (await visitor.get(found.headers["location"])).text
    assert shown.index("email.delivered") < shown.index("email.open")
    assert "arrived late" in shown
    assert "2026-03-03 08:04:00" in shown
    assert 'href="/recipients?address=Ann%40Example.com"' in shown


async def test_an_address_says_in_words_why_to_write_to_it_no_more(api: Api) -> None:
    await add_generic(api)
    visitor = await Visitor(api).log_in()
    await post(api, "email.delivered", 1)
    assert "You may write to it" in (await visitor.get("/recipients?address=ann@example.com")).text
    await post(api, "email.unsubscribe", 2)
    found = await visitor.get("/messages", params={"q": "ann@example.com"})
    shown = (await visitor.get(found.headers["location"])).text
    assert "Write to it no more" in shown
    assert "The recipient unsubscribed from everything." in shown


async def test_what_nobody_knows_is_said_to_be_unknown(small_api: Api) -> None:
    visitor = await Visitor(small_api).log_in()
    assert "No message has this id" in (await visitor.get("/messages?q=m99")).text
    assert (await visitor.get("/messages/one?id=m99")).status_code == 404
    assert "Nothing has happened to this address" in (await visitor.get("/recipients?address=no@example.com")).text
    assert (await visitor.get("/recipients")).headers["location"] == "/messages"


async def test_hostile_texts_stay_texts(api: Api) -> None:
    await add_generic(api)
    await post(api, "email.delivered", 1, recipient=HOSTILE, email_id=HOSTILE)
    visitor = await Visitor(api).log_in()
    for path in ("/messages/one?id=", "/recipients?address="):
        shown = (await visitor.get(f"{path}{HOSTILE}")).text
        assert "<script>alert" not in shown
        assert "\u202e" not in shown
        assert "U+202E" in shown
