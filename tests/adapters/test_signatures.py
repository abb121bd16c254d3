"""Published vectors, other people's implementations, and what a provider's signature looks like when we make it."""

import base64
import hashlib
import hmac
import json
import time
from datetime import UTC, datetime
from urllib.parse import parse_qsl, quote, quote_plus

import pytest
import standardwebhooks
import svix.webhooks
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from adapters.errors import VerificationFailed
from adapters.request import NativeRequest
from adapters.signatures import build_scheme
from tests.adapters import ed25519_reference
from tests.adapters.declared_schemes import (
    AT,
    FORM,
    MAILGUN,
    MAILGUN_LEGACY,
    MANDRILL,
    POSTAL,
    SAMPLES,
    SENDGRID,
    STANDARD_WEBHOOKS,
    STANDARD_WEBHOOKS_V1A,
    SVIX,
    decoded,
)


def post(
    body: bytes, headers: dict[str, str] | None = None, url: str = "https://hooks.example.com/in"
) -> NativeRequest:
    return NativeRequest(url=url, headers=headers or {}, body=body)


def hex_hmac(key: bytes, message: bytes, algorithm: str = "sha256") -> str:
    return hmac.new(key, message, algorithm).hexdigest()


# What others have published


def test_the_vector_of_the_standard_webhooks_specification_verifies() -> None:
    headers = {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    request = post(b'{"test": 2432232314}', headers)
    for secret in ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"):
        build_scheme(STANDARD_WEBHOOKS).verify(request, None, [secret], 1614265330 + 299)


def test_the_vector_of_sendgrids_libraries_verifies() -> None:
    event = {
        "email": "hello@world.com",
        "event": "dropped",
        "reason": "Bounced Address",
        "sg_event_id": "ZHJvcC0xMDk5NDkxOS1MUnpYbF9OSFN0T0doUTRrb2ZTbV9BLTA",
        "sg_message_id": "LRzXl_NHStOGhQ4kofSm_A.filterdrecv-p3mdw1-756b745b58-kmzbl-18-5F5FC76C-9.0",
        "smtp-id": "<LRzXl_NHStOGhQ4kofSm_A@ismtpd0039p1iad1.sendgrid.net>",
        "timestamp": 1600112492,
    }
    body = json.dumps([event], separators=(",", ":")).encode() + b"\r\n"
    signature = "MEUCIGHQVtGj+Y3LkG9fLcxf3qfI10QysgDWmMOVmxG0u6ZUAiEAyBiXDWzM+uOe5W0JuG+luQAbPIqHh89M15TluLtEZtM="
    public_key = (
        "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE83T4O/n84iotIvIW4mdBgQ/7dAfSmpqIM8kF9mN1flpVKS3GRqe62gw+2fNN"
        "RaINXvVpiglSI8eNEc6wEA3F+g=="
    )
    headers = {
        "x-twilio-email-event-webhook-signature": signature,
        "x-twilio-email-event-webhook-timestamp": "1600112502",
    }
    build_scheme(SENDGRID).verify(post(body, headers), None, [public_key], AT)
    with pytest.raises(VerificationFailed, match="is this the public key"):
        build_scheme(SENDGRID).verify(post(body.strip(), headers), None, [public_key], AT)


def test_the_first_vectors_of_rfc_8032_hold_for_the_reference_and_for_us() -> None:
    seed = bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")
    public = bytes.fromhex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")
    signature = bytes.fromhex(
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    )
    assert ed25519_reference.public_key(seed) == public
    assert ed25519_reference.sign(seed, b"\x72") == signature
    headers = {"x-mailpace-signature": base64.b64encode(signature).decode()}
    SAMPLES["mailpace"].scheme.verify(post(b"\x72", headers), None, [base64.b64encode(public).decode()], None)


# Other people's implementations


def test_what_standardwebhooks_signs_we_verify_and_the_other_way_round() -> None:
    scheme = build_scheme(STANDARD_WEBHOOKS)
    secret, _ = scheme.generate()
    body, now = '{"event": "é"}', time.time()
    theirs = standardwebhooks.Webhook(secret)
    headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(int(now)),
        "webhook-signature": theirs.sign("msg_1", datetime.fromtimestamp(int(now), UTC), body),
    }
    scheme.verify(post(body.encode(), headers), None, [secret], now)
    ours = scheme.sign(post(body.encode()), None, secret, now)
    assert theirs.verify(ours.body, dict(ours.headers)) == {"event": "é"}


def test_what_svix_signs_we_verify_and_the_other_way_round() -> None:
    scheme = build_scheme(SVIX)
    secret, _ = scheme.generate()
    body, now = '{"event": "é"}', time.time()
    theirs = svix.webhooks.Webhook(secret)
    headers = {
        "svix-id": "msg_1",
        "svix-timestamp": str(int(now)),
        "svix-signature": theirs.sign("msg_1", datetime.fromtimestamp(int(now), UTC), body),
    }
    scheme.verify(post(body.encode(), headers), None, [secret], now)
    ours = scheme.sign(post(body.encode()), None, secret, now)
    theirs.verify(ours.body, dict(ours.headers))
    with pytest.raises(svix.webhooks.WebhookVerificationError):
        theirs.verify(ours.body + b" ", dict(ours.headers))


def test_a_v1a_signature_made_by_the_reference_of_ed25519_verifies() -> None:
    seed = hashlib.sha256(b"a seed of our own").digest()
    signature = ed25519_reference.sign(seed, b'msg_1.1790000000.{"event": "open"}')
    headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": "1790000000",
        "webhook-signature": "v1,AAAA v1a," + base64.b64encode(signature).decode(),
    }
    public = "whpk_" + base64.b64encode(ed25519_reference.public_key(seed)).decode()
    scheme = build_scheme(STANDARD_WEBHOOKS_V1A)
    scheme.verify(post(b'{"event": "open"}', headers), None, [public], AT)
    private = "whsk_" + base64.b64encode(seed).decode()
    ours = scheme.sign(post(b'{"event": "open"}', {"webhook-id": "msg_1"}), None, private, AT)
    assert ours.headers["webhook-signature"] == headers["webhook-signature"].removeprefix("v1,AAAA ")


# Each provider's own construction, worked out by hand


def test_mailgun_signs_the_timestamp_and_the_token() -> None:
    signature = hex_hmac(b"key-1", b"1790000000" + b"tok")
    body = {"signature": {"timestamp": "1790000000", "token": "tok", "signature": signature}, "event-data": {}}
    request = post(json.dumps(body).encode())
    assert build_scheme(MAILGUN).verify(request, decoded(request), ["key-1"], AT) == "tok"


def test_mailguns_legacy_form_counts_the_last_of_repeated_fields() -> None:
    signature = hex_hmac(b"key-1", b"1790000000tok")
    own = "token=mine&timestamp=yesterday&signature=me"
    request = post(f"{own}&timestamp=1790000000&token=tok&signature={signature}".encode(), {"content-type": FORM})
    assert build_scheme(MAILGUN_LEGACY).verify(request, decoded(request), ["key-1"], AT) == "tok"


def test_a_repeated_legacy_form_is_signed_without_losing_its_other_fields() -> None:
    scheme = build_scheme({"scheme": "any_of", "schemes": [MAILGUN, MAILGUN_LEGACY]})
    request = post(b"token=mine&token=old&tag=a&tag=b", {"content-type": FORM})
    signed = scheme.sign(request, decoded(request), "key-1", AT)
    assert scheme.verify(signed, decoded(signed), ["key-1"], AT)
    assert [pair for pair in parse_qsl(signed.body.decode()) if pair[0] == "tag"] == [("tag", "a"), ("tag", "b")]


def test_mandrill_signs_the_url_with_its_credentials_and_the_sorted_form() -> None:
    url = "https://hooks.example.com/in?x=1"
    message = b"https://user:pass@hooks.example.com/in?x=1" + b"a" + "é".encode() + b"mandrill_events" + b"[1]"
    signature = base64.b64encode(hmac.new(b"secret", message, "sha1").digest()).decode()
    headers = {
        "content-type": FORM,
        "x-mandrill-signature": signature,
        "authorization": "Basic " + base64.b64encode(b"user:pass").decode(),
    }
    request = post(b"mandrill_events=%5B1%5D&a=%C3%A9", headers, url)
    build_scheme(MANDRILL).verify(request, decoded(request), ["secret"], AT)
    in_url = post(request.body, headers, url.replace("//", "//user:pass@"))
    build_scheme(MANDRILL).verify(in_url, decoded(in_url), ["secret"], AT)


def test_the_setup_key_counts_for_the_setup_request_only() -> None:
    scheme = build_scheme(MANDRILL)
    empty = post(b"mandrill_events=%5B%5D", {"content-type": FORM})
    ping = scheme.sign(empty, decoded(empty), "test-webhook", AT)
    scheme.verify(ping, decoded(ping), [], AT)
    batch = post(b"mandrill_events=%5B1%5D", {"content-type": FORM})
    forged = scheme.sign(batch, decoded(batch), "test-webhook", AT)
    with pytest.raises(VerificationFailed):
        scheme.verify(forged, decoded(forged), ["secret"], AT)


def test_unisender_go_puts_the_key_where_the_signature_stands() -> None:
    digest = hashlib.md5(b'{"auth":"api-key","events_by_user":[]}').hexdigest()  # noqa: S324  the provider's choice
    request = post(b'{"auth":"' + digest.encode() + b'","events_by_user":[]}')
    SAMPLES["unisender go"].scheme.verify(request, decoded(request), ["api-key"], None)


def test_dashamail_digests_two_fields_and_the_key() -> None:
    digest = hashlib.md5(b"ann@example.orgm-1key").hexdigest()  # noqa: S324  the provider's choice
    request = post(json.dumps({"email": "ann@example.org", "message_id": "m-1", "secret": digest}).encode())
    SAMPLES["dashamail"].scheme.verify(request, decoded(request), ["key"], None)


@pytest.mark.parametrize(
    "layout", ["t=1790000000,v1={}", "v1={}, t=1790000000", "t=1790000000,v1=00,v1={}", "t=1790000000,v0=00,v1={},x"]
)
def test_the_fields_of_a_signature_header_may_stand_in_any_order(layout: str) -> None:
    signature = hex_hmac(b"secret", b"1790000000.{}")
    request = post(b"{}", {"x-lettermint-signature": layout.format(signature)})
    SAMPLES["lettermint"].scheme.verify(request, None, ["secret"], AT)


@pytest.mark.parametrize("encode_all", [False, True])
def test_zeptomails_header_may_be_url_encoded_as_a_whole(encode_all: bool) -> None:
    signature = base64.b64encode(hmac.new(b"secret", b"{}", "sha256").digest()).decode().replace("=", "%3D")
    header = f"ts=1790000000000;s={signature.replace('+', '%2B')};s-algorithm=HmacSHA256"
    if encode_all:
        header = header.replace("=", "%3D").replace(";", "%3B")
    SAMPLES["zeptomail"].scheme.verify(post(b"{}", {"producer-signature": header}), None, ["secret"], AT)


def test_a_body_that_was_url_encoded_after_it_was_signed_is_verified_as_it_was_before() -> None:
    scheme = build_scheme({"scheme": "hmac", "signed": ["url_decoded_body"], "signature": {"header": "x-signature"}})
    signed = b'{"subject": "50 % = half, caf\xc3\xa9 + t\xc3\xa9"}'
    headers = {"x-signature": base64.b64encode(hmac.new(b"secret", signed, "sha256").digest()).decode()}
    for encode in (quote, quote_plus):
        scheme.verify(post(encode(signed).encode(), headers), None, ["secret"], AT)
    as_a_form = quote(signed, safe="=").encode()
    for other in (signed, quote(signed + b" ").encode(), as_a_form, b""):
        with pytest.raises(VerificationFailed):
            scheme.verify(post(other, headers), None, ["secret"], AT)


def test_postals_two_signatures_are_alternatives() -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505  the size of a DKIM key
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    bare = "".join(public.decode().splitlines()[1:-1])
    old = base64.b64encode(key.sign(b"{}", padding.PKCS1v15(), hashes.SHA1())).decode()  # noqa: S303  Postal's choice
    new = base64.b64encode(key.sign(b"{}", padding.PKCS1v15(), hashes.SHA256())).decode()
    scheme = build_scheme(POSTAL)
    for secret in (public.decode(), public.decode().replace("\n", "\\n"), bare, f"v=DKIM1; t=s; h=sha256; p={bare};"):
        scheme.check_secret(secret)
        scheme.verify(post(b"{}", {"x-postal-signature": old}), None, [secret], None)
        scheme.verify(post(b"{}", {"x-postal-signature": old, "x-postal-signature-256": new}), None, [secret], None)
        with pytest.raises(VerificationFailed, match="does not match"):
            scheme.verify(post(b"{}", {"x-postal-signature": new}), None, [secret], None)
