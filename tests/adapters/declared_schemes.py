"""Schemes as mappings declare them, one for each way of proving a request, with a request of our own to sign."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlencode

from adapters.decoders import decode_auto
from adapters.errors import DecodeFailed
from adapters.request import NativeRequest
from adapters.signatures import Scheme, build_scheme

AT = 1_790_000_000.0
"""When every sample is signed."""

JSON_BODY = b'{"event": "bounced", "id": "e-1", "to": "ann@example.org"}'
FORM = "application/x-www-form-urlencoded"


@dataclass
class Sample:
    """A scheme, a request it can sign, and what of that request the scheme covers."""

    declaration: dict[str, Any]
    body: bytes = JSON_BODY
    headers: dict[str, str] = field(default_factory=dict)
    covered: tuple[bytes, bytes] | None = (b"ann@", b"eve@")
    """What stands in the body and what a forger would put in its place; None where the body is not covered."""
    covered_header: str | None = None
    timestamp_covered: bool = False

    @property
    def scheme(self) -> Scheme:
        return build_scheme(self.declaration)

    def request(self) -> NativeRequest:
        headers = {"content-type": "application/json"} | self.headers
        return NativeRequest(url="https://hooks.example.com/in/prod?a=1", headers=headers, body=self.body)


def decoded(request: NativeRequest) -> Any:
    try:
        return decode_auto(request)
    except DecodeFailed:
        return None


def standard_webhooks(prefix: str, **changes: Any) -> dict[str, Any]:
    declaration: dict[str, Any] = {
        "scheme": "hmac",
        "key": "base64",
        "signed": [{"header": f"{prefix}-id"}, ".", {"header": f"{prefix}-timestamp"}, ".", "raw_body"],
        "signature": {"header": f"{prefix}-signature", "separator": " ", "prefix": "v1,"},
        "timestamp": {"header": f"{prefix}-timestamp", "tolerance_s": 300},
    }
    return declaration | changes


SVIX = standard_webhooks("svix")
STANDARD_WEBHOOKS = standard_webhooks("webhook")
STANDARD_WEBHOOKS_V1A = STANDARD_WEBHOOKS | {
    "scheme": "ed25519",
    "key": "whpk",
    "signature": {"header": "webhook-signature", "separator": " ", "prefix": "v1a,"},
}
SENDGRID = {
    "scheme": "ecdsa",
    "signed": [{"header": "X-Twilio-Email-Event-Webhook-Timestamp"}, "raw_body"],
    "signature": {"header": "X-Twilio-Email-Event-Webhook-Signature"},
    "timestamp": {"header": "X-Twilio-Email-Event-Webhook-Timestamp", "tolerance_s": "unlimited"},
}
MAILGUN = {
    "scheme": "hmac",
    "signed": [{"path": "signature.timestamp"}, {"path": "signature.token"}],
    "signature": {"path": "signature.signature", "encoding": "hex"},
    "timestamp": {"path": "signature.timestamp", "past_s": 28_800, "future_s": 300},
    "once": {"path": "signature.token"},
}
MAILGUN_LEGACY = {
    "scheme": "hmac",
    "signed": [{"path": "timestamp", "last": True}, {"path": "token", "last": True}],
    "signature": {"path": "signature", "last": True, "encoding": "hex"},
    "timestamp": {"path": "timestamp", "last": True, "past_s": 28_800, "future_s": 300},
    "once": {"path": "token", "last": True},
}
MANDRILL = {
    "scheme": "hmac",
    "algorithm": "sha1",
    "signed": ["url", "sorted_form"],
    "signature": {"header": "X-Mandrill-Signature"},
    "setup": {"secret": "test-webhook", "path": "mandrill_events", "text": "[]"},
}
UNISENDER = {
    "scheme": "hmac",
    "construction": "digest",
    "algorithm": "md5",
    "signed": ["raw_body_with_secret"],
    "signature": {"path": "auth", "encoding": "hex"},
}
DASHAMAIL = {
    "scheme": "hmac",
    "construction": "digest",
    "algorithm": "md5",
    "signed": [{"path": "email"}, {"path": "message_id"}, "secret"],
    "signature": {"path": "secret", "encoding": "hex"},
}
POSTAL = {
    "scheme": "any_of",
    "schemes": [
        {"scheme": "rsa", "signed": ["raw_body"], "signature": {"header": "X-Postal-Signature-256"}},
        {
            "scheme": "rsa",
            "algorithm": "sha1",
            "signed": ["raw_body"],
            "signature": {"header": "X-Postal-Signature"},
        },
    ],
}

SAMPLES = {
    "svix": Sample(SVIX, covered_header="svix-id", timestamp_covered=True),
    "standard webhooks": Sample(STANDARD_WEBHOOKS, covered_header="webhook-id", timestamp_covered=True),
    "standard webhooks v1a": Sample(STANDARD_WEBHOOKS_V1A, covered_header="webhook-id", timestamp_covered=True),
    "sweego": Sample(
        standard_webhooks("webhook", signature={"header": "webhook-signature"}),
        covered_header="webhook-id",
        timestamp_covered=True,
    ),
    "ahasend": Sample(standard_webhooks("webhook", key="text"), covered_header="webhook-id", timestamp_covered=True),
    "sendgrid": Sample(SENDGRID, covered_header="x-twilio-email-event-webhook-timestamp"),
    "mailgun": Sample(MAILGUN, covered=None, timestamp_covered=True),
    "mailgun legacy": Sample(
        MAILGUN_LEGACY,
        body=b"event=bounced&recipient=ann%40example.org",
        headers={"content-type": FORM},
        covered=None,
        timestamp_covered=True,
    ),
    "mandrill": Sample(
        MANDRILL,
        body=urlencode({"mandrill_events": '[{"event": "open", "_id": "ann@"}]', "a": "é"}).encode(),
        headers={"content-type": FORM},
        covered=(b"ann%40", b"eve%40"),
    ),
    "mailersend": Sample(
        {"scheme": "hmac", "signed": ["raw_body"], "signature": {"header": "Signature", "encoding": "hex"}}
    ),
    "lettermint": Sample(
        {
            "scheme": "hmac",
            "signed": [{"field": "t"}, ".", "raw_body"],
            "signature": {"header": "X-Lettermint-Signature", "field": "v1", "encoding": "hex"},
            "timestamp": {"field": "t", "tolerance_s": 300},
        },
        timestamp_covered=True,
    ),
    "zeptomail": Sample(
        {
            "scheme": "hmac",
            "signed": ["raw_body"],
            "signature": {"header": "producer-signature", "field": "s", "fields_separator": ";", "url_decode": True},
            "timestamp": {"field": "ts", "unit": "ms", "tolerance_s": 300},
        }
    ),
    "customer.io": Sample(
        {
            "scheme": "hmac",
            "signed": ["v0:", {"header": "X-CIO-Timestamp"}, ":", "raw_body"],
            "signature": {"header": "X-CIO-Signature", "encoding": "hex"},
            "timestamp": {"header": "X-CIO-Timestamp", "tolerance_s": 300},
        },
        covered_header="x-cio-timestamp",
        timestamp_covered=True,
    ),
    "mailomat": Sample(
        {
            "scheme": "hmac",
            "signed": [{"header": "X-Id"}, ".", {"header": "X-Event"}, ".", {"header": "X-Time"}],
            "signature": {"header": "X-Signature", "prefix": "sha256=", "encoding": "hex"},
            "timestamp": {"header": "X-Time", "tolerance_s": 300},
        },
        headers={"x-event": "delivered"},
        covered=None,
        covered_header="x-event",
        timestamp_covered=True,
    ),
    "unisender go": Sample(UNISENDER),
    "dashamail": Sample(
        DASHAMAIL, body=b'{"email": "ann@example.org", "message_id": "m-1"}', covered=(b"ann@", b"eve@")
    ),
    "postal": Sample(POSTAL["schemes"][0]),
    "postal before 3": Sample(POSTAL["schemes"][1]),
    "mailpace": Sample(
        {"scheme": "ed25519", "signed": ["raw_body"], "signature": {"header": "X-MailPace-Signature"}},
    ),
    "url-safe": Sample(
        {
            "scheme": "hmac",
            "key": "hex",
            "algorithm": "sha512",
            "signed": ["raw_body"],
            "signature": {"query": "sig", "encoding": "urlsafe_base64"},
        }
    ),
    "basic": Sample({"scheme": "basic"}, covered=None),
    "bearer": Sample({"scheme": "token", "header": "Authorization", "prefix": "Bearer "}, covered=None),
    "query token": Sample({"scheme": "token", "query": "token"}, covered=None),
}


def with_signature(sample: Sample, request: NativeRequest, change: Callable[[str], str]) -> NativeRequest:
    """The request with `change` made to the characters of its signature or credentials."""
    where = _where(sample.declaration)
    headers, url, body = dict(request.headers), request.url, request.body
    if "field" in where:
        headers[where["header"]] = _field_changed(headers[where["header"]], where, change)
    elif "header" in where:
        prefix = where.get("prefix", "")
        headers[where["header"]] = prefix + change(headers[where["header"]].removeprefix(prefix))
    elif "query" in where:
        url, _, text = url.rpartition("=")
        url = f"{url}={quote(change(unquote(text)), errors='replace')}"
    else:
        body = body_with(request, where["path"], change)
    return NativeRequest(url=url, headers=headers, body=body)


def body_with(request: NativeRequest, path: str, change: Callable[[str], Any]) -> bytes:
    """The body with `change` made to the text at `path`."""
    if request.media_type == FORM:
        form = dict(parse_qsl(request.body.decode()))
        return urlencode(form | {path: change(form[path])}, errors="replace").encode()
    body = inner = json.loads(request.body)
    *parents, last = path.split(".")
    for parent in parents:
        inner = inner[parent]
    inner[last] = change(inner[last])
    return json.dumps(body).encode()


def _where(declaration: dict[str, Any]) -> dict[str, Any]:
    if declaration["scheme"] == "basic":
        return {"header": "authorization", "prefix": "Basic "}
    where = dict(declaration.get("signature", declaration))
    if "header" in where:
        where["header"] = where["header"].lower()
    return where


def _field_changed(text: str, where: dict[str, Any], change: Callable[[str], str]) -> str:
    separator = where.get("fields_separator", ",")
    items = [item.partition("=") for item in text.split(separator)]
    return separator.join(f"{name}={change(value) if name == where['field'] else value}" for name, _, value in items)
