"""What django-anymail makes of our own fixtures, in our words: an independent reading of the same requests.

Only the reading is compared: anymail's views are asked for the events of a request, without verifying it first.
"""

import json
from typing import Any

import django
from anymail.signals import AnymailTrackingEvent
from anymail.webhooks import (
    amazon_ses,
    brevo,
    mailersend,
    mailgun,
    mailjet,
    mailtrap,
    mandrill,
    postal,
    postmark,
    resend,
    sendgrid,
    sparkpost,
    unisender_go,
)
from django.conf import settings
from django.test import RequestFactory

from adapters.events import iso_millis
from adapters.reader import MappedEvent

VIEWS: dict[str, Any] = {
    "amazon_ses": amazon_ses.AmazonSESTrackingWebhookView,
    "brevo": brevo.BrevoTrackingWebhookView,
    "mailersend": mailersend.MailerSendTrackingWebhookView,
    "mailgun": mailgun.MailgunTrackingWebhookView,
    "mailjet": mailjet.MailjetTrackingWebhookView,
    "mailtrap": mailtrap.MailtrapTrackingWebhookView,
    "mandrill": mandrill.MandrillCombinedWebhookView,
    "postal": postal.PostalTrackingWebhookView,
    "postmark": postmark.PostmarkTrackingWebhookView,
    "resend": resend.ResendTrackingWebhookView,
    "sendgrid": sendgrid.SendGridTrackingWebhookView,
    "sparkpost": sparkpost.SparkPostTrackingWebhookView,
    "unisender_go": unisender_go.UnisenderGoTrackingWebhookView,
}
_TYPES = {
    "queued": "email.accepted",
    "sent": "email.sent",
    "rejected": "email.dropped",
    "failed": "email.failed",
    "bounced": "email.bounced",
    "deferred": "email.deferred",
    "delivered": "email.delivered",
    "opened": "email.open",
    "clicked": "email.click",
    "complained": "email.complaint",
    "unsubscribed": "email.unsubscribe",
    "subscribed": "email.subscribe",
}


def settle() -> None:
    """Configures Django, once in a process."""
    if not settings.configured:
        settings.configure(ANYMAIL={"WEBHOOK_SECRET": "user:password"}, DEFAULT_CHARSET="utf-8", USE_TZ=True)
        django.setup()


def read_by_anymail(provider: str, body: Any, headers: dict[str, str]) -> list[dict[str, Any]] | None:
    """Its events in our words; None where it does not take the request."""
    view = VIEWS[provider].__new__(VIEWS[provider])  # its constructor wants keys, and for Amazon SES boto3
    raw = body if isinstance(body, str) else json.dumps(body)
    media_type = headers.get("content-type", "application/json")
    extra = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers.items()}
    request = RequestFactory().generic("POST", "/", raw.encode(), media_type, **extra)
    try:
        events = view.parse_events(request)
    except Exception:  # noqa: BLE001  whatever it is: anymail cannot read the request
        return None
    return [_in_our_words(event) for event in events if isinstance(event, AnymailTrackingEvent)]


def _in_our_words(event: AnymailTrackingEvent) -> dict[str, Any]:
    at = event.timestamp
    return {
        "type": _TYPES.get(event.event_type, "email.unknown"),
        "timestamp": iso_millis(round(at.timestamp() * 1000)) if at is not None else None,
        "recipient": event.recipient,
        "event_id": event.event_id or None,
        "email_id": event.message_id or None,
        "tags": list(event.tags or []),
        "metadata": event.metadata or {},
        "click_url": event.click_url or None,
        "user_agent": event.user_agent or None,
    }


def compared(event: MappedEvent) -> dict[str, Any]:
    """Our event, reduced to what anymail has too."""
    data = event.data
    return {
        "type": event.type,
        "timestamp": iso_millis(event.timestamp_ms),
        "recipient": data.recipient,
        "event_id": data.provider.event_id,
        "email_id": data.email_id,
        "tags": data.tags,
        "metadata": data.metadata,
        "click_url": data.click.url if data.click else None,
        "user_agent": data.client.user_agent if data.client else None,
    }


def contradicts(field: str, theirs: Any, ours: Any) -> bool:
    """Whether the two say different things; what only Mailweir says, or says more exactly, is none."""
    if theirs in (None, "", [], [None], {}, "email.unknown") or theirs == ours:
        return False
    if field == "timestamp":
        return theirs[:19] != ours[:19]
    if field == "metadata":
        return not (isinstance(theirs, dict) and theirs.items() <= ours.items())
    return str(theirs).removeprefix("<").removesuffix(">") != str(ours)


def counterparts(theirs: list[dict[str, Any]], ours: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Their events without those of unknown type, where Mailweir ignored or quarantined as many."""
    return theirs if len(theirs) == len(ours) else [event for event in theirs if event["type"] != "email.unknown"]
