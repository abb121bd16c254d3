"""Messages as Amazon SNS signs them, with a certificate of our own."""

import base64
import json
from datetime import UTC, datetime
from functools import cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from adapters.request import NativeRequest

TOPIC = "arn:aws:sns:eu-west-1:111122223333:mail-events"
CERTIFICATE_URL = "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-0a1b2c3d.pem"
SUBSCRIBE_URL = f"https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription&TopicArn={TOPIC}&Token=2336412f37"
HASHES = {"1": hashes.SHA1(), "2": hashes.SHA256()}  # noqa: S303  what version 1 is


@cache
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@cache
def certificate(of: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | None = None) -> bytes:
    """A self-signed certificate in PEM: of our own key, unless another is given."""
    signing = of or key()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.amazonaws.com")])
    return (
        x509.CertificateBuilder(
            issuer_name=name,
            subject_name=name,
            public_key=signing.public_key(),
            serial_number=1,
            not_valid_before=datetime(2025, 1, 1, tzinfo=UTC),
            not_valid_after=datetime(2035, 1, 1, tzinfo=UTC),
        )
        .sign(signing, hashes.SHA256())
        .public_bytes(Encoding.PEM)
    )


def notification(event: Any = "{}", **changes: Any) -> dict[str, Any]:
    """A message with an event in it; a change to None leaves the key out."""
    content = {
        "Type": "Notification",
        "MessageId": "0f4b1f4c-6a5e-5d0e-9c3f-3f6d5a1b2c3d",
        "TopicArn": TOPIC,
        "Subject": "Amazon SES Email Event Notification",
        "Message": event if isinstance(event, str) else json.dumps(event),
        "Timestamp": "2026-01-01T00:05:00.123Z",
        "UnsubscribeURL": f"https://sns.eu-west-1.amazonaws.com/?Action=Unsubscribe&SubscriptionArn={TOPIC}:1",
    }
    return signed({**content, **changes})


def confirmation(kind: str = "SubscriptionConfirmation", **changes: Any) -> dict[str, Any]:
    content = {
        "Type": kind,
        "MessageId": "165545c9-2a5c-472c-8df2-7ff2be2b3b1b",
        "Token": "2336412f37",
        "TopicArn": TOPIC,
        "Message": f"You have chosen to subscribe to the topic {TOPIC}.\nTo confirm, visit the SubscribeURL.",
        "SubscribeURL": SUBSCRIBE_URL,
        "Timestamp": "2026-01-01T00:05:00.123Z",
    }
    return signed({**content, **changes})


def signed(message: dict[str, Any]) -> dict[str, Any]:
    """The message with its signature, of the version that it names (by default 1)."""
    message = {"SignatureVersion": "1", "SigningCertURL": CERTIFICATE_URL, **message}
    message = {name: value for name, value in message.items() if value is not None}
    covered = {"Message", "MessageId", "Subject", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"}
    text = "".join(f"{name}\n{message[name]}\n" for name in sorted(covered & message.keys()))
    hash_ = HASHES.get(str(message.get("SignatureVersion")), HASHES["1"])
    signature = key().sign(text.encode(), padding.PKCS1v15(), hash_)
    return {**message, "Signature": base64.b64encode(signature).decode()}


def request_of(message: Any, **headers: str) -> NativeRequest:
    """The POST that brings the message, in the content type that SNS gives to JSON."""
    return NativeRequest(
        url="https://gateway.example.com/api/webhooks/ours",
        headers={"content-type": "text/plain; charset=UTF-8", **{k.replace("_", "-"): v for k, v in headers.items()}},
        body=json.dumps(message).encode(),
    )


def raw_request(event: Any, topic: str = TOPIC, **headers: str) -> NativeRequest:
    """The event without an envelope, and without a signature: raw message delivery."""
    return request_of(event, **{"x-amz-sns-rawdelivery": "true", "x-amz-sns-topic-arn": topic, **headers})
