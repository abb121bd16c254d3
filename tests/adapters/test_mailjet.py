"""Mailjet: one event or many, ids of 64 bits, bounces that are not for good, and the Parse API."""

import json
from typing import Any

import pytest

from adapters.errors import VerificationFailed
from tests.adapters.native_fixtures import (
    AT,
    CATALOG,
    assert_samples_are_signed_and_read,
    native_request,
    read,
    samples_without_types,
)

MAILJET = CATALOG.get("mailjet")


def test_every_sample_verifies_and_becomes_an_event() -> None:
    assert_samples_are_signed_and_read("mailjet")
    assert samples_without_types("mailjet") == {"inbound"}


def test_a_source_needs_credentials_since_nothing_else_proves_a_request() -> None:
    assert MAILJET.secret_names == [("basic_auth", True)]
    with pytest.raises(VerificationFailed):
        MAILJET.verify(native_request("{}"), {"basic_auth": ["user:password"]}, AT)


def clicked(**fields: object) -> dict[str, Any]:
    return {
        "event": "click",
        "time": 1767225600,
        "MessageID": 1,
        "email": "ann@example.net",
        "url": "https://shop.example.com/a",
        "mj_contact_id": 4,
        **fields,
    }


def test_one_event_and_an_array_of_one_are_the_same() -> None:
    alone, grouped = read(MAILJET, clicked()).events[0], read(MAILJET, [clicked()]).events[0]
    assert (alone.data, alone.dedup_key) == (grouped.data, grouped.dedup_key)


def test_ids_keep_all_their_digits() -> None:
    big = 9223372036854775807
    (event,) = read(MAILJET, json.dumps(clicked(MessageID=big))).events
    assert event.data.email_id == str(big)


@pytest.mark.parametrize(
    "difference",
    [
        {"event": "open"},
        {"time": 1767225601},
        {"MessageID": 2},
        {"email": "bob@example.net"},
        {"url": "https://shop.example.com/b"},
        {"ip": "192.0.2.1"},
        {"agent": "curl"},
    ],
    ids=str,
)
def test_events_without_an_id_are_told_apart_by_what_happened(difference: dict[str, object]) -> None:
    one, other = read(MAILJET, [clicked(), clicked(**difference)]).events
    assert one.dedup_key != other.dedup_key


def test_events_and_received_mail_are_recognized() -> None:
    assert MAILJET.recognizes(native_request([clicked()]))
    assert MAILJET.recognizes(
        native_request({"Sender": "a@x", "Recipient": "b@x", "Headers": {"a": "b"}, "Parts": [1]})
    )
    assert not MAILJET.recognizes(native_request({"event": "click", "email": "a@x", "ts_epoch": 1}))
