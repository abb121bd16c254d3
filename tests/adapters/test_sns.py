"""SNS: what its signatures cover, whose certificates count, and what raw delivery needs in their stead."""

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from adapters.adapter import Adapter
from adapters.errors import MappingInvalid, VerificationFailed
from adapters.mapping import load_mapping
from adapters.request import NativeRequest
from tests.adapters.sns_messages import (
    CERTIFICATE_URL,
    SUBSCRIBE_URL,
    TOPIC,
    certificate,
    confirmation,
    notification,
    raw_request,
    request_of,
    signed,
)

VERIFY = """
verify:
  - scheme: sns
    certificates: ["https://sns.*.amazonaws.com/*.pem", "https://sns.*.amazonaws.com.cn/*.pem"]
    confirmation_hosts: [sns.*.amazonaws.com, sns.*.amazonaws.com.cn]
  - scheme: basic
"""
OPTIONS = "options: {topic_arns: {type: texts, meaning: The topics.}}\n"
REST = """
provider: acme
handshake:
  - {when: Type == 'SubscriptionConfirmation', confirm: SubscribeURL}
native_type: Type
fields: {timestamp: Timestamp, email_id: MessageId}
types: {Notification: email.sent, SubscriptionConfirmation: ignored}
"""
ACME = load_mapping(VERIFY + OPTIONS + REST, "acme.yaml")
ALLOWED = {"topic_arns": [TOPIC]}
BASIC = {"basic_auth": ["user:password"]}
AUTHORIZATION = "Basic dXNlcjpwYXNzd29yZA=="


def verify(request: NativeRequest, options: Any = ALLOWED, secrets: Any = None, adapter: Adapter = ACME) -> None:
    """As the gateway would: with the certificate at the URL that the request needs, which is ours."""
    needed = adapter.certificate_url(request, options)
    adapter.verify(request, secrets or {}, None, options=options, certificate=certificate() if needed else None)


def refused(request: NativeRequest, match: str, **given: Any) -> None:
    with pytest.raises(VerificationFailed, match=match):
        verify(request, **given)


@pytest.mark.parametrize("version", ["1", "2"])
@pytest.mark.parametrize("subject", ["A subject", None])
def test_a_notification_verifies_by_either_version_with_and_without_a_subject(version: str, subject: str) -> None:
    verify(request_of(notification(Subject=subject, SignatureVersion=version)))


@pytest.mark.parametrize("kind", ["SubscriptionConfirmation", "UnsubscribeConfirmation"])
def test_both_confirmations_verify(kind: str) -> None:
    verify(request_of(confirmation(kind)))


def test_characters_of_every_kind_are_covered_as_they_are() -> None:
    verify(request_of(notification('{"subject": "Größe\\n😀"}\n', Subject="Ünïcode")))


@pytest.mark.parametrize("key", ["Message", "MessageId", "Subject", "Timestamp"])
def test_a_changed_part_is_refused(key: str) -> None:
    message = notification()
    refused(request_of({**message, key: message[key] + "x"}), "does not match")


@pytest.mark.parametrize("key", ["Message", "MessageId", "Timestamp"])
@pytest.mark.parametrize("value", [None, 7, ["x"]], ids=str)
def test_a_part_that_is_missing_or_no_text_is_refused(key: str, value: object) -> None:
    refused(request_of({**notification(), key: value}), f"lacks {key}")


@pytest.mark.parametrize("signature", [None, "", "AAAA", "not base64", "ümlaut", "A" * 344, 5], ids=str)
def test_a_wrong_signature_is_refused(signature: object) -> None:
    refused(request_of({**notification(), "Signature": signature}), "signature")


@pytest.mark.parametrize("version", [None, "0", "3", "", 1.5], ids=str)
def test_an_unknown_signature_version_is_refused(version: object) -> None:
    refused(request_of({**notification(), "SignatureVersion": version}), "SignatureVersion")


def test_a_signature_of_one_version_is_none_of_the_other() -> None:
    refused(request_of({**notification(SignatureVersion="2"), "SignatureVersion": "1"}), "does not match")


@pytest.mark.parametrize(
    "url",
    [
        "http://sns.eu-west-1.amazonaws.com/x.pem",
        "https://sns.eu-west-1.amazonaws.com.evil.example/x.pem",
        "https://evil.example/sns.eu-west-1.amazonaws.com/x.pem",
        "https://sns.eu-west-1.amazonaws.com@evil.example/x.pem",
        "https://user@sns.eu-west-1.amazonaws.com/x.pem",
        "https://sns.eu-west-1.amazonaws.com:8443/x.pem",
        "https://sns.a.b.amazonaws.com/x.pem",
        "https://sns..amazonaws.com/x.pem",
        "https://sns.amazonaws.com/x.pem",
        "https://s3.eu-west-1.amazonaws.com/x.pem",
        "https://sns.eu-west-1.amazonaws.com/?Action=GetEndpointAttributes&x=.pem",
        "https://sns.eu-west-1.amazonaws.com/a/../x.pem",
        "https://sns.eu-west-1.amazonaws.com/x.pem?x=y",
        "https://sns.eu-west-1.amazonaws.com/x.pem#y",
        "https://sns.eu-west-1.amazonaws.com/x.pem\n",
        "https://sns.eu-west-1.amazonaws.com/x.crt",
        "https://sns.eu-west-1.amazonaws.com/" + "x" * 3000 + ".pem",
        None,
        {"url": CERTIFICATE_URL},
    ],
    ids=str,
)
def test_a_certificate_elsewhere_is_never_asked_for(url: object) -> None:
    request = request_of({**notification(), "SigningCertURL": url})
    assert ACME.certificate_url(request, ALLOWED) is None
    refused(request, "SigningCertURL")


def test_certificates_of_china_are_taken() -> None:
    url = "https://sns.cn-north-1.amazonaws.com.cn/SimpleNotificationService-1.pem"
    verify(request_of(notification(SigningCertURL=url)))


def test_a_foreign_topic_is_refused_before_its_certificate_is_asked_for() -> None:
    request = request_of(notification(TopicArn="arn:aws:sns:eu-west-1:999999999999:theirs"))
    assert ACME.certificate_url(request, ALLOWED) is None
    refused(request, "topic_arns")


@pytest.mark.parametrize("topic", [None, "", TOPIC[:-1], [TOPIC], {}, 5], ids=str)
def test_an_odd_topic_is_refused(topic: object) -> None:
    refused(request_of({**notification(), "TopicArn": topic}), "topic")


@pytest.mark.parametrize(
    "url",
    [
        SUBSCRIBE_URL.replace("https", "http"),
        SUBSCRIBE_URL.replace("amazonaws.com", "amazonaws.com.evil.example"),
        SUBSCRIBE_URL.replace("https://", "https://user@"),
        SUBSCRIBE_URL.replace(".com/", ".com:22/"),
        "https://[::1/",
        "/",
    ],
)
def test_a_signed_confirmation_that_leads_elsewhere_is_refused(url: str) -> None:
    refused(request_of(confirmation(SubscribeURL=url)), "SubscribeURL")


@pytest.mark.parametrize("kind", ["Other", "notification", ""])
def test_a_message_of_another_type_is_refused(kind: str) -> None:
    refused(request_of(notification(Type=kind)), "not known")


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"text", b'"Type"', b'{"Type": 1, "TopicArn": "x"}', b"\xff"])
def test_what_is_no_message_is_refused(body: bytes) -> None:
    refused(NativeRequest(headers={}, body=body), "topic")


def test_the_key_must_be_rsa_of_a_decent_size() -> None:
    request = request_of(notification())
    for other in (ec.generate_private_key(ec.SECP256R1()), rsa.generate_private_key(65537, 1024)):  # noqa: S505  to be refused
        with pytest.raises(VerificationFailed, match="RSA key"):
            ACME.verify(request, {}, None, options=ALLOWED, certificate=certificate(other))


@pytest.mark.parametrize("pem", [b"", b"<html>", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_a_certificate_that_is_none_is_refused(pem: bytes) -> None:
    with pytest.raises(VerificationFailed, match="cannot be checked"):
        ACME.verify(request_of(notification()), {}, None, options=ALLOWED, certificate=pem)


def test_another_certificate_verifies_nothing() -> None:
    other = certificate(rsa.generate_private_key(65537, 2048))
    with pytest.raises(VerificationFailed, match="does not match"):
        ACME.verify(request_of(notification()), {}, None, options=ALLOWED, certificate=other)


def test_without_its_certificate_nothing_verifies() -> None:
    with pytest.raises(VerificationFailed, match="is needed"):
        ACME.verify(request_of(notification()), {}, None, options=ALLOWED)


def test_raw_delivery_is_refused_where_only_topics_are_known() -> None:
    refused(raw_request({"eventType": "Send"}), "raw message delivery")


def test_raw_delivery_needs_the_credentials_and_a_known_topic() -> None:
    verify(raw_request({}, authorization=AUTHORIZATION), secrets=BASIC)
    verify(raw_request({}, authorization=AUTHORIZATION), secrets=BASIC, options={})
    refused(raw_request({}), "no basic credentials", secrets=BASIC)
    refused(raw_request({}, "arn:aws:sns:x:1:theirs", authorization=AUTHORIZATION), "topic", secrets=BASIC)


def test_a_message_in_its_envelope_needs_its_signature_beside_the_credentials() -> None:
    verify(request_of(notification(), authorization=AUTHORIZATION), secrets=BASIC)
    refused(request_of(notification()), "no basic credentials", secrets=BASIC)
    forged = {**notification(), "Signature": "AAAA"}
    refused(request_of(forged, authorization=AUTHORIZATION), "does not match", secrets=BASIC)
    raw = {"authorization": AUTHORIZATION, "x-amz-sns-rawdelivery": "true", "x-amz-sns-topic-arn": TOPIC}
    refused(request_of(forged, **raw), "does not match", secrets=BASIC)


def test_a_source_without_topics_and_credentials_verifies_nothing() -> None:
    for options in ({}, {"topic_arns": []}, {"topic_arns": None}, {"topic_arns": [7]}):
        refused(request_of(notification()), "topic_arns or basic_auth", options=options)


def test_topics_may_stand_alone_or_in_a_list() -> None:
    verify(request_of(notification()), options={"topic_arns": TOPIC})
    verify(request_of(notification()), options={"topic_arns": ["arn:aws:sns:eu-west-1:1:other", TOPIC]})
    refused(request_of(notification(TopicArn=TOPIC[:20])), "topic", options={"topic_arns": TOPIC})


def test_topics_or_credentials_are_needed_when_a_source_is_added() -> None:
    ((name, message),) = ACME.check_options({}, {})
    assert (name, "is needed" in message) == ("topic_arns", True)
    assert ACME.check_options({}, BASIC) == []
    assert ACME.check_secrets({}) == []
    assert ACME.check_options(ALLOWED, {}) == []
    for wrong in ([], "mail-events", ["arn:aws:s3:::bucket"], [TOPIC, ""], 7, [TOPIC] * 101):
        assert [name for name, _ in ACME.check_options({"topic_arns": wrong}, {})] == ["topic_arns"], wrong
    assert [name for name, _ in ACME.check_options({"topics": TOPIC}, BASIC)] == ["topics"]


def test_a_mapping_must_declare_the_option_and_whose_certificates_count() -> None:
    with pytest.raises(MappingInvalid, match="topic_arns"):
        load_mapping(VERIFY + REST, "acme.yaml")
    with pytest.raises(MappingInvalid, match="is missing"):
        load_mapping("verify: {scheme: sns, confirmation_hosts: [a.b]}\n" + OPTIONS + REST, "acme.yaml")
    with pytest.raises(MappingInvalid, match="is not a key"):
        load_mapping(VERIFY.replace("scheme: sns", "scheme: sns\n    key: base64") + OPTIONS + REST, "acme.yaml")
    with pytest.raises(MappingInvalid, match="meaning"):
        load_mapping("options: {topic_arns: {type: texts}}\n" + VERIFY + REST, "acme.yaml")


def test_a_subscription_is_answered_with_the_url_that_confirms_it() -> None:
    request = request_of(confirmation())
    reading = ACME.read(request, {}, None, 1, options=ALLOWED, certificate=certificate())
    assert reading.answer is not None
    assert reading.answer.confirm == SUBSCRIBE_URL
    assert (reading.events, reading.ignored) == ([], 1)
    other = ACME.read(request_of(notification()), {}, None, 1, options=ALLOWED, certificate=certificate())
    assert other.answer is None


def test_what_is_signed_is_what_our_own_writer_signs() -> None:
    """The order of the keys in the body does not count."""
    message = notification()
    body = json.loads(json.dumps(dict(reversed(message.items()))))
    verify(request_of(body))
    assert signed(message)["Signature"] == message["Signature"]
