"""Mailgun: a signature inside the body that covers only a token, JSON, old forms and routes."""

import json
from urllib.parse import urlencode

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

MAILGUN = CATALOG.get("mailgun")
HOUR = 3600


def test_every_sample_verifies_and_becomes_an_event() -> None:
    assert_samples_are_signed_and_read("mailgun")
    assert samples_without_types("mailgun") == {"bounced", "dropped", "route"}


def sample() -> tuple[NativeRequest, dict[str, list[str]]]:
    stored, signing = MAILGUN.generate_secrets()
    request = MAILGUN.sample_request(
        ["delivered"], signing=signing, url="https://x.example/", at=AT, recipient="ann@example.net", unique=str
    )
    return request, {name: [key] for name, key in stored.items()}


def test_the_token_may_be_used_once() -> None:
    request, secrets = sample()
    reading = MAILGUN.read(request, secrets, AT, RECEIVED_MS)
    assert reading.once == json.loads(request.body)["signature"]["token"]
    assert MAILGUN.read(request, None, None, RECEIVED_MS).once is None


def test_retries_of_eight_hours_are_taken_and_older_requests_refused() -> None:
    request, secrets = sample()
    MAILGUN.verify(request, secrets, AT + 8 * HOUR + 60)
    with pytest.raises(VerificationFailed, match="old"):
        MAILGUN.verify(request, secrets, AT + 13 * HOUR)


def test_the_event_of_a_subaccount_may_be_verified_by_the_key_of_the_account_above_it() -> None:
    request, secrets = sample()
    native = json.loads(request.body)
    proof = native["signature"]
    by_the_subaccount = {**proof, "signature": "ab" * 32, "parent-signature": proof["signature"]}
    body = native_request({**native, "signature": by_the_subaccount})
    assert MAILGUN.verify(body, secrets, AT) == proof["token"]
    changed = native_request({**native, "signature": {**by_the_subaccount, "token": "another"}})
    with pytest.raises(VerificationFailed):
        MAILGUN.verify(changed, secrets, AT)


def test_a_refusal_tells_mailgun_to_stop() -> None:
    assert MAILGUN.refused_status == 406


@pytest.mark.parametrize("signature", [None, {}, "text", {"timestamp": 1, "token": "t"}], ids=str)
def test_a_body_without_a_signature_is_refused(signature: object) -> None:
    body = native_request({"signature": signature, "event-data": {"event": "opened"}})
    with pytest.raises(VerificationFailed):
        MAILGUN.read(body, {"signing_secret": ["key"]}, AT, RECEIVED_MS)


def test_a_form_is_verified_by_the_last_of_its_repeated_fields() -> None:
    form = [("event", "opened"), ("recipient", "ann@example.net"), ("timestamp", "noon"), ("token", "theirs")]
    headers = {"content-type": "application/x-www-form-urlencoded"}
    unsigned = native_request(urlencode(form[:2]), headers)
    signed = MAILGUN.verification.sign(unsigned, MAILGUN.decode(unsigned), {"signing_secret": "key"}, AT)
    later = native_request(urlencode(form).encode() + b"&" + signed.body, headers)
    reading = MAILGUN.read(later, {"signing_secret": ["key"]}, AT, RECEIVED_MS)
    assert [event.type for event in reading.events] == ["email.open"]
    assert reading.once == reading.events[0].data.provider.event_id != "theirs"


def test_a_multipart_form_is_read_like_any_other() -> None:
    fields = {
        "event": "clicked",
        "recipient": "ann@example.net",
        "timestamp": "1767225600",
        "url": "https://a.example/",
    }
    parts = "".join(f'--b\r\nContent-Disposition: form-data; name="{k}"\r\n\r\n{v}\r\n' for k, v in fields.items())
    (event,) = read(MAILGUN, f"{parts}--b--\r\n", {"content-type": "multipart/form-data; boundary=b"}).events
    assert event.type == "email.click"
    assert event.data.recipient == "ann@example.net"


def test_the_webhooks_of_domain_and_account_tell_of_the_same_event() -> None:
    data = {"event": "opened", "id": "e1", "timestamp": 1767225600.5, "recipient": "ann@example.net"}
    by_domain = read(MAILGUN, {"signature": {"token": "a"}, "event-data": data}).events[0]
    by_account = read(MAILGUN, {"signature": {"token": "b"}, "event-data": {**data, "account": {"id": "x"}}}).events[0]
    assert by_domain.dedup_key == by_account.dedup_key


def test_a_suppression_code_counts_as_text_too() -> None:
    failed = {"event": "failed", "severity": "permanent", "id": "e1", "timestamp": AT, "recipient": "ann@example.net"}
    body = {"signature": {}, "event-data": failed | {"delivery-status": {"code": "605"}}}
    [event] = read(MAILGUN, body).events
    assert event.type == "email.dropped"
