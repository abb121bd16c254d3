"""AhaSend: the headers of Standard Webhooks with a key that is plain text."""

import hmac
from base64 import b64encode
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

AHASEND = CATALOG.get("ahasend")
SECRET = "aha-sec-%:/&#-not-base64"
EVENT: dict[str, Any] = {
    "type": "message.opened",
    "timestamp": "2026-01-01T00:00:00.123456789Z",
    "data": {"account_id": "a", "id": "m1", "recipient": "ann@example.net", "ip": "192.0.2.1", "is_bot": False},
}


def test_every_sample_verifies_and_becomes_an_event() -> None:
    assert_samples_are_signed_and_read("ahasend")
    assert samples_without_types("ahasend") == {"route.message"}


def test_the_secret_is_the_key_as_it_stands() -> None:
    signed = AHASEND.verification.sign(native_request(EVENT), None, {"signing_secret": SECRET}, AT)
    content = f"{signed.headers['webhook-id']}.{AT:.0f}.".encode() + signed.body
    signature = b64encode(hmac.digest(SECRET.encode(), content, "sha256")).decode()
    assert signed.headers["webhook-signature"] == f"v1,{signature}"
    assert len(AHASEND.read(signed, {"signing_secret": [SECRET]}, AT, RECEIVED_MS).events) == 1
    for name, text in {"webhook-id": "x", "webhook-signature": signature, "webhook-timestamp": "1"}.items():
        changed = NativeRequest(url=signed.url, headers={**signed.headers, name: text}, body=signed.body)
        with pytest.raises(VerificationFailed):
            AHASEND.verify(changed, {"signing_secret": [SECRET]}, AT)


def test_a_secret_that_looks_like_base64_is_not_decoded() -> None:
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    signed = AHASEND.verification.sign(native_request(EVENT), None, {"signing_secret": secret}, AT)
    with pytest.raises(VerificationFailed):
        AHASEND.verify(signed, {"signing_secret": [secret.removeprefix("whsec_")]}, AT)


def test_two_webhooks_tell_of_the_same_event() -> None:
    one, other = (read(AHASEND, EVENT, {"webhook-id": webhook_id}).events[0] for webhook_id in ("a", "b"))
    assert one.dedup_key == other.dedup_key
    assert one.data.provider.event_id == "a"


@pytest.mark.parametrize(
    "difference", [{"id": "m2"}, {"recipient": "b@example.net"}, {"ip": "192.0.2.2"}, {"url": "x"}]
)
def test_events_that_differ_in_substance_are_different(difference: dict[str, str]) -> None:
    other = {**EVENT, "data": {**EVENT["data"], **difference}}
    assert read(AHASEND, EVENT).events[0].dedup_key != read(AHASEND, other).events[0].dedup_key


def test_a_bot_that_opens_is_a_machine() -> None:
    (event,) = read(AHASEND, {**EVENT, "data": {**EVENT["data"], "is_bot": True}}).events
    assert event.data.client.machine is True  # type: ignore[union-attr]
