"""Customer.io: a type made of two fields, other channels to leave out, and a signature with a version in it."""

import hmac
import json

import pytest

from adapters.errors import VerificationFailed
from adapters.request import NativeRequest
from tests.adapters.native_fixtures import (
    AT,
    CATALOG,
    assert_samples_are_signed_and_read,
    native_request,
    read,
    samples_without_types,
)

CUSTOMERIO = CATALOG.get("customerio")
DAY = 86_400
EVENT = {
    "event_id": "e1",
    "object_type": "email",
    "metric": "opened",
    "timestamp": 1767225600,
    "data": {"delivery_id": "d1", "recipient": "ann@example.net"},
}


def test_every_sample_verifies_and_becomes_an_event() -> None:
    assert_samples_are_signed_and_read("customerio")
    drafts = {"email_created", "email_drafted", "email_converted"}
    variants = {"email_suppressed", "email_machine_opened", "email_prefetch_clicked", "email_topic_unsubscribed"}
    assert samples_without_types("customerio") == drafts | variants


def signed(message: str = "v0:{at}:{body}", at: int = int(AT)) -> NativeRequest:
    body = json.dumps(EVENT)
    signature = hmac.new(b"key", message.format(at=at, body=body).encode(), "sha256").hexdigest()
    return native_request(body, {"x-cio-timestamp": str(at), "x-cio-signature": signature})


def test_version_time_and_body_are_signed() -> None:
    CUSTOMERIO.verify(signed(), {"signing_secret": ["key"]}, AT)


@pytest.mark.parametrize("message", ["{body}", "{at}:{body}", "v0:{at}.{body}", "v1:{at}:{body}"])
def test_a_signature_of_anything_else_is_refused(message: str) -> None:
    with pytest.raises(VerificationFailed):
        CUSTOMERIO.verify(signed(message), {"signing_secret": ["key"]}, AT)


@pytest.mark.parametrize("header", ["x-cio-timestamp", "x-cio-signature"])
def test_a_missing_header_is_refused(header: str) -> None:
    request = signed()
    headers = {name: value for name, value in request.headers.items() if name != header}
    with pytest.raises(VerificationFailed):
        CUSTOMERIO.verify(NativeRequest(headers=headers, body=request.body), {"signing_secret": ["key"]}, AT)


def test_repetitions_of_seven_days_are_taken_and_older_requests_refused() -> None:
    CUSTOMERIO.verify(signed(), {"signing_secret": ["key"]}, AT + 7 * DAY)
    with pytest.raises(VerificationFailed, match="old"):
        CUSTOMERIO.verify(signed(), {"signing_secret": ["key"]}, AT + 8 * DAY)


def test_a_call_that_is_repeated_tells_of_the_same_event() -> None:
    first = read(CUSTOMERIO, EVENT, {"x-cio-timestamp": "1"}).events[0]
    again = read(CUSTOMERIO, EVENT, {"x-cio-timestamp": "2"}).events[0]
    another = read(CUSTOMERIO, {**EVENT, "event_id": "e2"}).events[0]
    assert first.dedup_key == again.dedup_key != another.dedup_key
