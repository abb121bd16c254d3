"""The providers' requests, built and signed before any clock starts: whole HTTP/1.1 messages, each event unique."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Sequence
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

BATCH_ITEMS, LARGE_BATCH_ITEMS = 50, 500
MAILGUN_SOURCE, SENDGRID_SOURCE = "bench-mailgun", "bench-sendgrid"
MAILGUN_SECRET = "bench-signing-secret-of-mailgun"
# A key of our own that signs nothing but benchmark requests; fixed, so that every process has the same.
_SENDGRID_KEY = ec.derive_private_key(int.from_bytes(hashlib.sha256(b"bench").digest()), ec.SECP256R1())


def sendgrid_public_key() -> str:
    """The key as SendGrid shows it: base64 of the DER form."""
    encoding, form = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    return base64.b64encode(_SENDGRID_KEY.public_key().public_bytes(encoding, form)).decode()


def email_ids(name: str, events: int) -> list[str]:
    """The message id of each event of the run `name`: by it the sink's arrivals are matched with what was sent."""
    return [f"bench-{name}-{index}" for index in range(events)]


def mailgun_requests(name: str, events: int) -> list[bytes]:
    """One event a request, its token signed with HMAC-SHA256."""
    now = int(time.time())
    return [
        _post(MAILGUN_SOURCE, _json(_mailgun_body(email_id, now)), {"User-Agent": "mailgun/treq-21.5.0"})
        for email_id in email_ids(name, events)
    ]


def sendgrid_requests(name: str, events: int, items: int = BATCH_ITEMS) -> list[bytes]:
    """Batches of so many items (the last one may be smaller), each signed with ECDSA over timestamp and body."""
    now = int(time.time())
    ids = email_ids(name, events)
    return [_sendgrid_request(ids[at : at + items], now) for at in range(0, events, items)]


def _mailgun_body(email_id: str, now: int) -> dict[str, Any]:
    token = hashlib.sha256(email_id.encode()).hexdigest()[:50]
    signature = hmac.new(MAILGUN_SECRET.encode(), f"{now}{token}".encode(), hashlib.sha256).hexdigest()
    headers = {
        "to": "Ada Lovelace <ada@example.net>",
        "message-id": email_id,
        "from": "Shop <orders@shop.example.com>",
        "subject": "Your order 1042 is on its way",
    }
    event = {
        "event": "delivered",
        "id": f"evt-{email_id}",
        "timestamp": now + 0.123456,
        "log-level": "info",
        "recipient": "ada@example.net",
        "recipient-domain": "example.net",
        "message": {"headers": headers, "attachments": [], "size": 31_415},
        "envelope": {"transport": "smtp", "sender": "orders@shop.example.com", "sending-ip": "192.0.2.17"},
        "flags": {"is-routed": False, "is-authenticated": True, "is-system-test": False, "is-test-mode": False},
        "delivery-status": {
            "code": 250,
            "message": "OK",
            "description": "",
            "attempt-no": 1,
            "mx-host": "mx1.example.net",
            "session-seconds": 0.433,
            "tls": True,
            "certificate-verified": True,
        },
        "domain": {"name": "shop.example.com"},
        "tags": ["order", "shipping"],
        "campaigns": [],
        "user-variables": {"order": "1042", "customer": "77123"},
    }
    return {"signature": {"timestamp": str(now), "token": token, "signature": signature}, "event-data": event}


def _sendgrid_request(ids: Sequence[str], now: int) -> bytes:
    body = _json([_sendgrid_item(email_id, now) for email_id in ids]) + b"\r\n"
    signature = _SENDGRID_KEY.sign(str(now).encode() + body, ec.ECDSA(hashes.SHA256()))
    headers = {
        "X-Twilio-Email-Event-Webhook-Timestamp": str(now),
        "X-Twilio-Email-Event-Webhook-Signature": base64.b64encode(signature).decode(),
        "User-Agent": "SendGrid Event API",
    }
    return _post(SENDGRID_SOURCE, body, headers)


def _sendgrid_item(email_id: str, now: int) -> dict[str, Any]:
    return {
        "email": "ada@example.net",
        "event": "delivered",
        "timestamp": now,
        "smtp-id": f"<{email_id}@geopod-ismtpd-1>",
        "sg_event_id": f"evt-{email_id}",
        "sg_message_id": f"{email_id}.filterdrecv-5f5f-1.0",
        "response": "250 2.0.0 OK queued as 5F5F",
        "category": ["order", "shipping"],
        "order": "1042",
        "ip": "192.0.2.17",
        "tls": 1,
    }


def _json(document: Any) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()


def _post(source: str, body: bytes, headers: dict[str, str]) -> bytes:
    fields = {
        "Host": "127.0.0.1",
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        "Accept": "*/*",
        **headers,
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"POST /api/webhooks/{source} HTTP/1.1\r\n{head}\r\n".encode() + body
