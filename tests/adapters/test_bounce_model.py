"""One model of a bounce for all providers: what the same answer of a server becomes, whoever reports it."""

import pytest

from adapters.events import Bounce
from adapters.request import NativeRequest
from tests.adapters.native_fixtures import AT, CATALOG, RECEIVED_MS

Changes = dict[bytes, bytes]

GENERIC: list[tuple[str, str, Changes]] = [
    ("ahasend", "message.bounced", {b"InvalidRecipient": b""}),
    ("amazon_ses", "Bounce", {b"NoEmail": b"General"}),
    ("azure", "Microsoft.Communication.EmailDeliveryReportReceived/bounced", {}),
    ("brevo", "hard_bounce", {}),
    ("customerio", "email_bounced", {}),
    ("dashamail", "bounced", {}),
    ("emailit", "email.delivery.hardfail", {}),
    ("lettermint", "message.hard_bounced", {}),
    ("mailersend", "activity.hard_bounced", {}),
    ("mailgun", "failed/permanent", {}),
    ("mailjet", "bounce", {b"user unknown": b""}),
    ("mailomat", "failure_perm", {}),
    ("mailtrap", "bounce", {b"badrecipient": b"generalfail"}),
    ("mandrill", "hard_bounce", {b"bad_mailbox": b"general"}),
    ("postal", "MessageDeliveryFailed", {}),
    ("postmark", "Bounce/HardBounce", {b'"Inactive":true': b'"Inactive":false'}),
    ("resend", "email.bounced", {}),
    ("scaleway", "email_dropped", {}),
    ("sendgrid", "bounce", {b"Invalid Address": b"Unclassified"}),
    ("smtp2go", "bounce/hard", {}),
    ("sweego", "hard_bounce", {}),
    ("unisender_go", "hard_bounced", {b"err_user_unknown": b"err_other"}),
    ("zeptomail", "hardbounce", {b"invalid recipient": b"other"}),
]
"""By provider, a sample of its hard bounce, with no word in it that tells about the address."""

TELLING: list[tuple[str, str, Changes]] = [
    ("ahasend", "message.bounced", {}),
    ("amazon_ses", "Bounce", {}),
    ("forwardemail", "bounce", {}),
    ("generic", "email.bounced", {}),
    ("mailjet", "bounce", {}),
    ("mailtrap", "bounce", {}),
    ("mandrill", "hard_bounce", {}),
    ("postmark", "Bounce/HardBounce", {}),
    ("resend", "email.bounced", {b"General": b"NoEmail"}),
    ("scaleway", "email_mailbox_not_found", {}),
    ("sendgrid", "bounce", {}),
    ("sparkpost", "bounce", {}),
    ("unisender_go", "hard_bounced", {}),
]
"""The same where the provider says that the address is bad, or that it will write to it no more."""


def bounce_of(provider: str, sample: str, changes: Changes, status: bytes) -> Bounce:
    adapter = CATALOG.get(provider)
    played = adapter.sample_request(
        [sample], signing={}, url="https://x/", at=AT, recipient="ann@example.net", unique=lambda: "u1"
    )
    changed = played.body
    for old, new in {**changes, b"5.1.1": status, b"5.7.1": status}.items():
        changed = changed.replace(old, new)
    request = NativeRequest(url=played.url, headers=played.headers, body=changed)
    (event,) = adapter.read(request, None, None, RECEIVED_MS).events
    assert isinstance(event.data.bounce, Bounce)
    return event.data.bounce


def advice(bounce: Bounce) -> tuple[str, str | None, bool, bool | None]:
    return bounce.class_, bounce.enhanced_code, bounce.permanent, bounce.suppress_recommended


@pytest.mark.parametrize(("provider", "sample", "changes"), GENERIC)
def test_a_hard_bounce_is_a_block_where_the_server_refused_by_policy(
    provider: str, sample: str, changes: Changes
) -> None:
    assert advice(bounce_of(provider, sample, changes, b"5.7.1")) == ("block", "5.7.1", False, False)
    found = bounce_of(provider, sample, changes, b"5.1.1")
    assert (found.class_, found.enhanced_code) == ("hard", "5.1.1")


@pytest.mark.parametrize(("provider", "sample", "changes"), TELLING)
def test_what_the_provider_says_of_the_address_stands_whatever_the_server_said(
    provider: str, sample: str, changes: Changes
) -> None:
    assert advice(bounce_of(provider, sample, changes, b"5.7.1")) == ("hard", "5.7.1", True, True)


def test_what_was_not_tried_is_suppressed_whatever_the_server_said() -> None:
    assert advice(bounce_of("amazon_ses", "Bounce/suppressed", {}, b"5.7.1")) == ("suppressed", "5.7.1", True, True)
