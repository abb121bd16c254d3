"""SMTP2GO: forms and JSON, one event for several recipients, and tokens instead of signatures."""

from urllib.parse import urlencode

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

SMTP2GO = CATALOG.get("smtp2go")
EVENT = {"event": "opened", "time": "2026-01-01T00:00:00Z", "email_id": "m1", "rcpt": "ann@example.net", "id": "n1"}
URL = "https://gateway.example.com/api/webhooks/ours"


def test_every_sample_verifies_and_becomes_an_event() -> None:
    assert_samples_are_signed_and_read("smtp2go")
    other_names = {"rejected", "open", "click", "spam_complaint", "unsubscribed", "resubscribed"}
    assert samples_without_types("smtp2go") == other_names


def test_a_form_and_json_of_the_same_event_are_the_same_event() -> None:
    form = {"content-type": "application/x-www-form-urlencoded"}
    (by_json,) = read(SMTP2GO, EVENT).events
    (by_form,) = read(SMTP2GO, urlencode({**EVENT, "id": "n2"}), form).events
    assert by_json.dedup_key == by_form.dedup_key


def test_recipients_of_one_message_get_events_of_their_own() -> None:
    body = {**EVENT, "event": "processed", "rcpt": "", "recipients": ["ann@example.net", "bob@example.net"]}
    ann, bob = read(SMTP2GO, body).events
    assert [ann.data.recipient, bob.data.recipient] == ["ann@example.net", "bob@example.net"]
    assert ann.dedup_key != bob.dedup_key


@pytest.mark.parametrize(
    ("url", "headers"),
    [(URL, {"authorization": "Bearer sesame"}), (URL, {"authorization": "bearer sesame"}), (f"{URL}?token=sesame", {})],
)
def test_a_token_may_stand_in_the_header_or_in_the_url(url: str, headers: dict[str, str]) -> None:
    SMTP2GO.verify(NativeRequest(url=url, headers=headers, body=b"{}"), {"token": ["sesame"]}, AT)


@pytest.mark.parametrize(
    ("url", "headers"),
    [
        (URL, {}),
        (URL, {"authorization": "Bearer"}),
        (URL, {"authorization": "Bearer sesame2"}),
        (URL, {"authorization": "Basic sesame"}),
        (f"{URL}?token=", {}),
        (f"{URL}?token=s%E9same", {}),
        (f"{URL}?key=sesame", {}),
    ],
)
def test_a_missing_or_wrong_token_is_refused(url: str, headers: dict[str, str]) -> None:
    with pytest.raises(VerificationFailed):
        SMTP2GO.verify(NativeRequest(url=url, headers=headers, body=b"{}"), {"token": ["sesame"]}, AT)


def test_credentials_suffice_but_nothing_does_not() -> None:
    request = SMTP2GO.verification.sign(native_request("{}"), None, {"basic_auth": "user:password"}, AT)
    SMTP2GO.verify(request, {"basic_auth": ["user:password"]}, AT)
    assert SMTP2GO.check_secrets({}) == [("token", "one of token, basic_auth is needed")]
