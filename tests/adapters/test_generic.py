"""The gateway's own inbound form."""

import hmac

import pytest

from adapters.errors import VerificationFailed
from adapters.events import BLOCKS, MESSAGE_TYPES
from adapters.shapes import BLOCK_SHAPES
from tests.adapters.native_fixtures import (
    AT,
    CATALOG,
    RECEIVED_MS,
    assert_samples_are_signed_and_read,
    native_request,
    read,
)

GENERIC = CATALOG.get("generic")
SIMPLE = {
    "type": "email.bounced",
    "email_id": "msg-1",
    "recipient": "ann@example.net",
    "timestamp": "2026-01-01T00:00:00Z",
}


def test_every_sample_verifies_and_becomes_an_event() -> None:
    assert_samples_are_signed_and_read("generic")


@pytest.mark.parametrize("event_type", sorted(set(MESSAGE_TYPES) - {"email.replied"}))
def test_every_type_that_a_sender_can_know_is_taken(event_type: str) -> None:
    (event,) = read(GENERIC, {**SIMPLE, "type": event_type}).events
    assert event.type == event_type


EXAMPLES = {
    "class": "soft",
    "smtp_code": 452,
    "enhanced_code": "4.2.2",
    "attempt": 2,
    "next_attempt_at": "2026-01-01T01:00:00.000Z",
    "permanent": False,
    "suppress_recommended": True,
    "first": True,
    "machine": True,
}


@pytest.mark.parametrize("block", BLOCKS)
def test_every_field_of_every_block_is_taken_under_its_unified_name(block: str) -> None:
    given = {field: EXAMPLES.get(field, f"some {field}") for field in BLOCK_SHAPES[block]}
    case = read(GENERIC, {**SIMPLE, "type": "email.bounced", block: given}).events[0]
    data = getattr(case.data, block)
    assert {field: getattr(data, "class_" if field == "class" else field) for field in given} == given


def test_the_signature_is_the_one_that_subscribers_know() -> None:
    request = native_request(SIMPLE)
    digest = hmac.digest(b"a secret as it is shown", request.body, "sha256").hex()
    signed = native_request(SIMPLE, {"x-webhook-signature": digest})
    assert GENERIC.read(signed, {"signing_secret": ["a secret as it is shown"]}, AT, RECEIVED_MS).events
    with pytest.raises(VerificationFailed):
        GENERIC.read(signed, {"signing_secret": ["another"]}, AT, RECEIVED_MS)


def test_a_source_without_a_secret_takes_api_keys_only() -> None:
    assert GENERIC.accepts_api_key
    assert GENERIC.check_secrets({}) == []
    with pytest.raises(VerificationFailed):
        GENERIC.read(native_request(SIMPLE), {}, AT, RECEIVED_MS)
