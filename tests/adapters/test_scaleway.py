"""Scaleway: SNS's protocol with certificates and confirmations of Scaleway's own."""

import pytest

from adapters.errors import VerificationFailed
from tests.adapters.native_fixtures import (
    AT,
    CATALOG,
    RECEIVED_MS,
    assert_samples_are_signed_and_read,
    samples_without_types,
)
from tests.adapters.sns_messages import CERTIFICATE_URL, certificate, confirmation, notification, request_of

SCALEWAY = CATALOG.get("scaleway")
TOPIC = "arn:scw:sns:fr-par:project-5f1c:mail-events"
OPTIONS = {"topic_arns": [TOPIC]}
OURS = {"TopicArn": TOPIC, "SigningCertURL": "https://messaging.s3.fr-par.scw.cloud/fr-par/sns/sns_1.crt"}
QUEUED = {"id": "e1", "type": "email_queued", "domain_id": "d", "email_id": "m1", "created_at": "2026-01-01T00:00:00Z"}


def test_every_sample_verifies_and_becomes_an_event() -> None:
    assert_samples_are_signed_and_read("scaleway")
    assert samples_without_types("scaleway") == {"blocklist_created", "unknown_type"}


def test_a_message_signed_for_scaleway_is_read_and_one_for_amazon_refused() -> None:
    request = request_of(notification(QUEUED, **OURS))
    assert SCALEWAY.certificate_url(request, OPTIONS) == OURS["SigningCertURL"]
    reading = SCALEWAY.read(request, {}, AT, RECEIVED_MS, options=OPTIONS, certificate=certificate())
    assert [event.type for event in reading.events] == ["email.accepted"]
    assert CATALOG.recognize(request) == [SCALEWAY]
    foreign = request_of(notification(QUEUED, **{**OURS, "SigningCertURL": CERTIFICATE_URL}))
    with pytest.raises(VerificationFailed, match="SigningCertURL"):
        SCALEWAY.read(foreign, {}, AT, RECEIVED_MS, options=OPTIONS, certificate=certificate())


def test_a_subscription_is_confirmed_at_scaleway_only() -> None:
    url = "https://sns.mnq.fr-par.scaleway.com/?Action=ConfirmSubscription&Token=1"
    request = request_of(confirmation(**OURS, SubscribeURL=url))
    reading = SCALEWAY.read(request, {}, AT, RECEIVED_MS, options=OPTIONS, certificate=certificate())
    assert reading.answer is not None
    assert reading.answer.confirm == url
    with pytest.raises(VerificationFailed, match="SubscribeURL"):
        SCALEWAY.read(request_of(confirmation(**OURS)), {}, AT, RECEIVED_MS, options=OPTIONS, certificate=certificate())
