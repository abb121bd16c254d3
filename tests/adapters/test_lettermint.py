"""Lettermint: a time and a signature in one header, the time once more in another."""

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

LETTERMINT = CATALOG.get("lettermint")
SECRET = "whsec_Zm9yLXRlc3Rz"
EVENT: dict[str, Any] = {
    "id": "d1",
    "event": "message.opened",
    "timestamp": "2026-01-01T00:00:00Z",
    "data": {"message_id": "m1", "recipient": "ann@example.net"},
}


def test_every_sample_verifies_and_becomes_an_event() -> None:
    assert_samples_are_signed_and_read("lettermint")
    assert samples_without_types("lettermint") == {"webhook.test"}


def signed(**headers: str) -> NativeRequest:
    request = LETTERMINT.verification.sign(native_request(EVENT), None, {"signing_secret": SECRET}, AT)
    return NativeRequest(url=request.url, headers={**request.headers, **headers}, body=request.body)


def test_the_key_is_the_whole_secret() -> None:
    signature = hmac.new(SECRET.encode(), b"%d." % AT + signed().body, "sha256").hexdigest()
    assert signed().headers["x-lettermint-signature"] == f"t={AT:.0f},v1={signature}"
    assert len(LETTERMINT.read(signed(), {"signing_secret": [SECRET]}, AT, RECEIVED_MS).events) == 1
    with pytest.raises(VerificationFailed):
        LETTERMINT.verify(signed(), {"signing_secret": [SECRET.removeprefix("whsec_")]}, AT)


def test_the_delivery_header_must_say_the_same_time() -> None:
    secrets = {"signing_secret": [SECRET]}
    assert signed().headers["x-lettermint-delivery"] == f"{AT:.0f}"
    with pytest.raises(VerificationFailed, match="two different times"):
        LETTERMINT.verify(signed(**{"x-lettermint-delivery": f"{AT + 1:.0f}"}), secrets, AT)


def test_a_request_may_be_five_minutes_off() -> None:
    secrets = {"signing_secret": [SECRET]}
    for off_s in (-300, 300):
        LETTERMINT.verify(signed(), secrets, AT + off_s)
    for off_s in (-301, 301):
        with pytest.raises(VerificationFailed):
            LETTERMINT.verify(signed(), secrets, AT + off_s)


@pytest.mark.parametrize("header", ["", "t=,v1=", "v1=00", f"t={AT:.0f}", "t=now,v1=é", "nothing"])
def test_a_signature_header_without_its_fields_is_refused(header: str) -> None:
    with pytest.raises(VerificationFailed):
        LETTERMINT.verify(signed(**{"x-lettermint-signature": header}), {"signing_secret": [SECRET]}, AT)


def test_an_event_under_another_delivery_id_is_the_same_event() -> None:
    one, again = read(LETTERMINT, EVENT).events[0], read(LETTERMINT, {**EVENT, "id": "d2"}).events[0]
    assert one.dedup_key == again.dedup_key


@pytest.mark.parametrize("difference", [{"recipient": "bob@example.net"}, {"message_id": "m2"}, {"user_agent": "x"}])
def test_events_that_differ_in_substance_are_different(difference: dict[str, str]) -> None:
    other = {**EVENT, "data": {**EVENT["data"], **difference}}
    assert read(LETTERMINT, EVENT).events[0].dedup_key != read(LETTERMINT, other).events[0].dedup_key
