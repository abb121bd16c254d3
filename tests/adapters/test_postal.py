"""Postal: two signatures of one request, an envelope that some leave off, and mail that comes in."""

import pytest

from adapters.errors import VerificationFailed
from adapters.request import NativeRequest
from adapters.signatures import build_scheme
from tests.adapters.native_fixtures import (
    AT,
    CATALOG,
    assert_samples_are_signed_and_read,
    native_request,
    read,
    samples_without_types,
)

POSTAL = CATALOG.get("postal")
SHA1 = {
    "scheme": "rsa",
    "algorithm": "sha1",
    "signed": ["raw_body"],
    "signature": {"header": "x-postal-signature"},
}


def test_every_sample_verifies_and_becomes_an_event() -> None:
    assert_samples_are_signed_and_read("postal")
    assert samples_without_types("postal") == {"DomainDNSError"}


def signed_both_ways() -> tuple[NativeRequest, dict[str, list[str]]]:
    stored, signing = POSTAL.generate_secrets()
    request = POSTAL.verification.sign(native_request('{"event": "MessageSent"}'), None, signing, AT)
    both = build_scheme(SHA1).sign(request, None, signing["public_key"], AT)
    return both, {name: [key] for name, key in stored.items()}


def without(request: NativeRequest, header: str) -> NativeRequest:
    headers = {name: value for name, value in request.headers.items() if name != header}
    return NativeRequest(url=request.url, headers=headers, body=request.body)


def test_either_signature_proves_the_request() -> None:
    both, secrets = signed_both_ways()
    POSTAL.verify(both, secrets, AT)
    POSTAL.verify(without(both, "x-postal-signature"), secrets, AT)
    POSTAL.verify(without(both, "x-postal-signature-256"), secrets, AT)


def test_a_signature_under_the_name_of_the_other_is_refused() -> None:
    both, secrets = signed_both_ways()
    of_256 = both.headers["x-postal-signature-256"]
    swapped = NativeRequest(url=both.url, headers={"x-postal-signature": of_256}, body=both.body)
    with pytest.raises(VerificationFailed):
        POSTAL.verify(swapped, secrets, AT)


def test_a_changed_body_a_missing_signature_and_the_key_of_another_installation_are_refused() -> None:
    both, secrets = signed_both_ways()
    other_key, _ = POSTAL.generate_secrets()
    changed = NativeRequest(url=both.url, headers=both.headers, body=both.body + b" ")
    unsigned = without(without(both, "x-postal-signature"), "x-postal-signature-256")
    for request, keys in ((changed, secrets), (unsigned, secrets), (both, {"public_key": [other_key["public_key"]]})):
        with pytest.raises(VerificationFailed):
            POSTAL.verify(request, keys, AT)


def test_another_attempt_at_the_same_webhook_tells_of_the_same_event() -> None:
    message = {"id": 1, "to": "ann@example.net", "direction": "outgoing"}
    body = {"event": "MessageLoaded", "timestamp": 1767225600.5, "uuid": "u1", "payload": {"message": message}}
    first = read(POSTAL, body, {"x-postal-signature": "a"}).events[0]
    again = read(POSTAL, body, {"x-postal-signature": "b"}).events[0]
    another = read(POSTAL, {**body, "uuid": "u2"}).events[0]
    assert first.dedup_key == again.dedup_key != another.dedup_key
