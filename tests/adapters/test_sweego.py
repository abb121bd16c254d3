"""Sweego: the headers of Standard Webhooks with a bare signature, names with both kinds of dashes."""

import hmac
from base64 import b64decode, b64encode
from typing import Any

import pytest

from adapters.errors import VerificationFailed
from adapters.request import NativeRequest
from tests.adapters.native_fixtures import (
    AT,
    CATALOG,
    RECEIVED_MS,
    assert_samples_are_signed_and_read,
    native_request,
    read,
    samples_without_types,
)

SWEEGO = CATALOG.get("sweego")
SECRET = "c3dlZWdvLXRlc3Qta2V5LW9mLW91cnM="
EVENT: dict[str, Any] = {
    "event_type": "email_opened",
    "event_id": "e1",
    "swg_uid": "u1",
    "transaction_id": "t1",
    "channel": "email",
    "recipient": "ann@example.net",
    "timestamp": "2026-01-01T00:00:00+00:00",
}


def test_every_sample_verifies_and_becomes_an_event() -> None:
    assert_samples_are_signed_and_read("sweego")
    assert samples_without_types("sweego") == set()


def test_the_signature_is_bare_base64_made_with_a_decoded_key() -> None:
    signed = SWEEGO.verification.sign(native_request(EVENT), None, {"signing_secret": SECRET}, AT)
    content = f"{signed.headers['webhook-id']}.{AT:.0f}.".encode() + signed.body
    signature = b64encode(hmac.digest(b64decode(SECRET), content, "sha256")).decode()
    assert signed.headers["webhook-signature"] == signature
    assert len(SWEEGO.read(signed, {"signing_secret": [SECRET]}, AT + 299, RECEIVED_MS).events) == 1
    for name, text in {"webhook-id": "x", "webhook-signature": signature[:-4], "webhook-timestamp": "1"}.items():
        changed = NativeRequest(url=signed.url, headers={**signed.headers, name: text}, body=signed.body)
        with pytest.raises(VerificationFailed):
            SWEEGO.verify(changed, {"signing_secret": [SECRET]}, AT)
    with pytest.raises(VerificationFailed, match="old"):
        SWEEGO.verify(signed, {"signing_secret": [SECRET]}, AT + 301)


def test_a_key_that_is_not_base64_is_refused_when_a_source_is_made() -> None:
    assert SWEEGO.check_secrets({"signing_secret": ["not base64!"]}) != []


@pytest.mark.parametrize(
    "difference",
    [{"event_type": "email_clicked"}, {"swg_uid": "u2"}, {"recipient": "b@x.example"}, {"open": {"x": 1}}],
)
def test_events_that_share_an_id_but_differ_in_substance_are_different(difference: dict[str, object]) -> None:
    one, again, other = (read(SWEEGO, body).events[0] for body in (EVENT, EVENT, {**EVENT, **difference}))
    assert one.dedup_key == again.dedup_key != other.dedup_key


@pytest.mark.parametrize(
    ("user_agent", "machine"),
    [("Mozilla/5.0", True), ("Mozilla/5.0 (via ggpht.com GoogleImageProxy)", None), ("YahooMailProxy; x", None)],
)
def test_a_proxy_is_a_machine_unless_it_fetches_for_a_person(user_agent: str, machine: bool | None) -> None:
    opened = {"ip_address": "192.0.2.1", "user_agent": user_agent, "proxy": True}
    (event,) = read(SWEEGO, {**EVENT, "open": opened}).events
    assert event.data.client.machine is machine  # type: ignore[union-attr]
