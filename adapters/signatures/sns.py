"""Messages of Amazon SNS and of services that speak its protocol, signed with a certificate that lies at a URL.

The only scheme that is not made of declared parts: what is signed depends on the message's type, and the certificate
must be fetched. Nothing is fetched here. `certificate_url` names what is needed, and whoever calls `verify` brings it.

    scheme: sns
    certificates: ["https://sns.*.amazonaws.com/*.pem"]
    confirmation_hosts: [sns.*.amazonaws.com]

A star stands for letters, digits, - and _, so for one label of a host or one name in a path. The signature says only
that the service sent the message, for whoever may publish there; so the topics of a source must be listed.

Specification: https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html
"""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, cast
from urllib.parse import urlsplit

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509 import load_pem_x509_certificate

from adapters.errors import VerificationFailed
from adapters.request import NativeRequest
from adapters.signatures.content import to_bytes
from adapters.signatures.declaration import Declaration
from adapters.signatures.encodings import strict_base64

SNS = "sns"
TOPICS_OPTION = "topic_arns"
"""The option of a source that lists the topics whose messages it takes."""

KEYS_CACHED_MAX = 64
URL_CHARACTERS_MAX = 2_048
_RSA_BITS_MIN = 2048

_NOTIFICATION = ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type")
_CONFIRMATION = ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")
_SIGNED_KEYS = {
    "Notification": _NOTIFICATION,
    "SubscriptionConfirmation": _CONFIRMATION,
    "UnsubscribeConfirmation": _CONFIRMATION,
}
_OPTIONAL_KEY = "Subject"
_HASHES = {"1": hashes.SHA1(), "2": hashes.SHA256()}  # noqa: S303  version 1 of the protocol, still what topics default to
_ARN = re.compile(r"arn:[\w-]+:sns:[\w-]*:[\w-]+:[\w.-]+", re.ASCII)


class SnsMessages:
    """Verifies what topics publish; `topics` are the names of those that a source takes."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        declaration = Declaration(values)
        declaration.choice("scheme", (SNS,))
        urls = declaration.entries("certificates")
        if not all(str(url).startswith("https://") for url in urls):
            raise declaration.invalid("certificates", "must begin with https://: others could be forged")
        self._certificate_urls = _pattern(urls)
        self._confirmation_hosts = _pattern(declaration.entries("confirmation_hosts"))
        declaration.finish()

    def certificate_url(self, body: Any, topics: Sequence[str]) -> str | None:
        """Where the certificate lies that verifies this message; None where none can, whatever it says."""
        message = _envelope(body)
        url = message.get("SigningCertURL")
        if message.get("TopicArn") not in topics or not isinstance(url, str) or len(url) > URL_CHARACTERS_MAX:
            return None
        return url if self._certificate_urls.fullmatch(url) else None

    def verify(
        self,
        request: NativeRequest,
        body: Any,
        topics: Sequence[str],
        certificate: bytes | None,
        *,
        proven_otherwise: bool,
    ) -> None:
        """Raises VerificationFailed. `proven_otherwise` says that credentials proved the request already.

        How old a message is does not count: a topic may repeat it for as long as its owner likes.
        """
        message = _envelope(body)
        if not message and request.headers.get("x-amz-sns-rawdelivery", "").lower() == "true":
            _check_raw(request, topics, proven_otherwise=proven_otherwise)
            return
        if message.get("TopicArn") not in topics:
            raise VerificationFailed(f"the message is of no topic that the source's {TOPICS_OPTION} name")
        if self.certificate_url(body, topics) is None:
            raise VerificationFailed("SigningCertURL is not a certificate of the service that this mapping knows")
        if certificate is None:
            raise VerificationFailed("the certificate at SigningCertURL is needed")
        _check_signature(message, certificate)
        if message["Type"] == "SubscriptionConfirmation" and not self._may_visit(message["SubscribeURL"]):
            raise VerificationFailed("SubscribeURL does not lead to the service that this mapping knows")

    def check_topic(self, topic: str) -> None:
        """Raises ValueError with a sentence for the operator when `topic` can be none."""
        if not _ARN.fullmatch(topic):
            raise ValueError("each must be the ARN of a topic, such as arn:aws:sns:eu-west-1:123456789012:mail-events")

    def _may_visit(self, url: str) -> bool:
        try:
            parts = urlsplit(url)
        except ValueError:
            return False
        return parts.scheme == "https" and self._confirmation_hosts.fullmatch(parts.netloc) is not None


def _pattern(patterns: Sequence[Any]) -> re.Pattern[str]:
    choices = (re.escape(str(pattern)).replace(r"\*", r"[A-Za-z0-9_-]+") for pattern in patterns)
    return re.compile("|".join(choices))


def _envelope(body: Any) -> dict[str, Any]:
    """The message around the event; empty when the body is none."""
    message = cast("dict[str, Any]", body) if isinstance(body, dict) else {}
    return message if isinstance(message.get("Type"), str) and "TopicArn" in message else {}


def _check_raw(request: NativeRequest, topics: Sequence[str], *, proven_otherwise: bool) -> None:
    if not proven_otherwise:
        raise VerificationFailed(
            "raw message delivery carries no signature: turn it off for the subscription, or give the source basic_auth"
        )
    if request.headers.get("x-amz-sns-topic-arn") not in topics:
        raise VerificationFailed(f"the message is of no topic that the source's {TOPICS_OPTION} name")


def _check_signature(message: dict[str, Any], certificate: bytes) -> None:
    algorithm = _HASHES.get(str(message.get("SignatureVersion")))
    if algorithm is None:
        raise VerificationFailed("SignatureVersion is neither 1 nor 2")
    signed = signed_text(message)
    try:
        signature = strict_base64(str(message.get("Signature")))
        _public_key(certificate).verify(signature, signed, padding.PKCS1v15(), algorithm)
    except InvalidSignature:
        raise VerificationFailed("signature does not match: was the message changed on its way?") from None
    except ValueError as mistake:
        raise VerificationFailed(f"the signature cannot be checked: {mistake}") from mistake


def signed_text(message: dict[str, Any]) -> bytes:
    """What the signature of a message covers. Raises VerificationFailed when a part of it is missing."""
    keys = _SIGNED_KEYS.get(message["Type"])
    if keys is None:
        raise VerificationFailed(f"messages of the type '{message['Type']:.50}' are not known")
    lines: list[str] = []
    for key in keys:
        value = message.get(key)
        if value is None and key == _OPTIONAL_KEY:
            continue
        if not isinstance(value, str):
            raise VerificationFailed(f"the message lacks {key}, which its signature would cover")
        lines += (key, value)
    return to_bytes("".join(f"{line}\n" for line in lines))


@lru_cache(KEYS_CACHED_MAX)
def _public_key(certificate: bytes) -> rsa.RSAPublicKey:
    try:
        key = load_pem_x509_certificate(certificate).public_key()
    except UnsupportedAlgorithm as unknown:
        raise ValueError("the certificate is of an unknown kind") from unknown
    if not isinstance(key, rsa.RSAPublicKey) or key.key_size < _RSA_BITS_MIN:
        raise ValueError(f"the certificate holds no RSA key of {_RSA_BITS_MIN} bits or more")
    return key
