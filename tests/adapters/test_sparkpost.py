"""SparkPost: batches of wrapped events, bounce classes, pings, and inbound mail that has no id."""

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

SPARKPOST = CATALOG.get("sparkpost")


def test_every_sample_verifies_and_becomes_an_event() -> None:
    assert_samples_are_signed_and_read("sparkpost")
    assert samples_without_types("sparkpost") == {
        *("amp_open", "amp_initial_open", "amp_click"),
        *("success", "error", "sms_status"),
    }


def test_the_batch_is_read_in_its_order() -> None:
    request = SPARKPOST.sample_request(
        ["injection", "bounce", "click"],
        signing={"basic_auth": "user:password"},
        url="https://gateway.example.com/",
        at=AT,
        recipient="ann@example.net",
        unique=iter("abcd").__next__,
    )
    reading = SPARKPOST.read(request, {"basic_auth": ["user:password"]}, AT, RECEIVED_MS)
    assert [event.type for event in reading.events] == ["email.accepted", "email.bounced", "email.click"]
    assert [event.index for event in reading.events] == [0, 1, 2]


@pytest.mark.parametrize("header", ["x-messagesystems-webhook-token", "x-webhook-token"])
def test_a_token_may_stand_in_several_headers(header: str) -> None:
    request = NativeRequest(headers={header: "t0ken"}, body=b"[]")
    SPARKPOST.verify(request, {"token": ["t0ken"]}, AT)
    with pytest.raises(VerificationFailed):
        SPARKPOST.verify(request, {"token": ["t0ken2"]}, AT)


def event(**fields: object) -> dict[str, Any]:
    return {"msys": {"track_event": {"type": "click", "event_id": "1", "rcpt_to": "a@example.net", **fields}}}


def test_an_event_that_is_sent_again_is_the_same_event() -> None:
    first, again = read(SPARKPOST, [event(timestamp="1767225600"), event(timestamp="1767225600")]).events
    assert first.dedup_key == again.dedup_key


def test_the_samples_of_the_documentation_share_an_id_and_are_different_events() -> None:
    keys = {each.dedup_key for each in read(SPARKPOST, [event(), event(type="open"), event(timestamp="1")]).events}
    assert len(keys) == 3


def test_an_event_without_a_time_happened_when_it_arrived() -> None:
    assert read(SPARKPOST, [event()]).events[0].timestamp_ms == RECEIVED_MS


def inbound(**content: object) -> dict[str, Any]:
    headers = [{"Message-ID": "<q1@mail.example.net>"}]
    content = {"headers": headers, "email_rfc822": "Subject: a\r\n\r\nb", **content}
    return {"msys": {"relay_message": {"rcpt_to": "shop@example.com", "webhook_id": "1", "content": content}}}


def test_received_mail_is_told_apart_by_its_content() -> None:
    batch = [inbound(), inbound(), inbound(headers=[]), inbound(email_rfc822="Subject: a\r\n\r\nc")]
    first, again, *others = [each.dedup_key for each in read(SPARKPOST, batch).events]
    assert first == again
    assert len({first, *others}) == 3


def test_pings_are_recognized_and_other_lists_are_not() -> None:
    assert SPARKPOST.recognizes(native_request([{"msys": {}}]))
    assert not SPARKPOST.recognizes(native_request([]))
    assert not SPARKPOST.recognizes(native_request([{"event": "open"}]))
