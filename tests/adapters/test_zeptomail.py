"""ZeptoMail: a signature of the body alone, and the same JSON in several wrappings."""

import json
from typing import Any
from urllib.parse import quote, quote_plus, urlencode

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

ZEPTOMAIL = CATALOG.get("zeptomail")
FORM = "application/x-www-form-urlencoded"
EVENT: dict[str, Any] = {
    "event_name": ["email_open"],
    "event_message": [
        {
            "request_id": "r1",
            "email_info": {"to": [{"email_address": {"address": "ann@example.net"}}], "subject": "50 % off + more"},
            "event_data": [{"details": [{"time": "2026-01-01T00:00:00Z", "ip_address": "192.0.2.80"}]}],
        }
    ],
    "webhook_request_id": "w1",
}


def test_every_sample_verifies_and_becomes_an_event() -> None:
    assert_samples_are_signed_and_read("zeptomail")
    other_spellings = {"email_delivered", "hard bounce", "soft bounce", "email open", "email link click"}
    assert samples_without_types("zeptomail") == other_spellings | {"feedback_loop", "feedback loop"}


def signed() -> NativeRequest:
    body = native_request(EVENT)
    return ZEPTOMAIL.verification.sign(body, ZEPTOMAIL.decode(body), {"signing_secret": "key"}, AT)


def rewrapped(request: NativeRequest, body: str) -> NativeRequest:
    return NativeRequest(url=request.url, headers={**request.headers, "content-type": FORM}, body=body.encode())


def test_the_header_says_when_but_only_the_body_is_signed() -> None:
    request = signed()
    assert request.headers["producer-signature"].startswith(f"ts={int(AT * 1000)};s=")
    ZEPTOMAIL.verify(request, {"signing_secret": ["key"]}, AT + 365 * 86_400)


@pytest.mark.parametrize(
    "wrap",
    [quote, quote_plus, lambda text: urlencode({"event": text}), lambda text: urlencode({"data": text})],
    ids=["percent-encoded", "form-encoded", "in the field event", "in the field data"],
)
def test_json_that_was_wrapped_after_it_was_signed_is_the_same_event(wrap: Any) -> None:
    request = signed()
    wrapped = rewrapped(request, wrap(request.body.decode()))
    reading = ZEPTOMAIL.read(wrapped, {"signing_secret": ["key"]}, AT, RECEIVED_MS)
    assert [event.dedup_key for event in reading.events] == [read(ZEPTOMAIL, EVENT).events[0].dedup_key]
    with pytest.raises(VerificationFailed):
        ZEPTOMAIL.verify(wrapped, {"signing_secret": ["another"]}, AT)


@pytest.mark.parametrize("header", [None, "", "ts=1767225600000", "s=", "ts=1;s=AAAA;s-algorithm=HmacSHA256", "é;s=é"])
def test_a_missing_or_wrong_signature_is_refused(header: str | None) -> None:
    headers = {} if header is None else {"producer-signature": header}
    with pytest.raises(VerificationFailed):
        ZEPTOMAIL.verify(native_request(EVENT, headers), {"signing_secret": ["key"]}, AT)


def test_a_changed_body_is_refused() -> None:
    request = signed()
    for body in (request.body + b" ", quote(request.body + b" ").encode(), urlencode({"event": "{}"}).encode()):
        with pytest.raises(VerificationFailed):
            ZEPTOMAIL.verify(rewrapped(request, body.decode()), {"signing_secret": ["key"]}, AT)


@pytest.mark.parametrize(
    "forge",
    [
        lambda signed, forged: json.dumps({**forged, "event": signed}),
        lambda signed, forged: urlencode({"event": json.dumps(forged), "data": signed}),
        lambda signed, forged: urlencode({"event": signed, "data": json.dumps(forged)}),
        lambda signed, forged: urlencode({"event": signed, **forged}),
    ],
    ids=["beside the signed field", "in another field first", "in another field last", "as fields of the form"],
)
def test_what_stands_beside_the_signed_json_is_not_read(forge: Any) -> None:
    forged = json.loads(json.dumps(EVENT).replace("ann@", "eve@"))
    request = signed()
    posted = rewrapped(request, forge(request.body.decode(), forged))
    reading = ZEPTOMAIL.read(posted, {"signing_secret": ["key"]}, AT, RECEIVED_MS)
    assert {event.data.recipient for event in reading.events} <= {"ann@example.net"}


def test_a_notification_that_is_sent_again_tells_of_the_same_event() -> None:
    again = json.loads(json.dumps(EVENT)) | {"webhook_request_id": "w2"}
    assert read(ZEPTOMAIL, EVENT).events[0].dedup_key == read(ZEPTOMAIL, again).events[0].dedup_key
