"""SendGrid: batches, its two signatures of a request, and Inbound Parse."""

from typing import Any

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

SENDGRID = CATALOG.get("sendgrid")


def test_every_sample_verifies_and_becomes_an_event() -> None:
    assert_samples_are_signed_and_read("sendgrid")
    assert samples_without_types("sendgrid") == {"parse"}


def test_several_types_come_in_one_signed_batch() -> None:
    stored, signing = SENDGRID.generate_secrets()
    request = SENDGRID.sample_request(
        ["processed", "delivered", "open"],
        signing=signing,
        url="https://gateway.example.com/",
        at=AT,
        recipient="ann@example.net",
        unique=iter("abcd").__next__,
    )
    reading = SENDGRID.read(request, {name: [key] for name, key in stored.items()}, AT, RECEIVED_MS)
    assert [event.type for event in reading.events] == ["email.accepted", "email.delivered", "email.open"]
    assert [event.index for event in reading.events] == [0, 1, 2]


def event(**fields: object) -> dict[str, Any]:
    return {"email": "ann@example.net", "timestamp": 1767225600, "event": "open", "sg_message_id": "m1", **fields}


def test_a_retried_event_with_a_new_event_id_is_the_same_event() -> None:
    first, again = read(SENDGRID, [event(sg_event_id="a"), event(sg_event_id="b")]).events
    assert first.dedup_key == again.dedup_key
    assert len(first.dedup_key) == 16


@pytest.mark.parametrize(
    "difference",
    [
        {"event": "click"},
        {"email": "bob@example.net"},
        {"timestamp": 1767225601},
        {"sg_message_id": "m2"},
        {"smtp-id": "<x@y>"},
        {"url": "https://example.com/"},
        {"url_offset": {"index": 1, "type": "html"}},
        {"reason": "550"},
        {"response": "250"},
        {"attempt": "2"},
        {"asm_group_id": 7},
        {"ip": "192.0.2.1"},
        {"useragent": "curl"},
    ],
    ids=str,
)
def test_events_that_share_an_id_but_differ_in_substance_are_different(difference: dict[str, object]) -> None:
    one, other = read(SENDGRID, [event(sg_event_id="a"), event(sg_event_id="a", **difference)]).events
    assert one.dedup_key != other.dedup_key


def test_a_message_id_is_cut_at_its_suffix_and_not_at_its_dots() -> None:
    ids = ["14c5.dfd.64b469.filter0001.16648.0", "a.b.recvd-7f9c-1.0", "plain"]
    reading = read(SENDGRID, [event(sg_message_id=message_id) for message_id in ids])
    assert [each.data.email_id for each in reading.events] == ["14c5.dfd.64b469", "a.b", "plain"]


def test_a_source_with_credentials_and_a_key_needs_both() -> None:
    stored, signing = SENDGRID.generate_secrets()
    secrets = {"public_key": [stored["public_key"]], "basic_auth": ["user:password"]}
    signed = SENDGRID.verification.sign(native_request("[]"), [], signing, AT)
    both = SENDGRID.verification.sign(signed, [], {"basic_auth": "user:password"}, AT)
    only_basic = SENDGRID.verification.sign(native_request("[]"), [], {"basic_auth": "user:password"}, AT)
    SENDGRID.verify(both, secrets, AT)
    for refused in (signed, only_basic):
        with pytest.raises(VerificationFailed):
            SENDGRID.verify(refused, secrets, AT)


def test_a_source_may_have_credentials_alone_but_not_nothing() -> None:
    assert SENDGRID.check_secrets({"basic_auth": ["user:password"]}) == []
    assert SENDGRID.check_secrets({}) == [("public_key", "one of public_key, basic_auth is needed")]
    with pytest.raises(VerificationFailed, match="no secret"):
        SENDGRID.verify(native_request("[]"), {}, AT)
