"""Emailit: signed batches, and the single events of before."""

import hmac
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

EMAILIT = CATALOG.get("emailit")
SECRET = "whsec_Zm9yLXRlc3Rz"


def event(**fields: object) -> dict[str, Any]:
    message = {"id": "em_1", "object": "email", "to": "ann@example.net", "updated_at": "2026-01-01T00:00:00Z", **fields}
    return {"event_id": "evt_1", "type": "email.attempted", "data": {"object": message}}


def test_every_sample_verifies_and_becomes_an_event() -> None:
    assert_samples_are_signed_and_read("emailit")
    assert samples_without_types("emailit") == set()


def test_the_key_is_the_whole_secret_and_the_time_is_signed() -> None:
    signed = EMAILIT.verification.sign(native_request([event()]), None, {"signing_secret": SECRET}, AT)
    content = f"{AT:.0f}.".encode() + signed.body
    assert signed.headers["x-emailit-signature"] == hmac.new(SECRET.encode(), content, "sha256").hexdigest()
    assert len(EMAILIT.read(signed, {"signing_secret": [SECRET]}, AT, RECEIVED_MS).events) == 1
    with pytest.raises(VerificationFailed):
        EMAILIT.verify(signed, {"signing_secret": [SECRET.removeprefix("whsec_")]}, AT)
    with pytest.raises(VerificationFailed, match="old"):
        EMAILIT.verify(signed, {"signing_secret": [SECRET]}, AT + 301)
    for name, text in {"x-emailit-timestamp": f"{AT + 1:.0f}", "x-emailit-signature": "00"}.items():
        changed = NativeRequest(url=signed.url, headers={**signed.headers, name: text}, body=signed.body)
        with pytest.raises(VerificationFailed):
            EMAILIT.verify(changed, {"signing_secret": [SECRET]}, AT)


def test_an_event_is_the_same_alone_and_in_a_batch() -> None:
    (alone,) = read(EMAILIT, event()).events
    _, again = read(EMAILIT, [event(id="em_2"), event()]).events
    assert alone.dedup_key == again.dedup_key
    assert again.index == 1


@pytest.mark.parametrize("difference", [{"id": "em_2"}, {"updated_at": "2026-01-01T00:00:01Z"}, {"smtp_code": 421}])
def test_events_that_share_an_id_but_differ_in_substance_are_different(difference: dict[str, object]) -> None:
    one, other = read(EMAILIT, [event(), event(**difference)]).events
    assert one.dedup_key != other.dedup_key
