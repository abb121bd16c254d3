"""Trying mappings over the API."""

import base64
import json
from typing import Any

import pytest

from app import sandbox
from tests.web.gateways import RESEND_SECRET, Api, fields_of, gateway_of

pytestmark = pytest.mark.anyio

ACME = """provider: acme
verify: {scheme: token, header: x-token}
native_type: type
fields: {recipient: to, timestamp: at}
types:
  gone: email.bounced
  ping: ignored
"""
GONE = {"type": "gone", "to": "ann@example.com", "at": 1_772_525_700}


def acme(*items: dict[str, Any], **others: Any) -> dict[str, Any]:
    return {"mapping": ACME, "request": {"body": json.dumps(items)}, **others}


async def test_a_mapping_that_is_given_is_tried_on_a_request(small_api: Api) -> None:
    asked = acme(GONE, GONE | {"colour": "red"}, {"type": "ping"}, GONE | {"type": "moved"})
    answer = await small_api.post("/api/mappings/try", json=asked)
    tried = answer.json()
    assert answer.status_code == 200, tried
    assert [event["type"] for event in tried["events"]] == ["email.bounced", "email.bounced"]
    assert tried["events"][0]["data"]["provider"]["source"] == "acme"
    assert [item["index"] for item in tried["quarantined"]] == [3]
    assert (tried["status"], tried["ignored"], tried["error"]) == (200, 1, None)
    assert tried["unnamed"] == [
        {"index": 1, "native_type": None, "keys": ["colour"]},
        {"index": 3, "native_type": "moved", "keys": []},
    ]


async def test_a_mapping_in_force_is_tried_with_secrets(small_api: Api) -> None:
    catalog = gateway_of(small_api).catalog
    native = catalog.get("resend").sample_request(
        ["email.bounced"],
        signing={"signing_secret": RESEND_SECRET},
        url="http://testserver/api/webhooks/prod",
        at=1_772_525_700,
        recipient="ann@example.com",
        unique=lambda: "u1",
    )
    request = {"headers": dict(native.headers), "body_b64": base64.b64encode(native.body).decode()}
    asked = {"provider": "resend", "request": request, "secrets": {"signing_secret": RESEND_SECRET}}
    tried = (await small_api.post("/api/mappings/try", json=asked)).json()
    assert [event["data"]["recipient"] for event in tried["events"]] == ["ann@example.com"]
    late = (await small_api.post("/api/mappings/try", json=asked | {"at": 1_772_529_300})).json()
    assert (late["status"], late["events"]) == (401, [])
    assert late["error"]


async def test_nothing_is_kept_of_a_trial(small_api: Api) -> None:
    await small_api.post("/api/mappings/try", json=acme(GONE))
    for log in ("events", "receipts"):
        assert (await small_api.get(f"/api/{log}")).json()["data"] == []
    assert "acme" not in gateway_of(small_api).catalog.names()


@pytest.mark.parametrize(
    ("wrong", "line", "key"),
    [
        (ACME.replace("native_type: type", "native_typ: type"), 3, "native_typ"),
        (ACME.replace("email.bounced", "email.bouncd"), 6, "types.gone"),
        ("provider: acme\nfields: [", 3, ""),
        ("", 1, ""),
    ],
)
async def test_a_wrong_mapping_is_refused_with_line_and_key(small_api: Api, wrong: str, line: int, key: str) -> None:
    answer = await small_api.post("/api/mappings/try", json=acme(GONE) | {"mapping": wrong})
    assert answer.status_code == 422
    assert fields_of(answer) == ["mapping"]
    (error,) = answer.json()["errors"]
    assert (error["file"], error["line"], error["key"]) == ("mapping", line, key)
    assert error["message"]


@pytest.mark.parametrize(
    ("change", "fields"),
    [
        ({"mapping": "x" * 200_001}, ["mapping"]),
        ({"provider": "resend"}, ["mapping"]),
        ({"request": {"body_b64": "?"}}, ["request.body_b64"]),
        ({"colour": "red"}, ["colour"]),
    ],
)
async def test_what_cannot_be_tried_is_refused(small_api: Api, change: dict[str, Any], fields: list[str]) -> None:
    answer = await small_api.post("/api/mappings/try", json=acme(GONE) | change)
    assert answer.status_code == 422
    assert fields_of(answer) == fields


async def test_an_unknown_provider_is_guessed(small_api: Api) -> None:
    answer = await small_api.post("/api/mappings/try", json={"provider": "resned", "request": {}})
    assert fields_of(answer) == ["provider"]
    assert '"resend"' in answer.json()["detail"]


async def test_a_mapping_that_would_take_for_ever_is_ended(small_api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "WAIT_S_MAX", 1.0)
    many = "[" + ", ".join(["to"] * 12_000) + "]"
    types = "\n".join(f"  t{number}: email.bounced" for number in range(2_500))
    endless = ACME.replace("recipient: to", f"recipient: {many}").replace("types:", f"types:\n{types}")
    answer = await small_api.post("/api/mappings/try", json=acme(GONE) | {"mapping": endless})
    assert answer.status_code == 422
    assert "was ended" in answer.json()["detail"]
    assert (await small_api.get("/health")).status_code == 200
