import pytest

from tests.web.gateways import RESEND_SECRET, Api, add_source, gateway_of, post_native
from tests.web.pages.visitors import Visitor
from tests.web.test_auth import make_key

pytestmark = pytest.mark.anyio

HOSTILE = "<script>alert(1)</script>\u202e"


async def post_unproven(api: Api, native_type: str, **fields: object) -> None:
    """A request to a source that asks for no proof."""
    await api.patch("/api/sources/prod", json={"verification": "none"})
    body = {"type": native_type, "created_at": "2026-03-03T08:15:00Z", "data": {"to": ["a@example.com"]}, **fields}
    assert (await api.post("/api/webhooks/prod", json=body)).status_code == 200


async def newest_receipt(api: Api) -> str:
    return (await api.get("/api/receipts")).json()["data"][0]["id"]


# Sources.


async def test_without_a_source_the_list_leads_to_the_first_one(small_api: Api) -> None:
    shown = (await (await Visitor(small_api).log_in()).get("/sources")).text
    assert "No provider posts here yet" in shown
    assert 'href="/sources/new"' in shown


async def test_the_list_counts_what_came_and_what_was_refused(api: Api) -> None:
    await add_source(api)
    await post_native(api)
    await post_native(api, headers={"svix-signature": "v1,AAAA"})
    shown = (await (await Visitor(api).log_in()).get("/sources")).text
    assert 'href="/sources/prod"' in shown
    assert 'href="/receipts?source=prod&amp;status=rejected"' in shown


async def test_a_source_tells_how_it_stands_and_never_its_secrets(api: Api) -> None:
    await add_source(api)
    visitor = await Visitor(api).log_in()
    assert "Nothing has come in the last 24 hours" in (await visitor.get("/sources/prod")).text
    await post_native(api, headers={"svix-signature": "v1,AAAA"})
    assert "the proof is wrong" in (await visitor.get("/sources/prod")).text
    await post_native(api)
    shown = (await visitor.get("/sources/prod")).text
    assert "It works: what comes is authentic and is read." in shown
    assert "<code>signing_secret</code> set" in shown
    assert RESEND_SECRET not in shown


async def test_what_nobody_names_is_shown_with_a_sample(api: Api) -> None:
    await add_source(api)
    await post_unproven(api, f"email.{HOSTILE}", quirk=HOSTILE)
    shown = (await (await Visitor(api).log_in()).get("/sources/prod")).text
    assert "<script>alert" not in shown
    assert "quirk" in shown
    assert f"/playground?receipt={await newest_receipt(api)}" in shown


async def test_a_change_keeps_the_secrets_that_were_left_empty(api: Api) -> None:
    await add_source(api)
    visitor = await Visitor(api).log_in()
    changed = await visitor.fill("/sources/prod/change", **{"secret.signing_secret": "", "redact": "subject, ip"})
    assert changed.headers["location"] == "/sources/prod"
    source = (await api.get("/api/sources/prod")).json()
    assert (source["redact"], source["secrets"]) == (["subject", "ip"], {"signing_secret": "set"})
    added = {"secret.basic_auth": "me:long-password", "redact": ""}
    await visitor.fill("/sources/prod/change", **added)
    assert (await api.get("/api/sources/prod")).json()["secrets"] == {"signing_secret": "set", "basic_auth": "set"}
    await visitor.fill("/sources/prod/change", **{"remove.basic_auth": "on"})
    assert (await api.get("/api/sources/prod")).json()["secrets"] == {"signing_secret": "set"}


async def test_a_change_that_cannot_be_is_shown_beside_its_field(small_api: Api) -> None:
    await add_source(small_api)
    visitor = await Visitor(small_api).log_in()
    for fields in ({"remove.signing_secret": "on"}, {"secret.signing_secret": "whsec_%"}, {"redact": "everything"}):
        refused = await visitor.fill("/sources/prod/change", **fields)
        assert refused.status_code == 422
        assert 'aria-invalid="true"' in refused.text


async def test_options_are_lists_of_lines(small_api: Api) -> None:
    arn = "arn:aws:sns:eu-west-1:123456789012:a"
    source = {"name": "ses", "provider": "amazon_ses", "options": {"topic_arns": [arn]}}
    assert (await small_api.post("/api/sources", json=source)).status_code == 201
    visitor = await Visitor(small_api).log_in()
    assert arn in (await visitor.get("/sources/ses")).text
    await visitor.fill("/sources/ses/change", **{"option.topic_arns": f"{arn}\r\n{arn}b\r\n"})
    assert (await small_api.get("/api/sources/ses")).json()["options"] == {"topic_arns": [arn, f"{arn}b"]}


async def test_deleting_is_asked_about_first(api: Api) -> None:
    await add_source(api)
    visitor = await Visitor(api).log_in()
    asked = await visitor.get("/sources/prod/delete")
    assert "Delete the source prod?" in asked.text
    assert (await api.get("/api/sources/prod")).status_code == 200
    assert (await visitor.fill("/sources/prod/delete")).headers["location"] == "/sources"
    assert (await api.get("/api/sources/prod")).status_code == 404
    assert (await visitor.get("/sources/prod")).status_code == 404


async def test_a_source_whose_mapping_is_gone_says_so(small_api: Api) -> None:
    await add_source(small_api)
    gateway = gateway_of(small_api)
    gateway.catalog = type(gateway.catalog)([])
    shown = await (await Visitor(small_api).log_in()).get("/sources/prod")
    assert "Its mapping is gone" in shown.text


async def test_who_may_only_read_is_offered_no_change(small_api: Api) -> None:
    await add_source(small_api)
    visitor = await Visitor(small_api).log_in((await make_key(small_api, "read"))["key"])
    assert "Change it" not in (await visitor.get("/sources/prod")).text
    assert (await visitor.fill("/sources/prod/delete")).status_code == 403


# Receipts.


async def test_receipts_are_filtered_by_status_and_source(api: Api) -> None:
    await add_source(api)
    visitor = await Visitor(api).log_in()
    assert "No provider has posted yet" in (await visitor.get("/receipts")).text
    await post_native(api)
    assert "No receipt fits" in (await visitor.get("/receipts?status=rejected")).text
    assert await newest_receipt(api) in (await visitor.get("/receipts?status=accepted&source=prod")).text


async def test_a_receipt_shows_the_request_and_what_became_of_it(api: Api) -> None:
    await add_source(api)
    await post_native(api)
    visitor = await Visitor(api).log_in()
    number = await newest_receipt(api)
    shown = (await visitor.get(f"/receipts/{number}")).text
    assert "everything in it was read" in shown
    assert "svix-id" in shown
    assert "email.bounced" in shown
    raw = await visitor.get(f"/receipts/{number}/raw")
    assert raw.headers["content-type"] == "text/plain; charset=utf-8"
    assert raw.json()["type"] == "email.bounced"


async def test_a_refused_request_says_why_and_cannot_be_read_again(api: Api) -> None:
    await add_source(api)
    await post_native(api, headers={"svix-signature": "v1,AAAA"})
    visitor = await Visitor(api).log_in()
    number = await newest_receipt(api)
    shown = (await visitor.get(f"/receipts/{number}")).text
    assert "signature does not match" in shown
    assert "Read it again" not in shown
    refused = await visitor.fill(f"/receipts/{number}/reprocess")
    assert "cannot be read again" in (await visitor.get(refused.headers["location"])).text


async def test_quarantined_items_have_their_place_and_reason_and_are_read_again(api: Api) -> None:
    await add_source(api)
    await post_unproven(api, f"email.{HOSTILE}")
    visitor = await Visitor(api).log_in()
    number = await newest_receipt(api)
    shown = (await visitor.get(f"/receipts/{number}")).text
    assert "What could not be read" in shown
    assert "<script>alert" not in shown
    again = await visitor.fill(f"/receipts/{number}/reprocess")
    assert "1 still cannot be read" in (await visitor.get(again.headers["location"])).text
    many = await visitor.fill("/receipts/reprocess", source="prod")
    assert many.headers["location"] == "/sources/prod"
    assert "Read 1 receipts again" in (await visitor.get("/sources/prod")).text
