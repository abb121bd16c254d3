from pathlib import Path

import pytest

from adapters.catalog import mapping_text
from tests.web.gateways import Api, add_source, post_native
from tests.web.pages.visitors import Visitor
from tests.web.test_auth import make_key

pytestmark = pytest.mark.anyio

MAPPING = """provider: acme
verify: none
native_type: event
fields: {recipient: to, timestamp: at}
types: {sent: email.sent}
"""
BODY = '{"event": "sent", "to": "ann@example.com", "at": 1767225600}'
HOSTILE = "<script>alert(1)</script>\u202e"


async def play(visitor: Visitor, **fields: str) -> str:
    answer = await visitor.fill("/playground", "/playground", **{"mapping": MAPPING, "body": BODY, **fields})
    assert answer.status_code == 200, answer.text
    return answer.text


async def test_a_mapping_is_tried_on_a_pasted_request(small_api: Api) -> None:
    visitor = await Visitor(small_api).log_in()
    shown = await play(visitor, mapping=MAPPING.replace("\n", "\r\n"))
    assert "1 event, 0 quarantined" in shown
    assert "&#34;recipient&#34;: &#34;ann@example.com&#34;" in shown
    assert (await small_api.get("/api/events")).json()["data"] == []


async def test_a_mistake_is_shown_with_its_line_and_key(small_api: Api) -> None:
    shown = await play(await Visitor(small_api).log_in(), mapping=MAPPING.replace("email.sent", "email.sen"))
    assert "mapping, line 5" in shown
    assert '<code><bdi dir="auto">types.sent</bdi></code>' in shown
    assert "→    5  types:" in shown


async def test_what_cannot_be_read_says_why_and_hostile_texts_stay_texts(small_api: Api) -> None:
    body = BODY.replace("sent", HOSTILE)
    shown = await play(await Visitor(small_api).log_in(), body=body)
    assert "Item 0: " in shown
    assert "does not name the native type" in shown
    assert "<script>alert" not in shown


async def test_a_mapping_that_is_too_long_is_refused(small_api: Api) -> None:
    shown = await play(await Visitor(small_api).log_in(), mapping=f"{MAPPING}# {'x' * 210_000}")
    assert "The mapping cannot be used" in shown


async def test_every_shipped_mapping_is_a_start(small_api: Api) -> None:
    visitor = await Visitor(small_api).log_in()
    shown = (await visitor.get("/playground?provider=postmark")).text
    assert "provider: postmark" in shown
    assert (await visitor.get("/playground?provider=nobody")).status_code == 404
    assert (await visitor.get("/playground?receipt=rcp_nobody")).status_code == 404


async def test_a_receipt_is_played_with_the_mapping_of_its_provider(api: Api) -> None:
    await add_source(api)
    await post_native(api)
    receipt = (await api.get("/api/receipts")).json()["data"][0]["id"]
    visitor = await Visitor(api).log_in()
    shown = (await visitor.get(f"/playground?receipt={receipt}")).text
    assert "provider: resend" in shown
    assert "svix-id" in shown
    played = await play(visitor, mapping=mapping_text("resend") or "", body="", receipt=receipt, provider="resend")
    assert "1 event, 0 quarantined" in played


async def test_what_would_change_in_the_last_receipts_is_counted_and_shown(api: Api) -> None:
    await add_source(api)
    await post_native(api)
    await post_native(api, "email.delivered")
    visitor = await Visitor(api).log_in()
    text = mapping_text("resend") or ""
    same = await play(visitor, mapping=text, provider="resend", action="compare")
    assert "2 receipts read: 2 the same" in same
    other = text.replace("  email.delivered: email.delivered\n", "  email.delivered: email.sent\n")
    changed = await play(visitor, mapping=other, provider="resend", action="compare")
    assert "2 receipts read: 1 the same, 1 changed, 0 mended, 0 broken" in changed
    assert "events.0.type" in changed
    less = text.replace("  email.delivered: email.delivered\n", "").replace(
        "    email.delivered: {type", "    email.sent/b: {type"
    )
    broken = await play(visitor, mapping=less, provider="resend", action="compare")
    assert "1 would be read no more" in broken


async def test_without_a_provider_there_is_nothing_to_compare(small_api: Api) -> None:
    visitor = await Visitor(small_api).log_in()
    assert "Choose the provider" in await play(visitor, action="compare")
    assert "0 receipts read" in await play(visitor, action="compare", provider="resend")


async def test_who_may_only_read_tries_nothing(small_api: Api) -> None:
    visitor = await Visitor(small_api).log_in((await make_key(small_api, "read"))["key"])
    assert "needs the role write" in (await visitor.get("/playground")).text
    assert (await visitor.fill("/playground", mapping=MAPPING, body=BODY)).status_code == 403


def test_the_users_own_mapping_comes_before_the_shipped_one(tmp_path: Path) -> None:
    (tmp_path / "resend.yaml").write_text("provider: resend\n")
    assert mapping_text("resend", tmp_path) == "provider: resend\n"
    assert (mapping_text("postmark", tmp_path) or "").startswith("#")
    assert mapping_text("../app", tmp_path) is None
