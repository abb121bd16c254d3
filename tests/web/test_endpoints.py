from typing import Any

import pytest
import sqlalchemy as sa

from app.store.tables import EndpointRow, table_of
from app.store.transactions import writing
from tests.web.gateways import SUBSCRIBER, Api, add_endpoint, add_source, fields_of, gateway_of, post_native

pytestmark = pytest.mark.anyio
MANAGE = "/api/webhooks/manage"


async def test_a_registration_is_listed_as_it_was_answered_but_without_its_secret(api: Api) -> None:
    made = await add_endpoint(api, events="open, click,bounce", description="crm")
    secret = made.pop("secret")
    assert secret.startswith("whsec_")
    assert made["events"] == "open,click,bounce"
    assert made["active"] is True
    assert made["created_at"].endswith("Z")
    assert (await api.get(MANAGE)).json() == {"webhooks": [made]}
    assert (await api.get(f"{MANAGE}/{made['id']}")).json() == made
    assert secret not in (await api.get(MANAGE)).text


async def test_a_given_secret_is_echoed_once(api: Api) -> None:
    made = await add_endpoint(api, secret="a secret of our own")
    assert made["secret"] == "a secret of our own"
    assert "secret" not in (await api.get(f"{MANAGE}/{made['id']}")).json()


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("open,click,bounce", "open,click,bounce"),
        (" open , click ,, open ", "open,click"),
        ("bounce,email.bounced,Bounced", "bounce"),
        (["open", "click, bounce"], "open,click,bounce"),
        ("*", "*"),
        ("email.*,email.unknown", "email.*,email.unknown"),
    ],
)
async def test_events_are_kept_in_the_callers_words(small_api: Api, given: Any, kept: str) -> None:
    assert (await add_endpoint(small_api, events=given))["events"] == kept


async def test_every_option_is_kept_and_null_takes_it_away(api: Api) -> None:
    options: dict[str, Any] = {
        "filter": "data.bounce.permanent",
        "transform": "{id: id}",
        "headers": {"X-Tenant": "7"},
        "max_in_flight": 3,
        "rate_limit_per_s": 2.5,
        "timeout_s": 5.0,
        "retry_schedule_s": [1.0, 60.0],
        "retry_max_age_s": 3600.0,
        "retry_on": ["5xx", 429, "timeout"],
    }
    made = await add_endpoint(api, **options)
    assert {name: made[name] for name in options} == options
    shown = (await api.get(f"{MANAGE}/{made['id']}")).json()
    assert {name: shown[name] for name in options} == options | {"headers": {"X-Tenant": "(hidden)"}}
    nothing = {name: {} if name == "headers" else None for name in options}
    changed = (await api.patch(f"{MANAGE}/{made['id']}", json=nothing)).json()
    assert {name: changed[name] for name in options} == nothing


async def test_the_values_of_headers_are_shown_to_the_call_that_sets_them_alone(api: Api) -> None:
    made = await add_endpoint(api, headers={"Authorization": "Bearer 1"})
    assert made["headers"] == {"Authorization": "Bearer 1"}
    changed = await api.patch(f"{MANAGE}/{made['id']}", json={"headers": {"Authorization": "Bearer 2"}})
    assert changed.json()["headers"] == {"Authorization": "Bearer 2"}
    for answer in (
        await api.get(MANAGE),
        await api.patch(f"{MANAGE}/{made['id']}", json={"description": "crm"}),
        await api.post(f"{MANAGE}/{made['id']}/enable"),
    ):
        assert "Bearer" not in answer.text
        assert "Authorization" in answer.text


async def test_a_change_leaves_absent_fields_as_they_are(api: Api) -> None:
    made = await add_endpoint(api, events="open", description="crm")
    changed = (await api.patch(f"{MANAGE}/{made['id']}", json={"events": ["click"]})).json()
    assert changed["events"] == "click"
    assert changed["description"] == "crm"
    assert "secret" not in changed


async def test_an_ed25519_endpoint_shows_its_public_key_and_no_secret(api: Api) -> None:
    made = await add_endpoint(api, signature="ed25519")
    assert made["public_key"].startswith("whpk_")
    assert "secret" not in made
    assert (await api.get(f"{MANAGE}/{made['id']}")).json()["public_key"] == made["public_key"]


async def test_changing_the_signature_makes_a_new_secret(api: Api) -> None:
    made = await add_endpoint(api, signature="ed25519")
    changed = (await api.patch(f"{MANAGE}/{made['id']}", json={"signature": "hmac"})).json()
    assert changed["public_key"] is None
    assert changed["secret"].startswith("whsec_")


async def test_repeating_the_signature_keeps_the_secret(api: Api) -> None:
    made = await add_endpoint(api)
    assert "secret" not in (await api.patch(f"{MANAGE}/{made['id']}", json={"signature": "hmac"})).json()


async def test_a_deleted_endpoint_is_gone(api: Api) -> None:
    made = await add_endpoint(api)
    deleted = await api.delete(f"{MANAGE}/{made['id']}")
    assert (deleted.status_code, deleted.content) == (204, b"")
    for method, path in (("GET", ""), ("PATCH", ""), ("DELETE", ""), ("POST", "/test"), ("POST", "/enable")):
        gone = await api.request(method, f"{MANAGE}/{made['id']}{path}", json={})
        assert gone.status_code == 404, (method, path)
    assert (await api.get(MANAGE)).json() == {"webhooks": []}


async def test_a_paused_endpoint_is_enabled_again(api: Api) -> None:
    made = await add_endpoint(api, active=False)
    assert (made["active"], made["state"], made["disabled_reason"]) == (False, "paused", "paused")
    enabled = (await api.post(f"{MANAGE}/{made['id']}/enable")).json()
    assert (enabled["active"], enabled["state"], enabled["disabled_reason"]) == (True, "healthy", None)
    paused = (await api.patch(f"{MANAGE}/{made['id']}", json={"active": False})).json()
    assert paused["state"] == "paused"


async def test_an_endpoint_that_the_gateway_disabled_is_not_called_paused(api: Api) -> None:
    made = await add_endpoint(api)
    gateway = gateway_of(api)
    gone = sa.update(table_of(EndpointRow)).values(active=False, disabled_reason="it answered 410 Gone")
    async with writing(gateway.engine) as connection:
        await connection.execute(gone)
    assert (await api.get(f"{MANAGE}/{made['id']}")).json()["state"] == "disabled"


@pytest.mark.parametrize(("held", "cancelled"), [("send", 0), ("drop", 2)])
async def test_who_enables_says_what_becomes_of_the_held_deliveries(api: Api, held: str, cancelled: int) -> None:
    made = await add_endpoint(api, active=False)
    await add_source(api)
    for _ in range(2):
        await post_native(api)
    enabled = await api.post(f"{MANAGE}/{made['id']}/enable", json={"held": held})
    assert enabled.json()["cancelled"] == cancelled
    rows = (await api.get("/api/deliveries")).json()["data"]
    assert len(rows) == 2
    if held == "drop":
        assert {row["status"] for row in rows} == {"cancelled"}
        assert {row["error"] for row in rows} == {"dropped when the endpoint was enabled"}
    else:
        assert not {row["status"] for row in rows} & {"held", "cancelled"}


async def test_held_deliveries_are_sent_or_dropped_and_nothing_else(small_api: Api) -> None:
    made = await add_endpoint(small_api, active=False)
    refused = await small_api.post(f"{MANAGE}/{made['id']}/enable", json={"held": "keep"})
    assert fields_of(refused) == ["held"]
    assert (await small_api.get(f"{MANAGE}/{made['id']}")).json()["active"] is False


async def test_a_test_event_can_be_looked_up(api: Api) -> None:
    made = await add_endpoint(api, events="open")
    sent = await api.post(f"{MANAGE}/{made['id']}/test")
    assert sent.status_code == 202
    assert sent.json()["event_id"].startswith("evt_")


async def test_a_paused_endpoint_gets_no_test_event(small_api: Api) -> None:
    made = await add_endpoint(small_api, active=False)
    refused = await small_api.post(f"{MANAGE}/{made['id']}/test")
    assert refused.status_code == 409
    assert "enable it first" in refused.json()["detail"]


BAD_INPUT: list[tuple[dict[str, Any], str, str]] = [
    ({"url": 5}, "url", "must be a text"),
    ({"url": "not a url"}, "url", ""),
    ({"url": "https://x.example/" + "a" * 3000}, "url", "2048"),
    ({"url": "http://10.1.2.3/"}, "url", "MAILWEIR_ALLOW_NETWORKS"),
    ({"url": "https://169.254.169.254/latest"}, "url", "MAILWEIR_ALLOW_NETWORKS"),
    ({"url": "ftp://example.com/"}, "url", "https"),
    ({"url": "https://user:pw@example.com/"}, "url", "headers"),
    ({"events": ""}, "events", "at least one"),
    ({"events": []}, "events", "at least one"),
    ({"events": " , "}, "events", "at least one"),
    ({"events": "open,bounec"}, "events", 'did you mean "bounce"?'),
    ({"events": "zzzzzz"}, "events", "/api/event-types"),
    ({"events": 5}, "events", "a text or a list"),
    ({"events": ["open", 5]}, "events[1]", "a text"),
    ({"events": "o" * 5000}, "events", "2000 characters"),
    ({"secret": "short"}, "secret", "characters"),
    ({"secret": "a secret with ümlaut in it"}, "secret", "ASCII"),
    ({"secret": "a long enough secret", "signature": "ed25519"}, "secret", "leave it out"),
    ({"secret": None}, "secret", "a text"),
    ({"description": "d" * 1001}, "description", "1000 characters"),
    ({"filter": "a ||"}, "filter", "position 4"),
    ({"filter": "nothing(a)"}, "filter", "position"),
    ({"transform": "{"}, "transform", "position"),
    ({"headers": {"Content-Type": "text/plain"}}, "headers", "set by the gateway"),
    ({"headers": {"webhook-id": "1"}}, "headers", "set by the gateway"),
    ({"headers": {"Webhook_Signature": "1"}}, "headers", "set by the gateway"),
    ({"headers": {"X-Webhook-Signature": "1"}}, "headers", "set by the gateway"),
    ({"headers": {"X A": "1"}}, "headers", "not a header name"),
    ({"headers": {"X-A": "1\r\nX-B: 2"}}, "headers", "printable ASCII"),
    ({"headers": {"X-A": "1", "x-a": "2"}}, "headers", "twice"),
    ({"headers": {f"X-{n}": "1" for n in range(21)}}, "headers", "20 are allowed"),
    ({"headers": {"X-A": 1}}, "headers", "a text"),
    ({"headers": {"X-A": "(hidden)"}}, "headers", "the value of X-A itself"),
    ({"signature": "rsa"}, "signature", "one of ed25519, hmac"),
    ({"timeout_s": 0.5}, "timeout_s", "at least 1"),
    ({"timeout_s": 61}, "timeout_s", "at most 60"),
    ({"timeout_s": "5"}, "timeout_s", "a number"),
    ({"retry_schedule_s": [0]}, "retry_schedule_s[0]", "at least 1"),
    ({"retry_schedule_s": [86_401]}, "retry_schedule_s[0]", "at most 86400"),
    ({"retry_schedule_s": [1] * 21}, "retry_schedule_s", "20 items"),
    ({"retry_max_age_s": 0}, "retry_max_age_s", "at least 1"),
    ({"retry_on": ["6xx"]}, "retry_on", "4xx, 5xx, timeout, connection"),
    ({"retry_on": ["500"]}, "retry_on", "statuses are numbers"),
    ({"retry_on": [399]}, "retry_on[0]", "at least 400"),
    ({"retry_on": [410]}, "retry_on", "never tried again"),
    ({"retry_on": [500, 500]}, "retry_on", "twice"),
    ({"retry_on": "5xx"}, "retry_on", "a list"),
    ({"max_in_flight": 0}, "max_in_flight", "at least 1"),
    ({"max_in_flight": 257}, "max_in_flight", "at most 256"),
    ({"max_in_flight": 1.5}, "max_in_flight", "a whole number"),
    ({"rate_limit_per_s": 0}, "rate_limit_per_s", "at least 0.01"),
    ({"rate_limit_per_s": 10_001}, "rate_limit_per_s", "at most 10000"),
    ({"active": "yes"}, "active", "true or false"),
    ({"event": "open"}, "event", 'did you mean "events"?'),
    ({"description": "a\x00b"}, "", "NUL"),
]


async def test_bad_input_names_the_field_and_says_what_to_change(small_api: Api) -> None:
    made = await add_endpoint(small_api)
    for fields, field, advice in BAD_INPUT:
        new = {"url": SUBSCRIBER, "events": "*", **fields}
        for refused in (
            await small_api.post(MANAGE, json=new),
            await small_api.patch(f"{MANAGE}/{made['id']}", json=fields),
        ):
            assert refused.status_code == 422, (fields, refused.text)
            assert field in fields_of(refused), (fields, refused.text)
            assert advice in " ".join(error["message"] for error in refused.json()["errors"]), refused.text
    assert len((await small_api.get(MANAGE)).json()["webhooks"]) == 1


async def test_all_wrong_fields_are_named_at_once(small_api: Api) -> None:
    refused = await small_api.post(
        MANAGE, json={"url": "http://10.0.0.1/", "events": "bounec", "filter": "(", "secret": "short"}
    )
    assert fields_of(refused) == ["url", "events", "secret", "filter"]


@pytest.mark.parametrize("missing", ["url", "events"])
async def test_url_and_events_are_required(small_api: Api, missing: str) -> None:
    fields = {"url": SUBSCRIBER, "events": "*"}
    del fields[missing]
    refused = await small_api.post(MANAGE, json=fields)
    assert fields_of(refused) == [missing]


@pytest.mark.parametrize("number", ["0", "-1", "7", "2147483648", "9" * 30, "x"])
async def test_an_id_that_does_not_exist_is_answered_404(small_api: Api, number: str) -> None:
    for method in ("GET", "PATCH", "DELETE"):
        gone = await small_api.request(method, f"{MANAGE}/{number}", json={} if method == "PATCH" else None)
        assert gone.status_code == 404
        assert gone.headers["content-type"] == "application/problem+json"
