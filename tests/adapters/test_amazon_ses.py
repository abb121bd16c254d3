"""Amazon SES: events in the envelopes of SNS, signed or not, and without them."""

from typing import Any

import pytest

from adapters.errors import VerificationFailed
from tests.adapters.native_fixtures import (
    AT,
    CATALOG,
    RECEIVED_MS,
    assert_samples_are_signed_and_read,
    read,
    samples_without_types,
)
from tests.adapters.sns_messages import (
    SUBSCRIBE_URL,
    TOPIC,
    certificate,
    confirmation,
    notification,
    raw_request,
    request_of,
)

SES = CATALOG.get("amazon_ses")
OPTIONS = {"topic_arns": [TOPIC]}


def test_every_sample_verifies_and_becomes_an_event() -> None:
    assert_samples_are_signed_and_read("amazon_ses")
    assert samples_without_types("amazon_ses") == set()


def opened(*destination: str, at: str = "2026-01-01T00:02:00.000Z") -> dict[str, Any]:
    mail = {"messageId": "m1", "timestamp": "2026-01-01T00:00:00.000Z", "destination": list(destination)}
    return {"eventType": "Open", "mail": mail, "open": {"timestamp": at, "ipAddress": "192.0.2.80"}}


def test_a_signed_event_is_read_and_recognized() -> None:
    request = request_of(notification(opened("ann@example.net")))
    assert SES.certificate_url(request, OPTIONS) is not None
    reading = SES.read(request, {}, AT, RECEIVED_MS, options=OPTIONS, certificate=certificate())
    assert [(event.type, event.data.recipient) for event in reading.events] == [("email.open", "ann@example.net")]
    assert [adapter.name for adapter in CATALOG.recognize(request)] == ["amazon_ses"]
    assert [adapter.name for adapter in CATALOG.recognize(raw_request(opened("ann@example.net")))] == ["amazon_ses"]


def test_a_subscription_is_to_be_confirmed_and_its_end_is_not() -> None:
    begin = SES.read(request_of(confirmation()), {}, AT, RECEIVED_MS, options=OPTIONS, certificate=certificate())
    assert begin.answer is not None
    assert (begin.answer.status, begin.answer.confirm, begin.ignored) == (200, SUBSCRIBE_URL, 1)
    end = request_of(confirmation("UnsubscribeConfirmation"))
    ended = SES.read(end, {}, AT, RECEIVED_MS, options=OPTIONS, certificate=certificate())
    assert (ended.answer, ended.ignored, ended.events) == (None, 1, [])


def test_a_certificate_is_needed_only_where_a_signature_is_checked() -> None:
    assert SES.certificate_url(raw_request(opened("ann@example.net")), OPTIONS) is None
    assert SES.certificate_url(request_of(notification(opened("ann@example.net"))), {}) is None
    with pytest.raises(VerificationFailed, match="credentials"):
        SES.read(raw_request(opened("a@b.c")), {"basic_auth": ["user:password"]}, AT, RECEIVED_MS, options=OPTIONS)
    assert SES.challenge is not None


def test_the_same_event_by_two_topics_or_again_is_one_event() -> None:
    body = opened("ann@example.net")
    first = read(SES, notification(body)).events[0]
    again = read(SES, notification(body, MessageId="another", TopicArn=f"{TOPIC}-2")).events[0]
    raw = read(SES, body).events[0]
    assert first.dedup_key == again.dedup_key == raw.dedup_key


@pytest.mark.parametrize(
    "other",
    [
        opened("bob@example.net"),
        opened("ann@example.net", at="2026-01-01T00:03:00.000Z"),
        {**opened("ann@example.net"), "eventType": "Click", "click": {"link": "https://a.example/"}},
        {**opened("ann@example.net"), "mail": {**opened("ann@example.net")["mail"], "messageId": "m2"}},
    ],
    ids=str,
)
def test_events_that_differ_in_substance_are_different(other: dict[str, Any]) -> None:
    one, two = read(SES, opened("ann@example.net")).events[0], read(SES, other).events[0]
    assert one.dedup_key != two.dedup_key


def test_each_recipient_has_an_event_of_its_own() -> None:
    mail = {"messageId": "m1", "timestamp": "2026-01-01T00:00:00.000Z", "destination": ["a@b.c", "d@e.f"]}
    first, second = read(SES, {"eventType": "Send", "mail": mail, "send": {}}).events
    assert (first.data.recipient, second.data.recipient) == ("a@b.c", "d@e.f")
    assert first.dedup_key != second.dedup_key
