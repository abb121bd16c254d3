"""Brevo: times in two units, headers of any form, batches, campaigns, and the one answer that makes it try again."""

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

BREVO = CATALOG.get("brevo")


def test_every_sample_verifies_and_becomes_an_event() -> None:
    assert_samples_are_signed_and_read("brevo")
    assert samples_without_types("brevo") == {
        *("inbound", "sent", "invalid", "clicked", "complaint", "unsubscribe"),
        *("softBounce", "hardBounce", "uniqueOpened", "proxyOpen", "uniqueProxyOpen", "listAddition"),
        *("contactUpdated", "contactDeleted"),
    }


def test_brevo_is_told_to_come_again_by_429_since_it_drops_events_after_anything_else() -> None:
    assert BREVO.busy_status == 429


def test_the_token_that_brevo_sends_is_a_bearer_token() -> None:
    BREVO.verify(NativeRequest(headers={"authorization": "Bearer t0ken"}, body=b"{}"), {"token": ["t0ken"]}, AT)
    with pytest.raises(VerificationFailed):
        BREVO.verify(NativeRequest(headers={"authorization": "t0ken"}, body=b"{}"), {"token": ["t0ken"]}, AT)


def opened(**fields: object) -> dict[str, Any]:
    return {"event": "opened", "email": "ann@example.net", "message-id": "<m1@x>", "ts_epoch": 1767225600250, **fields}


def test_two_webhooks_of_the_account_tell_of_the_same_event() -> None:
    first, again = (read(BREVO, opened(id=webhook)).events[0] for webhook in (1, 2))
    assert first.dedup_key == again.dedup_key


@pytest.mark.parametrize(
    "difference",
    [
        {"event": "click"},
        {"email": "bob@example.net"},
        {"message-id": "<m2@x>"},
        {"ts_epoch": 1767225600251},
        {"link": "https://shop.example.com/"},
        {"reason": "other"},
        {"camp_id": 17},
    ],
    ids=str,
)
def test_events_are_told_apart_by_what_happened(difference: dict[str, object]) -> None:
    one, other = read(BREVO, opened()).events[0], read(BREVO, opened(**difference)).events[0]
    assert one.dedup_key != other.dedup_key


@pytest.mark.parametrize(
    ("custom", "metadata"),
    [
        ('{"order": "1042"}', {"order": "1042"}),
        ('["a"]', {"value": ["a"]}),
        ("order:1042|plan:gold", {"value": "order:1042|plan:gold"}),
        ("{not JSON", {"value": "{not JSON"}),
        ("", {}),
        (None, {}),
    ],
)
def test_the_custom_header_is_kept_whatever_its_form(custom: object, metadata: dict[str, object]) -> None:
    (event,) = read(BREVO, opened(**{"X-Mailin-custom": custom})).events
    assert event.data.metadata == metadata


def test_batches_and_received_mail_are_recognized() -> None:
    assert BREVO.recognizes(native_request([opened()]))
    assert BREVO.recognizes(native_request({"items": [{"Uuid": ["1"], "MessageId": "<m@x>"}]}))
    assert not BREVO.recognizes(native_request({"event": "open", "email": "ann@example.net", "time": 1}))
    assert not BREVO.recognizes(native_request([]))
