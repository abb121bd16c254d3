"""Keys as operators paste them, keys that cannot work, and declarations that are refused."""

import base64
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from adapters.errors import VerificationFailed
from adapters.request import NativeRequest
from adapters.signatures import DeclarationInvalid, build_scheme
from tests.adapters.declared_schemes import AT, MAILGUN, POSTAL, SAMPLES, SENDGRID, STANDARD_WEBHOOKS_V1A, SVIX

PEM, DER = serialization.Encoding.PEM, serialization.Encoding.DER
SPKI, PKCS1 = serialization.PublicFormat.SubjectPublicKeyInfo, serialization.PublicFormat.PKCS1
PKCS8, PLAIN = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()

HMAC_BODY = {"scheme": "hmac", "signed": ["raw_body"], "signature": {"header": "x-signature", "encoding": "hex"}}


def b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def verifies(declaration: dict[str, Any], public: str, private: str) -> None:
    scheme = build_scheme(declaration)
    scheme.check_secret(public)
    request = scheme.sign(NativeRequest(headers={}, body=b"{}"), None, private, AT)
    scheme.verify(request, None, [public], AT)


@pytest.mark.parametrize("name", SAMPLES)
def test_a_generated_secret_is_one_that_a_source_may_store(name: str) -> None:
    stored, signing = SAMPLES[name].scheme.generate()
    SAMPLES[name].scheme.check_secret(stored)
    assert (stored == signing) == (SAMPLES[name].scheme.secret_name != "public_key")


def test_an_ecdsa_key_may_be_pem_or_base64() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    privates = [key.private_bytes(PEM, PKCS8, PLAIN).decode(), b64(key.private_bytes(DER, PKCS8, PLAIN))]
    for public in (key.public_key().public_bytes(PEM, SPKI).decode(), b64(key.public_key().public_bytes(DER, SPKI))):
        for private in privates:
            verifies(SENDGRID, public, private)


def test_an_ed25519_key_may_be_raw_prefixed_pem_or_base64() -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    public, seed = key.public_key(), key.private_bytes_raw()
    raw = public.public_bytes_raw()
    privates = [b64(seed), "whsk_" + b64(seed + raw), key.private_bytes(PEM, PKCS8, PLAIN).decode()]
    for text in (
        b64(raw),
        "whpk_" + b64(raw),
        b64(public.public_bytes(DER, SPKI)),
        public.public_bytes(PEM, SPKI).decode(),
    ):
        for private in privates:
            verifies(STANDARD_WEBHOOKS_V1A, text, private)


def test_an_rsa_key_may_be_spki_or_pkcs1() -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(PEM, PKCS8, PLAIN).decode()
    for form in (SPKI, PKCS1):
        verifies(POSTAL, key.public_key().public_bytes(PEM, form).decode(), private)
        verifies(POSTAL, b64(key.public_key().public_bytes(DER, form)), private)


def other_keys() -> dict[str, str]:
    p384 = ec.generate_private_key(ec.SECP384R1()).public_key()
    p256 = ec.generate_private_key(ec.SECP256R1())
    return {
        "empty": "",
        "words": "my public key",
        "non-ASCII": "é" * 40,
        "base64 of something else": b64(b"x" * 31),
        "another curve": b64(p384.public_bytes(DER, SPKI)),
        "a private key": p256.private_bytes(PEM, PKCS8, PLAIN).decode(),
        "half a key": p256.public_key().public_bytes(PEM, SPKI).decode()[:90],
        "empty armour": "-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----",
    }


OTHER_KEYS = other_keys()


@pytest.mark.parametrize("name", ["sendgrid", "postal", "mailpace", "standard webhooks v1a"])
@pytest.mark.parametrize("key", OTHER_KEYS.values(), ids=OTHER_KEYS)
def test_what_is_no_key_of_the_kind_is_refused_when_a_source_is_made(name: str, key: str) -> None:
    with pytest.raises(ValueError, match="it is not a"):
        SAMPLES[name].scheme.check_secret(key)
    signed = SAMPLES[name].scheme.sign(SAMPLES[name].request(), None, SAMPLES[name].scheme.generate()[1], AT)
    with pytest.raises(VerificationFailed, match="the configured public_key cannot be used"):
        SAMPLES[name].scheme.verify(signed, None, [key], AT)
    with pytest.raises(ValueError, match="it is not a private"):
        SAMPLES[name].scheme.sign(SAMPLES[name].request(), None, key.replace("PRIVATE", "SECRET"), AT)


@pytest.mark.parametrize(
    ("declaration", "secret"),
    [
        (SVIX, ""),
        (SVIX, "whsec_"),
        (SVIX, "whsec_not base64"),
        (SVIX, "whsec_é"),
        (SVIX, " whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
        (HMAC_BODY, ""),
        (HMAC_BODY, "copied with the end of the line\n"),
        (HMAC_BODY | {"key": "hex"}, "xyz"),
        (HMAC_BODY | {"key": "hex"}, ""),
        ({"scheme": "basic"}, "user"),
        ({"scheme": "basic"}, ":password"),
        ({"scheme": "basic"}, "user:"),
        ({"scheme": "token", "query": "t"}, ""),
        ({"scheme": "token", "query": "t"}, "x "),
        ({"scheme": "any_of", "schemes": [SVIX, HMAC_BODY]}, ""),
    ],
)
def test_a_secret_that_cannot_work_is_refused_when_a_source_is_made(declaration: dict[str, Any], secret: str) -> None:
    with pytest.raises(ValueError, match=r"^it "):
        build_scheme(declaration).check_secret(secret)


def test_a_base64_key_works_with_and_without_prefix_and_padding() -> None:
    scheme = build_scheme(SVIX)
    request = scheme.sign(NativeRequest(headers={}, body=b"{}"), None, b64(b"x" * 25), AT)
    for secret in ("whsec_" + b64(b"x" * 25), b64(b"x" * 25).rstrip("=")):
        scheme.verify(request, None, [secret], AT)


def test_upper_case_hex_is_accepted_only_where_declared() -> None:
    request = build_scheme(HMAC_BODY).sign(NativeRequest(headers={}, body=b"{}"), None, "secret", AT)
    upper = NativeRequest(headers={"x-signature": request.headers["x-signature"].upper()}, body=b"{}")
    with pytest.raises(VerificationFailed):
        build_scheme(HMAC_BODY).verify(upper, None, ["secret"], AT)
    build_scheme(HMAC_BODY | {"signature": HMAC_BODY["signature"] | {"case": "any"}}).verify(
        upper, None, ["secret"], AT
    )


def test_basic_credentials_carry_a_challenge_and_nothing_else_does() -> None:
    challenges = {name: sample.scheme.challenge for name, sample in SAMPLES.items() if sample.scheme.challenge}
    assert challenges == {"basic": 'Basic realm="webhooks", charset="UTF-8"'}


def test_the_word_before_a_bearer_token_is_read_in_any_case() -> None:
    scheme = SAMPLES["bearer"].scheme
    scheme.verify(NativeRequest(headers={"authorization": "bearer tok"}, body=b""), None, ["tok"], None)
    with pytest.raises(VerificationFailed, match="Bearer"):
        scheme.verify(NativeRequest(headers={"authorization": "Basic tok"}, body=b""), None, ["tok"], None)


def test_a_request_without_what_the_provider_signs_cannot_be_signed() -> None:
    with pytest.raises(ValueError, match="no text or number at email"):
        SAMPLES["dashamail"].scheme.sign(NativeRequest(headers={}, body=b""), {"message_id": "m-1"}, "secret", AT)


def test_a_signature_that_belongs_into_a_body_without_room_cannot_be_made() -> None:
    for body in (None, [], "text", {"signature": "a text"}):
        with pytest.raises(ValueError, match="belongs into"):
            build_scheme(MAILGUN).sign(NativeRequest(headers={}, body=b""), body, "secret", AT)


@pytest.mark.parametrize(
    ("key", "declaration"),
    [
        ("scheme", {}),
        ("scheme", {"scheme": "hmac2"}),
        ("scheme", {"scheme": ["hmac"]}),
        ("signature", {"scheme": "hmac", "signed": ["raw_body"]}),
        ("signature", HMAC_BODY | {"signature": "x-signature"}),
        ("signature", HMAC_BODY | {"signature": {"encoding": "hex"}}),
        ("signature.header", HMAC_BODY | {"signature": {"header": ""}}),
        ("signature.encoding", HMAC_BODY | {"signature": {"header": "x", "encoding": "base32"}}),
        ("signature.case", HMAC_BODY | {"signature": {"header": "x", "case": "any"}}),
        ("signature.place", HMAC_BODY | {"signature": {"header": "x", "place": "y"}}),
        ("signed", HMAC_BODY | {"signed": []}),
        ("signed", HMAC_BODY | {"signed": "raw_body"}),
        ("signed[0]", HMAC_BODY | {"signed": [3]}),
        ("signed[1]", HMAC_BODY | {"signed": ["raw_body", {"field": "t"}]}),
        ("signed[0].and", HMAC_BODY | {"signed": [{"header": "x", "and": "y"}]}),
        ("algorithm", HMAC_BODY | {"algorithm": "sha3"}),
        ("algorithm", HMAC_BODY | {"algorithm": 256}),
        ("key", HMAC_BODY | {"key": "base58"}),
        ("construction", HMAC_BODY | {"construction": "sum"}),
        ("signed", HMAC_BODY | {"construction": "digest"}),
        ("secret", HMAC_BODY | {"secret": "password"}),
        ("colour", HMAC_BODY | {"colour": "red"}),
        ("timestamp.past_s", HMAC_BODY | {"timestamp": {"header": "x"}}),
        ("timestamp.tolerance_s", HMAC_BODY | {"timestamp": {"header": "x", "tolerance_s": -1}}),
        ("timestamp.tolerance_s", HMAC_BODY | {"timestamp": {"header": "x", "tolerance_s": True}}),
        ("timestamp.unit", HMAC_BODY | {"timestamp": {"header": "x", "tolerance_s": 1, "unit": "min"}}),
        ("once.last", HMAC_BODY | {"once": {"path": "a", "last": "yes"}}),
        ("setup.text", HMAC_BODY | {"setup": {"secret": "a", "path": "b"}}),
        ("signed", SENDGRID | {"signed": ["secret"]}),
        ("algorithm", SENDGRID | {"algorithm": "sha256"}),
        ("schemes", {"scheme": "any_of"}),
        ("schemes", {"scheme": "any_of", "schemes": [HMAC_BODY, {"scheme": "basic"}]}),
        ("schemes[1].algorithm", {"scheme": "any_of", "schemes": [HMAC_BODY, HMAC_BODY | {"algorithm": "x"}]}),
        ("realm", {"scheme": "basic", "realm": "x"}),
        ("", {"scheme": "token"}),
    ],
)
def test_a_declaration_that_is_not_understood_is_refused_with_its_key(key: str, declaration: dict[str, Any]) -> None:
    with pytest.raises(DeclarationInvalid) as caught:
        build_scheme(declaration)
    assert caught.value.key == key
    assert caught.value.message


def test_an_odd_literal_is_written_as_text() -> None:
    scheme = build_scheme(HMAC_BODY | {"signed": [{"text": "raw_body"}]})
    request = scheme.sign(NativeRequest(headers={}, body=b"one"), None, "secret", AT)
    scheme.verify(NativeRequest(headers=request.headers, body=b"another"), None, ["secret"], AT)
