"""Mailtrap: batches in JSON and JSON Lines, and the three ways in which its customers may secure the URL."""

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

MAILTRAP = CATALOG.get("mailtrap")
EVENT = {"event": "open", "event_id": "e1", "message_id": "m1", "email": "ann@example.net", "timestamp": 1767225600}


def test_every_sample_verifies_and_becomes_an_event() -> None:
    assert_samples_are_signed_and_read("mailtrap")
    assert samples_without_types("mailtrap") == set()


def test_a_batch_that_is_sent_again_tells_of_the_same_events() -> None:
    (alone,) = read(MAILTRAP, {"events": [EVENT]}).events
    _, again = read(MAILTRAP, {"events": [{**EVENT, "message_id": "m2"}, EVENT]}).events
    assert alone.dedup_key == again.dedup_key


@pytest.mark.parametrize(
    "difference", [{"event": "click"}, {"message_id": "m2"}, {"timestamp": 1767225601}, {"url": "https://a.example/"}]
)
def test_events_that_share_an_id_but_differ_in_substance_are_different(difference: dict[str, object]) -> None:
    one, other = read(MAILTRAP, {"events": [EVENT, {**EVENT, **difference}]}).events
    assert one.dedup_key != other.dedup_key


def test_json_lines_are_recognized_like_a_batch() -> None:
    line = '{"event": "open", "event_id": "e", "message_id": "m", "email": "ann@example.net", "timestamp": 1}\n'
    assert MAILTRAP.recognizes(native_request(line))
    assert MAILTRAP.recognizes(native_request(line * 2))
    assert not MAILTRAP.recognizes(native_request('{"event": "open", "email": "ann@example.net"}'))


@pytest.mark.parametrize("proof", ["signing_secret", "basic_auth", "token"])
def test_one_of_the_three_proofs_suffices_and_a_wrong_one_is_refused(proof: str) -> None:
    secret = "user:password" if proof == "basic_auth" else "a-shared-secret"
    assert MAILTRAP.check_secrets({proof: [secret]}) == []
    signed = MAILTRAP.verification.sign(native_request({"events": []}), None, {proof: secret}, AT)
    assert MAILTRAP.read(signed, {proof: [secret]}, AT, RECEIVED_MS).events == []
    with pytest.raises(VerificationFailed):
        MAILTRAP.verify(signed, {proof: [f"{secret}!"]}, AT)
    with pytest.raises(VerificationFailed):
        MAILTRAP.verify(native_request({"events": []}), {proof: [secret]}, AT)


def test_a_signature_covers_every_byte_of_the_body() -> None:
    signed = MAILTRAP.verification.sign(native_request("{}"), None, {"signing_secret": "key"}, AT)
    assert len(signed.headers["mailtrap-signature"]) == 64
    changed = NativeRequest(url=signed.url, headers=signed.headers, body=signed.body + b"\n")
    with pytest.raises(VerificationFailed):
        MAILTRAP.verify(changed, {"signing_secret": ["key"]}, AT)
