"""Forward Email: bounces, and mail that comes in for an alias."""

import hmac
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

FORWARDEMAIL = CATALOG.get("forwardemail")
BOUNCE: dict[str, Any] = {
    "email_id": "m1",
    "recipient": "ann@example.net",
    "response_code": 550,
    "response": "550 5.1.1 No such user",
    "bounce": {"category": "recipient", "action": "reject"},
    "bounced_at": "2026-01-01T00:00:00Z",
}


def test_every_sample_verifies_and_becomes_an_event() -> None:
    assert_samples_are_signed_and_read("forwardemail")
    assert samples_without_types("forwardemail") == set()


def test_the_signature_is_the_hex_hmac_of_the_body() -> None:
    signed = FORWARDEMAIL.verification.sign(native_request(BOUNCE), None, {"signing_secret": "key"}, AT)
    assert signed.headers["x-webhook-signature"] == hmac.new(b"key", signed.body, "sha256").hexdigest()
    assert len(FORWARDEMAIL.read(signed, {"signing_secret": ["key"]}, AT, RECEIVED_MS).events) == 1
    changed = NativeRequest(url=signed.url, headers=signed.headers, body=signed.body + b"\n")
    for request in (changed, native_request(BOUNCE)):
        with pytest.raises(VerificationFailed):
            FORWARDEMAIL.verify(request, {"signing_secret": ["key"]}, AT)


@pytest.mark.parametrize(
    ("category", "class_"),
    [
        ("recipient", "hard"),
        ("virus", "block"),
        ("network", "soft"),
        ("other", "unknown"),
        (None, "unknown"),
    ],
)
def test_the_category_says_the_class(category: str | None, class_: str) -> None:
    (event,) = read(FORWARDEMAIL, {**BOUNCE, "bounce": {"category": category}}).events
    assert event.data.bounce.class_ == class_  # type: ignore[union-attr]


def test_a_reply_below_500_is_a_deferral() -> None:
    types = [read(FORWARDEMAIL, {**BOUNCE, "response_code": code}).events[0].type for code in (421, 499, 500)]
    assert types == ["email.deferred", "email.deferred", "email.bounced"]


@pytest.mark.parametrize("difference", [{"recipient": "b@example.net"}, {"email_id": "m2"}, {"bounced_at": 1767225601}])
def test_bounces_that_differ_in_substance_are_different(difference: dict[str, object]) -> None:
    one, again, other = (read(FORWARDEMAIL, body).events[0] for body in (BOUNCE, BOUNCE, {**BOUNCE, **difference}))
    assert one.dedup_key == again.dedup_key != other.dedup_key
