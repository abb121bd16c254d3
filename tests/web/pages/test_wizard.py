import re

import pytest

from app.web.pages.proofs import told
from app.web.pages.reach import is_reachable
from tests.web.gateways import RESEND_SECRET, Api, add_source, gateway_of, post_native
from tests.web.pages.visitors import Visitor
from tests.web.test_auth import make_key

pytestmark = pytest.mark.anyio

INBOUND = "http://127.0.0.1:8420/api/webhooks"


async def test_every_provider_is_offered_and_found_by_its_name_or_what_it_tells_of(small_api: Api) -> None:
    visitor = await Visitor(small_api).log_in()
    everything = (await visitor.get("/sources/new")).text
    for name in gateway_of(small_api).catalog.names():
        assert f'href="/sources/new?provider={name}"' in everything
    found = (await visitor.get("/sources/new?q=resend")).text
    assert "provider=resend" in found
    assert "provider=mailgun" not in found
    assert "No provider fits" in (await visitor.get("/sources/new?q=carrier-pigeon")).text


async def test_every_provider_has_its_form_with_the_url_and_where_to_put_it(small_api: Api) -> None:
    visitor = await Visitor(small_api).log_in()
    for name in gateway_of(small_api).catalog.names():
        answer = await visitor.get(f"/sources/new?provider={name}")
        assert answer.status_code == 200
        assert f"/api/webhooks/{name}" in answer.text
        assert 'class="console"' in answer.text or "https://" in answer.text


async def test_a_source_is_added_with_the_key_and_waits_for_its_first_event(api: Api) -> None:
    visitor = await Visitor(api).log_in()
    fields = {"provider": "resend", "name": "prod", "secret.signing_secret": f" {RESEND_SECRET} "}
    made = await visitor.fill("/sources/new", "/sources/new?provider=resend", **fields)
    assert made.headers["location"] == "/sources/prod/waiting"
    waiting = (await visitor.get("/sources/prod/waiting")).text
    assert 'data-state="nothing"' in waiting
    assert '<noscript><meta http-equiv="refresh"' in waiting
    assert (await post_native(api)).status_code == 200
    arrived = (await visitor.get("/sources/prod/waiting")).text
    assert 'data-state="arrived"' in arrived
    assert "&#34;type&#34;: &#34;email.bounced&#34;" in arrived
    assert "http-equiv" not in arrived


async def test_what_is_wrong_stands_beside_its_field_and_nothing_typed_is_lost(small_api: Api) -> None:
    visitor = await Visitor(small_api).log_in()
    await add_source(small_api)
    for fields, complaint in [
        ({"name": "prod", "secret.signing_secret": RESEND_SECRET}, "there already"),
        ({"name": "Prod!", "secret.signing_secret": RESEND_SECRET}, "small letters"),
        ({"name": "new", "secret.signing_secret": RESEND_SECRET}, "is a path of ours"),
        ({"name": "b", "secret.signing_secret": ""}, "needed"),
        ({"name": "b", "secret.signing_secret": "<b>no key</b>"}, "wrong-secret.signing_secret"),
    ]:
        refused = await visitor.fill("/sources/new", provider="resend", **fields)
        assert refused.status_code == 422
        assert complaint in refused.text
        assert 'aria-invalid="true"' in refused.text
        assert "<b>" not in refused.text
        assert f'name="name" value="{fields["name"]}"' in refused.text


async def test_a_provider_that_does_not_sign_gets_a_new_password_in_its_url(small_api: Api) -> None:
    visitor = await Visitor(small_api).log_in()
    form = (await visitor.get("/sources/new?provider=postmark&name=shop")).text
    password = re.search(r'name="secret.basic_auth" value="(mailweir:[\w-]{32})"', form)
    assert password is not None
    assert f"{password[1]}@127.0.0.1:8420/api/webhooks/shop" in form


async def test_the_url_has_the_token_where_the_mapping_looks_for_it(small_api: Api) -> None:
    catalog = gateway_of(small_api).catalog
    azure = told(catalog.get("azure"), INBOUND).filled("a", {"token": "t&t"})
    assert azure.url == f"{INBOUND}/a?secret=t%26t"
    smtp2go = told(catalog.get("smtp2go"), INBOUND).filled("s", {"token": "t"})
    assert (smtp2go.url, smtp2go.headers) == (f"{INBOUND}/s", {"Authorization": "Bearer t"})
    assert told(catalog.get("elastic_email"), INBOUND).filled("e", {}).url == f"{INBOUND}/e"


async def test_a_wrong_key_is_explained(api: Api) -> None:
    await add_source(api)
    await post_native(api, headers={"svix-signature": "v1,AAAA"})
    shown = (await (await Visitor(api).log_in()).get("/sources/prod/waiting")).text
    assert 'data-state="refused"' in shown
    assert "signature does not match" in shown
    assert "Replace the key" in shown


async def test_an_unknown_type_is_explained(api: Api) -> None:
    await add_source(api)
    visitor = await Visitor(api).log_in()
    source = gateway_of(api).registry.source("prod")
    assert source is not None
    await api.patch("/api/sources/prod", json={"verification": "none"})
    body = {"type": "email.juggled", "created_at": "2026-03-03T08:15:00Z", "data": {"to": ["a@example.com"]}}
    assert (await api.post("/api/webhooks/prod", json=body)).status_code == 200
    shown = (await visitor.get("/sources/prod/waiting")).text
    assert 'data-state="unread"' in shown
    assert "email.juggled" in shown


async def test_a_sample_goes_the_way_of_the_providers_requests(api: Api) -> None:
    await add_source(api)
    visitor = await Visitor(api).log_in()
    sent = await visitor.fill("/sources/prod/sample", sample="email.delivered")
    assert sent.headers["location"] == "/sources/prod/waiting"
    assert 'data-state="arrived"' in (await visitor.get("/sources/prod/waiting")).text
    assert [event["type"] for event in (await api.get("/api/events")).json()["data"]] == ["email.delivered"]


@pytest.mark.parametrize(
    ("provider", "secrets", "why"),
    [("sendgrid", True, "private key"), ("generic", False, "API key"), ("postmark", True, None)],
)
async def test_who_alone_can_sign_is_said(small_api: Api, provider: str, *, secrets: bool, why: str | None) -> None:
    kept, _ = gateway_of(small_api).catalog.get(provider).generate_secrets()
    source = {"name": "s", "provider": provider, "secrets": kept if secrets else {}}
    assert (await small_api.post("/api/sources", json=source)).status_code == 201
    shown = (await (await Visitor(small_api).log_in()).get("/sources/s/waiting")).text
    assert f"mailweir trigger {provider}" in shown
    assert ("Send it" in shown) == (why is None)
    assert why is None or why in shown


async def test_who_may_only_read_adds_nothing(small_api: Api) -> None:
    visitor = await Visitor(small_api).log_in((await make_key(small_api, "read"))["key"])
    assert "needs the role write" in (await visitor.get("/sources/new?provider=resend")).text
    assert (await visitor.fill("/sources/new", provider="resend", name="x")).status_code == 403


@pytest.mark.parametrize(
    ("url", "is_so"),
    [
        ("http://127.0.0.1:8420", False),
        ("http://localhost:8420", False),
        ("http://10.1.2.3", False),
        ("http://mail", False),
        ("https://mail.example.com", True),
        ("https://[2606:4700::1]", True),
    ],
)
def test_a_url_of_this_machine_is_known_to_be_out_of_reach(url: str, *, is_so: bool) -> None:
    assert is_reachable(url) == is_so
