"""Resend: one event a request, through Svix."""

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

RESEND = CATALOG.get("resend")


def test_every_sample_verifies_and_becomes_an_event() -> None:
    assert_samples_are_signed_and_read("resend")
    assert samples_without_types("resend") == {"email.queued"}


def signed_sample() -> tuple[NativeRequest, dict[str, list[str]]]:
    stored, signing = RESEND.generate_secrets()
    request = RESEND.sample_request(
        ["email.delivered"], signing=signing, url="https://x.example/", at=AT, recipient="ann@example.net", unique=str
    )
    return request, {name: [key] for name, key in stored.items()}


def test_an_old_request_is_refused_unless_the_time_does_not_matter() -> None:
    request, secrets = signed_sample()
    RESEND.verify(request, secrets, AT + 299)
    RESEND.verify(request, secrets, None)
    with pytest.raises(VerificationFailed, match="old"):
        RESEND.read(request, secrets, AT + 301, RECEIVED_MS)


def test_a_changed_body_is_refused_before_anything_is_read() -> None:
    request, secrets = signed_sample()
    changed = NativeRequest(url=request.url, headers=request.headers, body=request.body + b" ")
    with pytest.raises(VerificationFailed):
        RESEND.read(changed, secrets, AT, RECEIVED_MS)


def test_an_authentic_body_that_is_no_json_is_quarantined_as_a_whole() -> None:
    _, secrets = signed_sample()
    stored = secrets["signing_secret"][0]
    broken = RESEND.verification.sign(native_request("{broken"), None, {"signing_secret": stored}, AT)
    reading = RESEND.read(broken, secrets, AT, RECEIVED_MS)
    assert reading.events == []
    assert [(item.index, item.native_type) for item in reading.quarantined] == [(None, None)]
    assert "not JSON" in reading.quarantined[0].reason


def test_a_retry_is_the_same_event_and_the_next_recipients_is_another() -> None:
    body = {
        "type": "email.delivered",
        "created_at": "2026-01-01T00:00:00Z",
        "data": {"email_id": "e1", "to": ["ann@example.net", "bob@example.net"]},
    }
    first = read(RESEND, body, {"svix-id": "msg_1", "svix-timestamp": "1"}).events[0]
    retried = read(RESEND, body, {"svix-id": "msg_1", "svix-timestamp": "2"}).events[0]
    next_one = read(RESEND, body, {"svix-id": "msg_2", "svix-timestamp": "1"}).events[0]
    assert first.dedup_key == retried.dedup_key != next_one.dedup_key


def test_the_signing_secret_is_needed_and_checked() -> None:
    assert RESEND.secret_names == [("signing_secret", True), ("basic_auth", False)]
    assert RESEND.check_secrets({"basic_auth": ["user:password"]}) == [("signing_secret", "is needed")]
    assert RESEND.check_secrets({"signing_secret": ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]}) == []
    ((name, message),) = RESEND.check_secrets({"signing_secret": ["whsec_!"]})
    assert name == "signing_secret"
    assert "base64" in message


def test_several_events_do_not_fit_into_one_request() -> None:
    with pytest.raises(ValueError, match="one event"):
        RESEND.sample_request(
            ["email.sent", "email.opened"], signing={}, url="", at=AT, recipient="ann@example.net", unique=str
        )
