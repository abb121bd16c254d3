"""Mailomat: a signature of three headers that does not cover the body."""

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

MAILOMAT = CATALOG.get("mailomat")
SECRET = "mailomat-test-key"
EVENT: dict[str, Any] = {
    "id": "e1",
    "eventType": "opened",
    "occurredAt": "2026-01-01T01:00:00+01:00",
    "messageUuid": "m1",
    "messageId": "m1@s.example.com",
    "recipient": "ann@example.net",
}


def test_every_sample_verifies_and_becomes_an_event() -> None:
    assert_samples_are_signed_and_read("mailomat")
    assert samples_without_types("mailomat") == set()


def signed(**headers: str) -> NativeRequest:
    request = native_request(EVENT, {"x-mom-webhook-id": "w1", "x-mom-webhook-event": "opened"})
    request = MAILOMAT.verification.sign(request, None, {"signing_secret": SECRET}, AT)
    return NativeRequest(url=request.url, headers={**request.headers, **headers}, body=request.body)


def test_the_signature_covers_id_event_and_time() -> None:
    digest = hmac.new(SECRET.encode(), f"w1.opened.{AT:.0f}".encode(), "sha256").hexdigest()
    assert signed().headers["x-mom-webhook-signature"] == f"sha256={digest}"
    assert len(MAILOMAT.read(signed(), {"signing_secret": [SECRET]}, AT, RECEIVED_MS).events) == 1


@pytest.mark.parametrize("header", ["x-mom-webhook-id", "x-mom-webhook-event", "x-mom-webhook-timestamp"])
def test_a_changed_header_is_refused(header: str) -> None:
    for text in ("", "1"):
        with pytest.raises(VerificationFailed):
            MAILOMAT.verify(signed(**{header: text}), {"signing_secret": [SECRET]}, AT)


@pytest.mark.parametrize("algorithm", ["md5", "sha1", "sha512"])
def test_the_request_does_not_choose_the_algorithm(algorithm: str) -> None:
    digest = hmac.new(SECRET.encode(), f"w1.opened.{AT:.0f}".encode(), algorithm).hexdigest()
    for prefix in (algorithm, "sha256"):
        with pytest.raises(VerificationFailed):
            MAILOMAT.verify(
                signed(**{"x-mom-webhook-signature": f"{prefix}={digest}"}), {"signing_secret": [SECRET]}, AT
            )


def test_a_source_may_ask_for_credentials_in_addition() -> None:
    secrets = {"signing_secret": [SECRET], "basic_auth": ["user:password"]}
    assert MAILOMAT.check_secrets(secrets) == []
    with pytest.raises(VerificationFailed):
        MAILOMAT.verify(signed(), secrets, AT)


@pytest.mark.parametrize("difference", [{"eventType": "clicked"}, {"messageUuid": "m2"}, {"recipient": "b@x.example"}])
def test_events_that_share_an_id_but_differ_in_substance_are_different(difference: dict[str, object]) -> None:
    one, again, other = (read(MAILOMAT, body).events[0] for body in (EVENT, EVENT, {**EVENT, **difference}))
    assert one.dedup_key == again.dedup_key != other.dedup_key
