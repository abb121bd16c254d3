"""MailPace: Ed25519 over the body, recipients as texts with commas, inbound mail that is not signed."""

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

MAILPACE = CATALOG.get("mailpace")
EVENT = {
    "event": "email.deferred",
    "payload": {"id": 7, "status": "deferred", "to": "ann@example.net", "updated_at": "2026-01-01T00:00:00Z"},
}


def test_every_sample_verifies_and_becomes_an_event() -> None:
    assert_samples_are_signed_and_read("mailpace")
    assert samples_without_types("mailpace") == set()


def test_the_key_is_the_base64_of_32_bytes_and_verifies_every_byte_of_the_body() -> None:
    stored, signing = MAILPACE.generate_secrets()
    assert MAILPACE.check_secrets({"public_key": [stored["public_key"]]}) == []
    assert MAILPACE.check_secrets({"public_key": ["c2hvcnQ="]}) != []
    signed = MAILPACE.verification.sign(native_request(EVENT), None, signing, AT)
    secrets = {"public_key": [stored["public_key"]]}
    assert len(MAILPACE.read(signed, secrets, AT, RECEIVED_MS).events) == 1
    changed = NativeRequest(url=signed.url, headers=signed.headers, body=signed.body + b" ")
    with pytest.raises(VerificationFailed):
        MAILPACE.verify(changed, secrets, AT)
    with pytest.raises(VerificationFailed):
        MAILPACE.verify(native_request(EVENT), secrets, AT)


@pytest.mark.parametrize("proof", ["basic_auth", "token"])
def test_a_source_for_inbound_mail_has_credentials_or_a_token(proof: str) -> None:
    secret = "user:password" if proof == "basic_auth" else "a-shared-secret"
    mail = {"messageId": "<m@example.com>", "raw": "x", "headers": [], "from": "b@example.com", "to": "a@example.net"}
    assert MAILPACE.check_secrets({proof: [secret]}) == []
    posted = MAILPACE.verification.sign(native_request(mail), None, {proof: secret}, AT)
    (event,) = MAILPACE.read(posted, {proof: [secret]}, AT, RECEIVED_MS).events
    assert event.type == "email.received"
    with pytest.raises(VerificationFailed):
        MAILPACE.verify(native_request(mail), {proof: [secret]}, AT)


def test_a_message_that_is_deferred_twice_makes_two_events_and_a_repeated_one_none() -> None:
    later = {**EVENT, "payload": {**EVENT["payload"], "updated_at": "2026-01-01T00:10:00Z"}}
    first, again, second = (read(MAILPACE, body).events[0] for body in (EVENT, EVENT, later))
    assert first.dedup_key == again.dedup_key != second.dedup_key
