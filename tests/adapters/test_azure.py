"""Azure Communication Services: Event Grid's two schemas, its handshakes and a secret in the URL."""

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

AZURE = CATALOG.get("azure")
REPORT = "Microsoft.Communication.EmailDeliveryReportReceived"
VALIDATION = [{"eventType": "Microsoft.EventGrid.SubscriptionValidationEvent", "data": {"validationCode": "512d-38b6"}}]


def test_every_sample_verifies_and_becomes_an_event() -> None:
    assert_samples_are_signed_and_read("azure")
    assert samples_without_types("azure") == set()


def test_a_validation_is_echoed_to_those_who_know_the_secret() -> None:
    request = native_request(VALIDATION)
    with pytest.raises(VerificationFailed):
        AZURE.read(request, {"token": ["s3cret"]}, AT, RECEIVED_MS)
    known = NativeRequest(url=f"{request.url}?secret=s3cret", headers=request.headers, body=request.body)
    reading = AZURE.read(known, {"token": ["s3cret"]}, AT, RECEIVED_MS)
    assert reading.answer is not None
    assert (reading.answer.status, reading.answer.body) == (200, b'{"validationResponse":"512d-38b6"}')
    assert (reading.events, reading.ignored) == ([], 1)


def test_the_origin_that_asks_by_options_is_allowed() -> None:
    asking = NativeRequest(method="OPTIONS", headers={"webhook-request-origin": "eventgrid.azure.net"}, body=b"")
    answer = AZURE.handshake(asking)
    assert answer is not None
    assert (answer.status, answer.headers["WebHook-Allowed-Origin"]) == (200, "eventgrid.azure.net")
    assert AZURE.handshake(NativeRequest(method="OPTIONS", headers={}, body=b"")) is None


def report(**changes: object) -> dict[str, Any]:
    data = {"messageId": "m1", "recipient": "ann@example.net", "status": "Delivered", **changes}
    return {"id": "e1", "eventType": REPORT, "eventTime": "2026-01-01T00:00:00Z", "data": data}


def test_a_report_that_comes_again_is_the_same_event() -> None:
    first, again = read(AZURE, [report(), {**report(), "metadataVersion": "2"}]).events
    assert first.dedup_key == again.dedup_key


@pytest.mark.parametrize("change", [{"status": "Bounced"}, {"recipient": "bob@example.net"}, {"messageId": "m2"}])
def test_reports_that_share_an_id_but_differ_are_different(change: dict[str, object]) -> None:
    one, other = read(AZURE, [report(), report(**change)]).events
    assert one.dedup_key != other.dedup_key
