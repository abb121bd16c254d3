"""Loops: one event a request, signed after the Standard Webhooks specification."""

import json
from datetime import UTC, datetime

import pytest
import standardwebhooks

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

LOOPS = CATALOG.get("loops")
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
EVENT = {
    "eventName": "email.opened",
    "eventTime": 1767225600,
    "webhookSchemaVersion": "1.0.0",
    "contactIdentity": {"id": "c1", "email": "ann@example.net"},
    "email": {"id": "m1"},
}


def test_every_sample_verifies_and_becomes_an_event() -> None:
    assert_samples_are_signed_and_read("loops")
    assert samples_without_types("loops") == set()


def signed_by_the_specification() -> NativeRequest:
    body = json.dumps(EVENT)
    signature = standardwebhooks.Webhook(SECRET).sign("msg_1", datetime.fromtimestamp(AT, UTC), body)
    headers = {"webhook-id": "msg_1", "webhook-timestamp": str(int(AT)), "webhook-signature": signature}
    return native_request(body, headers)


def test_a_request_signed_by_the_reference_library_is_taken() -> None:
    reading = LOOPS.read(signed_by_the_specification(), {"signing_secret": [SECRET]}, AT, RECEIVED_MS)
    assert [event.data.provider.event_id for event in reading.events] == ["msg_1"]


@pytest.mark.parametrize("header", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_a_missing_header_is_refused(header: str) -> None:
    request = signed_by_the_specification()
    headers = {name: value for name, value in request.headers.items() if name != header}
    with pytest.raises(VerificationFailed):
        LOOPS.verify(NativeRequest(headers=headers, body=request.body), {"signing_secret": [SECRET]}, AT)


def test_a_changed_body_or_an_old_request_is_refused() -> None:
    request = signed_by_the_specification()
    changed = NativeRequest(headers=request.headers, body=request.body + b" ")
    for refused, at in ((changed, AT), (request, AT + 301)):
        with pytest.raises(VerificationFailed):
            LOOPS.verify(refused, {"signing_secret": [SECRET]}, at)


def test_a_message_that_is_sent_again_tells_of_the_same_event() -> None:
    first = read(LOOPS, EVENT, {"webhook-id": "msg_1", "webhook-timestamp": "1"}).events[0]
    again = read(LOOPS, EVENT, {"webhook-id": "msg_1", "webhook-timestamp": "2"}).events[0]
    another = read(LOOPS, EVENT, {"webhook-id": "msg_2", "webhook-timestamp": "1"}).events[0]
    assert first.dedup_key == again.dedup_key != another.dedup_key
