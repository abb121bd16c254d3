"""Postmark: types inside a type, no signature but credentials or a token, and what makes two events one."""

from typing import Any

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

POSTMARK = CATALOG.get("postmark")


def test_every_sample_verifies_and_becomes_an_event() -> None:
    assert_samples_are_signed_and_read("postmark")
    assert samples_without_types("postmark") == {"SMTPApiError"}


def at_url(query: str, headers: dict[str, str]) -> NativeRequest:
    return NativeRequest(url=f"https://gateway.example.com/in{query}", headers=headers, body=b"{}")


@pytest.mark.parametrize(
    ("query", "headers"),
    [
        ("", {"x-webhook-token": "t0ken"}),
        ("", {"authorization": "Bearer t0ken"}),
        ("?token=t0ken", {}),
    ],
)
def test_a_token_may_come_in_a_header_of_its_own_as_bearer_or_in_the_url(query: str, headers: dict[str, str]) -> None:
    POSTMARK.verify(at_url(query, headers), {"token": ["t0ken"]}, AT)


@pytest.mark.parametrize(
    ("query", "headers"),
    [
        ("", {}),
        ("", {"x-webhook-token": "other"}),
        ("", {"x-webhook-token": "t0ke"}),
        ("", {"authorization": "Basic dDBrZW4="}),
        ("?token=", {}),
        ("?token=t0k%C3%A9n", {}),
    ],
)
def test_a_missing_or_wrong_token_is_refused(query: str, headers: dict[str, str]) -> None:
    with pytest.raises(VerificationFailed):
        POSTMARK.verify(at_url(query, headers), {"token": ["t0ken"]}, AT)


def test_a_refusal_does_not_make_postmark_give_up() -> None:
    assert POSTMARK.refused_status == 401
    assert POSTMARK.challenge is not None


def click(**fields: object) -> dict[str, Any]:
    return {
        "RecordType": "Click",
        "MessageID": "m1",
        "Recipient": "ann@example.net",
        "ReceivedAt": "2026-01-01T00:00:00Z",
        "OriginalLink": "https://shop.example.com/a",
        "UserAgent": "one",
        **fields,
    }


def test_a_click_that_is_sent_again_is_the_same_event() -> None:
    first, again = (read(POSTMARK, click()).events[0] for _ in range(2))
    assert first.dedup_key == again.dedup_key


@pytest.mark.parametrize(
    "difference",
    [
        {"RecordType": "Open"},
        {"MessageID": "m2"},
        {"Recipient": "bob@example.net"},
        {"ReceivedAt": "2026-01-01T00:00:01Z"},
        {"OriginalLink": "https://shop.example.com/b"},
        {"UserAgent": "two"},
        {"Geo": {"IP": "192.0.2.1"}},
    ],
    ids=str,
)
def test_events_without_an_id_are_told_apart_by_what_happened(difference: dict[str, object]) -> None:
    one, other = read(POSTMARK, click()).events[0], read(POSTMARK, click(**difference)).events[0]
    assert one.dedup_key != other.dedup_key


def test_a_body_that_is_no_event_of_postmark_is_not_recognized() -> None:
    assert not POSTMARK.recognizes(native_request({"event": "open", "MessageID": 1}))
    assert not POSTMARK.recognizes(native_request([click()]))
