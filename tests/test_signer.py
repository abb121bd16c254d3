import base64
import hashlib
import hmac
import json
import os
import shutil
import subprocess
import time

import pytest
import standardwebhooks
import svix
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from app import __version__
from app.signer import Signer, check_secret, generate_key_pair, generate_secret, public_key_of

BODY = '{"id":"evt_01K","type":"email.bounced","data":{"subject":"Grüße"}}'.encode()
OTHER_BODY = BODY + b" "

VERIFY_IN_NODE = """
const crypto = require('crypto'), {secret, body, headers} = JSON.parse(require('fs').readFileSync(0));
const raw = Buffer.from(body, 'base64');
const plain = crypto.createHmac('sha256', secret).update(raw).digest('hex');
const key = Buffer.from(secret.slice('whsec_'.length), 'base64');
const signed = Buffer.concat([Buffer.from(`${headers['webhook-id']}.${headers['webhook-timestamp']}.`), raw]);
const standard = 'v1,' + crypto.createHmac('sha256', key).update(signed).digest('base64');
console.log(plain === headers['X-Webhook-Signature'] && standard === headers['webhook-signature']);
"""


def sign(signer: Signer, *, body: bytes = BODY, attempt: int = 1, unix_s: int | None = None) -> dict[str, str]:
    now = int(time.time()) if unix_s is None else unix_s
    return signer.headers(webhook_id="evt_01K", event_type="email.bounced", body=body, attempt=attempt, unix_s=now)


def test_a_delivery_carries_exactly_the_headers_of_the_contract() -> None:
    headers = sign(Signer(["a-secret-of-the-user"]), attempt=3, unix_s=1_772_000_000)
    plain = hmac.new(b"a-secret-of-the-user", BODY, hashlib.sha256).hexdigest()
    standard = hmac.digest(b"a-secret-of-the-user", b"evt_01K.1772000000." + BODY, "sha256")
    assert headers == {
        "Content-Type": "application/json",
        "User-Agent": f"Mailweir/{__version__}",
        "X-Webhook-Event": "email.bounced",
        "X-Webhook-Attempt": "3",
        "X-Webhook-Signature": plain,
        "webhook-id": "evt_01K",
        "webhook-timestamp": "1772000000",
        "webhook-signature": "v1," + base64.b64encode(standard).decode(),
    }


def test_the_plain_signature_is_keyed_with_the_text_of_the_secret_prefix_included() -> None:
    secret = generate_secret()
    expected = hmac.new(secret.encode(), BODY, hashlib.sha256).hexdigest()
    assert sign(Signer([secret]))["X-Webhook-Signature"] == expected


@pytest.mark.parametrize("library", [standardwebhooks.Webhook, svix.Webhook])
def test_independent_libraries_verify_a_generated_secret(library: type[standardwebhooks.Webhook]) -> None:
    secret = generate_secret()
    library(secret).verify(BODY, sign(Signer([secret])))


@pytest.mark.parametrize("library", [standardwebhooks.Webhook, svix.Webhook])
def test_independent_libraries_verify_a_chosen_secret_given_as_bytes(library: type[standardwebhooks.Webhook]) -> None:
    library(b"a-secret-of-the-user").verify(BODY, sign(Signer(["a-secret-of-the-user"])))


@pytest.mark.parametrize(
    ("library", "error"),
    [
        (standardwebhooks.Webhook, standardwebhooks.WebhookVerificationError),
        (svix.Webhook, svix.WebhookVerificationError),
    ],
)
def test_independent_libraries_refuse_another_body_secret_or_time(
    library: type[standardwebhooks.Webhook], error: type[Exception]
) -> None:
    secret, signed = generate_secret(), int(time.time())
    signer = Signer([secret])
    with pytest.raises(error):
        library(secret).verify(OTHER_BODY, sign(signer))
    with pytest.raises(error):
        library(generate_secret()).verify(BODY, sign(signer))
    with pytest.raises(error):
        library(secret).verify(BODY, sign(signer, unix_s=signed) | {"webhook-timestamp": str(signed + 1)})


def test_during_a_rotation_the_old_and_the_new_secret_both_verify() -> None:
    new, old = generate_secret(), generate_secret()
    headers = sign(Signer([new, old]))
    assert headers["webhook-signature"].count("v1,") == 2
    standardwebhooks.Webhook(new).verify(BODY, headers)
    svix.Webhook(old).verify(BODY, headers)
    assert headers["X-Webhook-Signature"] == hmac.new(new.encode(), BODY, hashlib.sha256).hexdigest()


def test_an_old_secret_signs_until_its_end() -> None:
    new, old, older = (generate_secret() for _ in range(3))
    signer = Signer([new, old, older], ends_at_s=[1_772_000_010.5, 1_772_000_005])
    counts = [sign(signer, unix_s=1_772_000_000 + s)["webhook-signature"].count("v1,") for s in (0, 4, 5, 10, 11, 99)]
    assert counts == [3, 3, 2, 2, 1, 1]
    signed = sign(signer)
    standardwebhooks.Webhook(new).verify(BODY, signed)
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        standardwebhooks.Webhook(old).verify(BODY, signed)


def test_an_old_secret_without_an_end_signs_on() -> None:
    signer = Signer([generate_secret(), generate_secret(), generate_secret()], ends_at_s=[1.0])
    assert sign(signer)["webhook-signature"].count("v1,") == 2


def test_every_attempt_is_signed_anew_under_the_same_id() -> None:
    signer = Signer([generate_secret()])
    first, second = sign(signer, unix_s=1_772_000_000), sign(signer, attempt=2, unix_s=1_772_000_005)
    assert first["webhook-id"] == second["webhook-id"]
    assert first["webhook-signature"] != second["webhook-signature"]
    assert first["X-Webhook-Signature"] == second["X-Webhook-Signature"]


def test_node_computes_the_same_signatures() -> None:
    node = shutil.which("node")
    if node is None:
        if os.environ.get("CI") == "true":
            pytest.fail("CI must have node to check the signatures with")
        pytest.skip("node is not installed")
    secret = generate_secret()
    question = {"secret": secret, "body": base64.b64encode(BODY).decode(), "headers": sign(Signer([secret]))}
    answer = subprocess.run(
        [node, "-e", VERIFY_IN_NODE], input=json.dumps(question), capture_output=True, text=True, check=True, timeout=60
    )
    assert answer.stdout.strip() == "true"


def ed25519_verify(public_key: str, headers: dict[str, str], body: bytes) -> None:
    version, _, signature = headers["webhook-signature"].partition(",")
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    assert version == "v1a"
    key = Ed25519PublicKey.from_public_bytes(base64.b64decode(public_key.removeprefix("whpk_"), validate=True))
    key.verify(base64.b64decode(signature, validate=True), signed)


def test_a_key_pair_signs_what_its_public_key_verifies() -> None:
    private, public = generate_key_pair()
    signer = Signer([private], "ed25519")
    headers = sign(signer)
    assert signer.public_key == public
    ed25519_verify(public, headers, BODY)
    with pytest.raises(InvalidSignature):
        ed25519_verify(public, headers, OTHER_BODY)
    with pytest.raises(InvalidSignature):
        ed25519_verify(generate_key_pair()[1], headers, BODY)


def test_without_a_shared_secret_there_is_no_plain_signature() -> None:
    headers = sign(Signer([generate_key_pair()[0]], "ed25519"))
    assert "X-Webhook-Signature" not in headers
    assert headers["X-Webhook-Event"] == "email.bounced"


def test_a_private_key_may_be_the_seed_alone() -> None:
    private, public = generate_key_pair()
    seed = base64.b64decode(private.removeprefix("whsk_"))[:32]
    assert public_key_of("whsk_" + base64.b64encode(seed).decode()) == public


def test_the_public_key_is_that_of_the_newest_private_key() -> None:
    (new, new_public), (old, _) = generate_key_pair(), generate_key_pair()
    signer = Signer([new, old], "ed25519")
    assert signer.public_key == new_public
    assert sign(signer)["webhook-signature"].count("v1a,") == 2


@pytest.mark.parametrize(
    "key",
    [
        "",
        "whsk_",
        "whsk_!!!!",
        "whsk_" + base64.b64encode(b"x" * 31).decode(),
        "whsk_" + base64.b64encode(b"x" * 64).decode(),
        pytest.param(generate_secret(), id="a shared secret"),
    ],
)
def test_what_is_not_a_private_key_is_refused(key: str) -> None:
    with pytest.raises(ValueError, match="key"):
        Signer([key], "ed25519")


def test_generated_secrets_are_valid_and_differ() -> None:
    first, second = generate_secret(), generate_secret()
    check_secret(first)
    assert first != second
    assert len(base64.b64decode(first.removeprefix("whsec_"), validate=True)) == 32


@pytest.mark.parametrize(
    "secret",
    [
        "sixteen chars ok",
        "x" * 255,
        "whsec_" + base64.b64encode(b"k" * 24).decode(),
        "whsec_" + base64.b64encode(b"k" * 64).decode(),
        "whsec_" + base64.b64encode(b"k" * 32).decode().rstrip("="),
    ],
)
def test_secrets_of_the_allowed_forms_pass(secret: str) -> None:
    check_secret(secret)
    sign(Signer([secret]))


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "fifteen-charact",
        "x" * 256,
        " sixteen-chars-and",
        "sixteen-chars-and\n",
        "sixteen-chars-Grüße",
        "sixteen\tchars-and",
        "whsec_" + "x" * 41,
        "whsec_not-base64-at-all!!!!!!!!!!!!!",
        "whsec_" + base64.urlsafe_b64encode(b"\xff" * 32).decode(),
        "whsec_" + base64.b64encode(b"k" * 23).decode(),
        "whsec_" + base64.b64encode(b"k" * 65).decode(),
    ],
)
def test_other_secrets_are_refused_with_a_sentence(secret: str) -> None:
    with pytest.raises(ValueError, match=r"\.$"):
        check_secret(secret)


def test_an_endpoint_without_secrets_cannot_be_signed_for() -> None:
    with pytest.raises(ValueError, match="at least one"):
        Signer([])
