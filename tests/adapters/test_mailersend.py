"""MailerSend: two versions of the payload that nothing names, a signature over the raw body, and inbound routes."""

import hmac
from typing import Any

import pytest

from adapters.errors import VerificationFailed
from tests.adapters.native_fixtures import (
    AT,
    CATALOG,
    RECEIVED_MS,
    assert_samples_are_signed_and_read,
    cases_of,
    native_request,
    read,
    samples_without_types,
)

MAILERSEND = CATALOG.get("mailersend")
CASES = cases_of("mailersend")


def test_every_sample_verifies_and_becomes_an_event() -> None:
    assert_samples_are_signed_and_read("mailersend")
    assert samples_without_types("mailersend") == {
        *("activity.rejected", "activity.spam_complaints", "activity.survey_opened", "activity.survey_submitted"),
        *("webhook.test", "inbound_forward.failed"),
    }


ESCAPED = (
    rb'{"type":"activity.clicked","data":{"id":"1","message_id":"2","meta":{"url":"https:\/\/shop.example.com\/"}}}'
)
SECRETS = {"signing_secret": ["secret"]}


def signature(body: bytes, key: bytes = b"secret") -> str:
    return hmac.new(key, body, "sha256").hexdigest()


def test_the_signature_covers_the_bytes_as_they_were_sent() -> None:
    request = native_request(ESCAPED, {"signature": signature(ESCAPED)})
    MAILERSEND.verify(request, SECRETS, AT)
    unescaped = native_request(ESCAPED.replace(rb"\/", b"/"), {"signature": signature(ESCAPED)})
    with pytest.raises(VerificationFailed):
        MAILERSEND.verify(unescaped, SECRETS, AT)


@pytest.mark.parametrize(
    "given",
    [None, "", "é", signature(ESCAPED)[:-1], signature(ESCAPED, b"other"), "sha256=" + signature(ESCAPED)],
)
def test_a_missing_wrong_or_truncated_signature_is_refused(given: str | None) -> None:
    request = native_request(ESCAPED, {} if given is None else {"signature": given})
    with pytest.raises(VerificationFailed):
        MAILERSEND.verify(request, SECRETS, AT)


def test_the_test_of_a_webhook_is_no_event_whether_it_has_data_or_not() -> None:
    for body in ({"type": "webhook.test", "message": "x"}, {"type": "webhook.test", "data": {"id": "1"}}):
        reading = read(MAILERSEND, body)
        assert (reading.events, reading.quarantined, reading.ignored) == ([], [], 1)


def test_a_state_of_the_mail_is_not_taken_for_the_type_of_the_event() -> None:
    data = {"id": "1", "message_id": "2", "recipient": "ann@example.net", "type": "rejected", "meta": []}
    body = {"type": "activity.hard_bounced", "created_at": "2026-01-01T00:00:00.000000Z", "data": data}
    (event,) = read(MAILERSEND, body).events
    assert (event.type, event.data.provider.event_type) == ("email.bounced", "activity.hard_bounced")


def sent(**fields: object) -> dict[str, Any]:
    data = {"id": "1", "message_id": "2", "recipient": "ann@example.net", "meta": []}
    return {"type": "activity.sent", "created_at": "2026-01-01T00:00:00.000000Z", "data": data, **fields}


def test_an_event_is_the_same_for_every_webhook_and_attempt() -> None:
    first = read(MAILERSEND, sent(webhook_id="a")).events[0]
    again = read(MAILERSEND, sent(webhook_id="b", created_at="2026-01-01T00:00:09.000000Z")).events[0]
    other = read(MAILERSEND, sent(type="activity.delivered")).events[0]
    assert first.dedup_key == again.dedup_key != other.dedup_key


def test_received_mail_counts_once_for_each_address_it_came_to() -> None:
    body = next(case["body"] for name, case in CASES.items() if name.startswith("inbound"))
    reading = MAILERSEND.read(native_request(body), None, None, RECEIVED_MS)
    assert [event.data.recipient for event in reading.events] == ["shop@in.example.com", "help@in.example.com"]
    assert len({event.dedup_key for event in reading.events}) == 2


def test_other_providers_types_are_not_recognized() -> None:
    assert MAILERSEND.recognizes(native_request(sent()))
    assert not MAILERSEND.recognizes(native_request(sent(type="email.sent")))
    assert not MAILERSEND.recognizes(native_request({"type": 1, "data": {}}))
    assert not MAILERSEND.recognizes(native_request([sent()]))


def test_the_digits_of_the_signature_may_be_upper_case() -> None:
    request = native_request(ESCAPED, {"signature": signature(ESCAPED).upper()})
    assert MAILERSEND.verify(request, SECRETS, AT) is None
