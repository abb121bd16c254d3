"""Unisender Go: a signature that stands in the body it covers, batches and single events."""

import hashlib
import json
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

UNISENDER = CATALOG.get("unisender_go")
KEY = "5k6rnq8ijwpf6sx4y4i1"
DATA = {"job_id": "j1", "email": "ann@example.net", "status": "sent", "event_time": "2026-01-01 00:05:00"}
BATCH = {
    "events_by_user": [{"user_id": 1, "events": [{"event_name": "transactional_email_status", "event_data": DATA}]}]
}
SINGLE = {"event_name": "transactional_email_status", **DATA}


def test_every_sample_verifies_and_becomes_an_event() -> None:
    assert_samples_are_signed_and_read("unisender_go")
    assert samples_without_types("unisender_go") == set()


def signed(content: dict[str, Any]) -> str:
    """The body as Unisender makes it: without blanks, the digest of it with the key put in the key's place."""
    with_key = json.dumps({"auth": KEY, **content}, separators=(",", ":"))
    return with_key.replace(KEY, hashlib.md5(with_key.encode()).hexdigest(), 1)  # noqa: S324  what Unisender uses


@pytest.mark.parametrize("content", [BATCH, SINGLE], ids=["batch", "single"])
def test_both_shapes_verify_and_are_recognized(content: dict[str, Any]) -> None:
    request = native_request(signed(content))
    assert len(UNISENDER.read(request, {"signing_secret": [KEY]}, AT, RECEIVED_MS).events) == 1
    assert CATALOG.recognize(request) == [UNISENDER]


@pytest.mark.parametrize("change", [("ann@", "eve@"), ('"sent"', '"spam"'), ("00:05", "00:06")])
def test_a_changed_body_is_refused(change: tuple[str, str]) -> None:
    with pytest.raises(VerificationFailed):
        UNISENDER.verify(native_request(signed(BATCH).replace(*change)), {"signing_secret": [KEY]}, AT)


@pytest.mark.parametrize("auth", [None, "", KEY, "0" * 32, 5, ["x"]], ids=str)
def test_a_wrong_digest_is_refused(auth: object) -> None:
    with pytest.raises(VerificationFailed):
        UNISENDER.verify(native_request({"auth": auth, **BATCH}), {"signing_secret": [KEY]}, AT)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_the_call_that_sets_a_webhook_up_is_answered(method: str) -> None:
    answer = UNISENDER.handshake(NativeRequest(method=method, headers={}, body=b""))
    assert answer is not None
    assert (answer.status, answer.body) == (200, b"")


def test_the_two_shapes_of_one_event_are_one_event() -> None:
    assert read(UNISENDER, BATCH).events[0].dedup_key == read(UNISENDER, SINGLE).events[0].dedup_key
