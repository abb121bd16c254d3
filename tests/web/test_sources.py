from typing import Any

import pytest

from tests.web.gateways import RESEND_SECRET, Api, add_source, fields_of, post_native

pytestmark = pytest.mark.anyio
SOURCES = "/api/sources"


async def test_a_source_is_shown_with_its_url_and_without_its_secrets(api: Api) -> None:
    await add_source(api, "prod")
    shown = (await api.get(f"{SOURCES}/prod")).json()
    assert shown["url"] == "http://127.0.0.1:8420/api/webhooks/prod"
    assert shown["secrets"] == {"signing_secret": "set"}
    assert (await api.get(SOURCES)).json() == {"data": [shown]}
    assert RESEND_SECRET not in (await api.get(SOURCES)).text


async def test_a_source_takes_requests_as_soon_as_it_is_added_and_until_it_is_deleted(api: Api) -> None:
    assert (await post_native(api)).status_code == 404
    await add_source(api, "prod")
    assert (await post_native(api)).status_code == 200
    assert (await api.delete(f"{SOURCES}/prod")).status_code == 204
    assert (await post_native(api)).status_code == 404
    assert (await api.get(f"{SOURCES}/prod")).status_code == 404


async def test_a_secret_may_be_a_list_while_it_rotates(api: Api) -> None:
    await add_source(api)
    both = ["whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", RESEND_SECRET]
    changed = await api.patch(f"{SOURCES}/prod", json={"secrets": {"signing_secret": both}})
    assert changed.json()["secrets"] == {"signing_secret": "set (2)"}
    assert (await post_native(api)).status_code == 200
    await api.patch(f"{SOURCES}/prod", json={"secrets": {"signing_secret": both[0]}})
    assert (await post_native(api)).status_code == 401


TOPICS = {"topic_arns": ["arn:aws:sns:eu-west-1:111122223333:mail-events"]}
SES = {"name": "prod", "provider": "amazon_ses"}


async def test_options_and_verification_are_changed_and_kept(api: Api) -> None:
    assert (await api.post(SOURCES, json={**SES, "options": TOPICS})).status_code == 201
    more = {"topic_arns": [*TOPICS["topic_arns"], "arn:aws:sns:eu-west-1:111122223333:more"]}
    changed = await api.patch(f"{SOURCES}/prod", json={"options": more, "verification": "none"})
    assert (changed.json()["options"], changed.json()["verification"]) == (more, "none")
    await api.patch(f"{SOURCES}/prod", json={"verification": "required"})
    assert (await api.get(f"{SOURCES}/prod")).json()["options"] == more


@pytest.mark.parametrize("wrong", [{}, {"topics": ["x"]}, {"topic_arns": []}, {"topic_arns": ["mail-events"]}], ids=str)
async def test_options_are_those_that_the_mapping_declares(small_api: Api, wrong: dict[str, Any]) -> None:
    refused = await small_api.post(SOURCES, json={**SES, "options": wrong})
    assert fields_of(refused) == [f"options.{next(iter(wrong), 'topic_arns')}"]
    by_password = {**SES, "options": wrong, "secrets": {"basic_auth": "user:password"}}
    assert ((await small_api.post(SOURCES, json=by_password)).status_code == 201) is (wrong == {})


async def test_an_option_that_verification_needs_cannot_be_taken_away(small_api: Api) -> None:
    assert (await small_api.post(SOURCES, json={**SES, "options": TOPICS})).status_code == 201
    assert fields_of(await small_api.patch(f"{SOURCES}/prod", json={"options": {}})) == ["options.topic_arns"]
    trusted = await small_api.patch(f"{SOURCES}/prod", json={"options": {}, "verification": "none"})
    assert trusted.status_code == 200


async def test_a_name_is_taken_once(api: Api) -> None:
    await add_source(api)
    again = await api.post(SOURCES, json={"name": "prod", "provider": "resend", "verification": "none"})
    assert again.status_code == 409
    assert "prod" in again.json()["detail"]


async def test_a_provider_that_signs_needs_its_secret_unless_told_otherwise(small_api: Api) -> None:
    refused = await small_api.post(SOURCES, json={"name": "prod", "provider": "resend"})
    assert fields_of(refused) == ["secrets.signing_secret"]
    taken = await small_api.post(SOURCES, json={"name": "prod", "provider": "resend", "verification": "none"})
    assert taken.status_code == 201
    for change in ({"verification": "required"}, {"secrets": {"signing_secret": None}, "verification": "required"}):
        assert fields_of(await small_api.patch(f"{SOURCES}/prod", json=change)) == ["secrets.signing_secret"]


BAD_SOURCES: list[tuple[dict[str, Any], str, str]] = [
    ({"name": ""}, "name", "1 to 63"),
    ({"name": "Prod"}, "name", "small letters"),
    ({"name": "a" * 64}, "name", "1 to 63"),
    ({"name": "a/b"}, "name", "small letters"),
    ({"name": "prod\n"}, "name", "small letters"),
    ({"name": "manage"}, "name", "choose another"),
    ({"name": 5}, "name", "a text"),
    ({"provider": "resned"}, "provider", 'did you mean "resend"?'),
    ({"provider": "zzz"}, "provider", "/api/mappings"),
    ({"secrets": {"signing_secrets": "x"}}, "secrets.signing_secrets", "signing_secret"),
    ({"secrets": {"signing_secret": 5}}, "secrets", "a text"),
    ({"secrets": {"signing_secret": ""}}, "secrets", "at least 1"),
    ({"secrets": {"signing_secret": ["x"] * 6}}, "secrets", "at most 5"),
    ({"secrets": "x"}, "secrets", "an object"),
    ({"options": []}, "options", "an object"),
    ({"verification": "maybe"}, "verification", "none, required"),
    ({"secret": "x"}, "secret", 'did you mean "secrets"?'),
]


async def test_bad_sources_are_refused_by_field(small_api: Api) -> None:
    for fields, field, advice in BAD_SOURCES:
        good: dict[str, Any] = {"name": "prod", "provider": "resend", "secrets": {"signing_secret": RESEND_SECRET}}
        refused = await small_api.post(SOURCES, json=good | fields)
        assert refused.status_code == 422, (fields, refused.text)
        assert field in fields_of(refused), (fields, refused.text)
        assert advice in refused.json()["detail"], (fields, refused.text)
    assert (await small_api.get(SOURCES)).json() == {"data": []}


async def test_an_unknown_source_is_answered_404(small_api: Api) -> None:
    for name in ("prod", "Prod", "a" * 500, "%00", "a%2Fb"):
        for method in ("GET", "PATCH", "DELETE"):
            gone = await small_api.request(method, f"{SOURCES}/{name}", json={} if method == "PATCH" else None)
            assert gone.status_code == 404, (method, name)
            assert gone.headers["content-type"] == "application/problem+json"


async def test_what_a_source_redacts_is_named_shown_and_changed(api: Api) -> None:
    new = {"name": "less", "provider": "resend", "verification": "none", "redact": ["recipient", "metadata.user"]}
    assert (await api.post("/api/sources", json=new)).json()["redact"] == ["recipient", "metadata.user"]
    changed = await api.patch("/api/sources/less", json={"redact": ["ip"]})
    assert changed.json()["redact"] == ["ip"]
    assert (await api.patch("/api/sources/less", json={"redact": []})).json()["redact"] == []
    assert (await api.get("/api/sources/less")).json()["redact"] == []


@pytest.mark.parametrize("words", [["address"], ["recipient", "metadata."], ["RECIPIENT"]])
async def test_what_cannot_be_redacted_is_refused(small_api: Api, words: list[str]) -> None:
    new = {"name": "less", "provider": "resend", "verification": "none", "redact": words}
    refused = await small_api.post("/api/sources", json=new)
    assert refused.status_code == 422
    assert fields_of(refused) == ["redact"]
    await add_source(small_api)
    assert fields_of(await small_api.patch("/api/sources/prod", json={"redact": words})) == ["redact"]
