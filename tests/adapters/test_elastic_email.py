"""Elastic Email: events in the URL of a GET, a probe that looks the same, and a token beside the parameters."""

from urllib.parse import urlencode

import pytest

from adapters.errors import VerificationFailed
from adapters.reader import Reading
from adapters.request import NativeRequest
from tests.adapters.native_fixtures import (
    AT,
    CATALOG,
    RECEIVED_MS,
    assert_samples_are_signed_and_read,
    samples_without_types,
)

ELASTIC_EMAIL = CATALOG.get("elastic_email")
OPENED = {
    "to": "ann@example.net",
    "status": "Opened",
    "date": "1/1/2026 12:00:00 AM",
    "transaction": "t1",
    "messageid": "m1",
}


def got(method: str = "GET", **parameters: str) -> NativeRequest:
    url = f"https://gateway.example.com/api/webhooks/ours?{urlencode(parameters)}"
    return NativeRequest(method=method, url=url, headers={}, body=b"")


def read(request: NativeRequest) -> Reading:
    return ELASTIC_EMAIL.read(request, None, None, RECEIVED_MS)


def test_every_sample_verifies_and_becomes_an_event() -> None:
    assert_samples_are_signed_and_read("elastic_email")
    assert samples_without_types("elastic_email") == {"Delivered"}


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_events_come_in_the_url_whatever_the_method(method: str) -> None:
    request = got(method, token="sesame", **OPENED)
    assert method in ELASTIC_EMAIL.methods
    assert ELASTIC_EMAIL.recognizes(request)
    assert ELASTIC_EMAIL.handshake(request) is None
    (event,) = read(request).events
    assert (event.type, event.data.recipient, event.data.email_id) == ("email.open", "ann@example.net", "m1")


def test_a_form_tells_of_the_same_event_as_the_url() -> None:
    headers = {"content-type": "application/x-www-form-urlencoded"}
    form = NativeRequest(url="https://x.example/?token=t", headers=headers, body=urlencode(OPENED).encode())
    assert read(form).events[0].dedup_key == read(got(**OPENED, token="t")).events[0].dedup_key


@pytest.mark.parametrize("probe", [got(), got(token="sesame"), got("HEAD"), got("HEAD", token="sesame")])
def test_a_probe_of_the_url_is_answered_with_200(probe: NativeRequest) -> None:
    answer = ELASTIC_EMAIL.handshake(probe)
    assert answer is not None
    assert (answer.status, answer.body) == (200, b"")


def test_a_post_without_anything_is_no_probe_and_no_event() -> None:
    assert ELASTIC_EMAIL.handshake(got("POST")) is None
    assert read(got("POST")).events == []


def test_the_token_in_the_url_is_the_only_proof() -> None:
    ELASTIC_EMAIL.verify(got(token="sesame", **OPENED), {"token": ["sesame"]}, AT)
    for refused in (got(**OPENED), got(token="", **OPENED), got(token="sesam", **OPENED)):
        with pytest.raises(VerificationFailed):
            ELASTIC_EMAIL.verify(refused, {"token": ["sesame"]}, AT)
    assert ELASTIC_EMAIL.check_secrets({}) == [("token", "one of token, basic_auth is needed")]
