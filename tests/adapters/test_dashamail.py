"""DashaMail: flat fields, as a form or as JSON, and a digest of three of them."""

import hashlib
from urllib.parse import urlencode

import pytest

from adapters.errors import VerificationFailed
from tests.adapters.native_fixtures import (
    AT,
    CATALOG,
    RECEIVED_MS,
    assert_samples_are_signed_and_read,
    native_request,
    read,
    samples_without_types,
)

DASHAMAIL = CATALOG.get("dashamail")
KEY = "key-7f3a"
DIGEST = hashlib.md5(b"ann@example.netm1" + KEY.encode()).hexdigest()  # noqa: S324  what DashaMail uses
OPENED = {
    "event": "opened",
    "email": "ann@example.net",
    "message_id": "m1",
    "event_time": "2026-01-01 00:05:00",
    "secret": DIGEST,
}
FORM = {"content-type": "application/x-www-form-urlencoded"}


def test_every_sample_verifies_and_becomes_an_event() -> None:
    assert_samples_are_signed_and_read("dashamail")
    assert samples_without_types("dashamail") == set()


def test_json_and_form_verify_alike() -> None:
    for request in (native_request(OPENED), native_request(urlencode(OPENED), FORM)):
        reading = DASHAMAIL.read(request, {"signing_secret": [KEY]}, AT, RECEIVED_MS)
        assert [event.type for event in reading.events] == ["email.open"]
        assert CATALOG.recognize(request) == [DASHAMAIL]


@pytest.mark.parametrize(
    "change",
    [{"email": "eve@example.net"}, {"message_id": "m2"}, {"secret": ""}, {"secret": "0" * 32}, {"secret": None}],
    ids=str,
)
def test_a_wrong_digest_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(VerificationFailed):
        DASHAMAIL.verify(native_request({**OPENED, **change}), {"signing_secret": [KEY]}, AT)


def test_events_of_one_message_share_the_digest_and_differ_by_substance() -> None:
    first = read(DASHAMAIL, OPENED).events[0]
    assert read(DASHAMAIL, dict(reversed(OPENED.items()))).events[0].dedup_key == first.dedup_key
    for change in ({"event": "clicked"}, {"event_time": "2026-01-01 00:06:00"}):
        assert read(DASHAMAIL, {**OPENED, **change}).events[0].dedup_key != first.dedup_key
