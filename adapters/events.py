"""The unified vocabulary: every event type and every field, each with the sentence that defines it."""

from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

SCHEMA_VERSION = "1"
SECONDS_REMEMBERED = 1_024

MESSAGE_TYPES: dict[str, str] = {
    "email.accepted": "The provider took the message and queued it.",
    "email.sent": "The provider handed the message to its outgoing servers.",
    "email.delivered": "The recipient's server accepted the message.",
    "email.deferred": "The recipient's server refused for now; the provider will try again.",
    "email.bounced": "Delivery failed and the provider has given up; bounce.class says how.",
    "email.dropped": "The provider refused to try: suppressed, unsubscribed or against its policy.",
    "email.failed": "The provider could not produce the message: template, quota or configuration.",
    "email.open": "The tracking pixel was fetched.",
    "email.click": "A tracked link was followed.",
    "email.complaint": "The recipient marked the message as spam.",
    "email.unsubscribe": "The recipient left a list, or all mail.",
    "email.subscribe": "The recipient rejoined a list, or all mail.",
    "email.received": "The provider received a message for us (inbound mail).",
    "email.replied": "A received message whose In-Reply-To or References name a message this gateway has seen.",
    "email.unknown": "Authentic and about a message, but of a type the mapping does not name.",
}
"""Types about one message and one recipient. `*` and `email.*` stand for all of them but `email.unknown`."""

NOTICE_TYPES: dict[str, str] = {
    "endpoint.failing": "Attempts at an endpoint keep failing, so that one delivery at a time probes it.",
    "endpoint.disabled": "Nothing is sent to an endpoint any more: it failed too often, or said that it is gone.",
    "endpoint.recovered": "An endpoint that kept failing takes deliveries again, or a person enabled or moved it.",
    "source.silent": "Nothing has come from a source for longer than it usually pauses.",
    "alert.fired": "What an alert rule watches for has come about.",
    "alert.resolved": "What an alert rule watches for has passed.",
}
"""Types about the gateway itself, its endpoints and its sources; their data is a `Notice`."""

OPERATIONAL_TYPES: dict[str, str] = {
    "webhook.test": "Sent by «send test event».",
    **NOTICE_TYPES,
}
"""Types about the gateway itself, sent only to endpoints that name them (a test event: to the endpoint tested)."""

EVENT_TYPES: dict[str, str] = MESSAGE_TYPES | OPERATIONAL_TYPES
OPT_IN_TYPES = frozenset({"email.unknown"})

_OTHER_FORMS = {
    "email.accepted": ("accept", "queued", "processed"),
    "email.sent": ("send",),
    "email.delivered": ("deliver", "delivery"),
    "email.deferred": ("defer", "deferral", "delayed"),
    "email.bounced": ("bounce",),
    "email.dropped": ("drop", "suppressed"),
    "email.failed": ("fail", "failure"),
    "email.open": ("opened",),
    "email.click": ("clicked",),
    "email.complaint": ("complain", "complained", "spam"),
    "email.unsubscribe": ("unsubscribed",),
    "email.subscribe": ("subscribed", "resubscribe", "resubscribed"),
    "email.received": ("receive", "inbound"),
    "email.replied": ("reply",),
    "email.unknown": (),
}
_CANONICAL = {name: name for name in EVENT_TYPES}
for _type, _forms in _OTHER_FORMS.items():
    for _form in (_type.removeprefix("email."), *_forms):
        _CANONICAL[_form] = _CANONICAL[f"email.{_form}"] = _type


def canonical_type(word: str) -> str | None:
    """The event type a subscriber means by `word` ("bounce", "email.bounce", "Bounced"), or None when there is none."""
    return _CANONICAL.get(word.strip().lower())


class Provider(msgspec.Struct):
    """Where the event came from."""

    name: str
    """The mapping: "sendgrid"."""
    source: str
    """The name of the source that received it; filled in by the gateway."""
    event_id: str | None = None
    """The provider's own id of this event, where it has one."""
    event_type: str | None = None
    """The provider's own name of the type, as it was sent."""
    stream: str | None = None
    """The provider's message stream, pool or subaccount, where it says so."""


class Delivery(msgspec.Struct, frozen=True):
    """How the recipient's server took the message (on email.delivered)."""

    smtp_code: int | None = None
    enhanced_code: str | None = None
    diagnostic: str | None = None


class Bounce(msgspec.Struct, frozen=True, rename={"class_": "class"}):
    """Why delivery failed for good, for this message."""

    class_: str
    """hard (a bad address), soft (it may work later), block (content, reputation or policy), suppressed, unknown."""
    category: str | None = None
    """The provider's own class or reason, in its words."""
    smtp_code: int | None = None
    """The three digits of the server's reply: 550."""
    enhanced_code: str | None = None
    """The RFC 3463 status: "5.1.1"."""
    diagnostic: str | None = None
    """What the recipient's server, or the provider, said."""
    permanent: bool = False
    """True when sending to this address again makes no sense."""
    suppress_recommended: bool = False
    """True when the address should be written to no more: class suppressed, or hard and permanent."""


class Deferral(msgspec.Struct, frozen=True):
    """A refusal for now."""

    attempt: int | None = None
    """How many tries the provider has made, where it says so."""
    next_attempt_at: str | None = None
    smtp_code: int | None = None
    enhanced_code: str | None = None
    diagnostic: str | None = None


class Drop(msgspec.Struct, frozen=True):
    """Why the provider refused to try, or could not produce the message."""

    reason: str | None = None
    """In the provider's words."""
    category: str | None = None
    """suppressed, unsubscribed, complained, invalid, content, policy, quota, template, or the provider's own."""


class Complaint(msgspec.Struct, frozen=True):
    """A feedback loop's report."""

    feedback_type: str | None = None
    """As in RFC 5965: abuse, fraud, virus, not-spam, other."""


class Unsubscribe(msgspec.Struct, frozen=True):
    """What the recipient left, or rejoined."""

    scope: str | None = None
    """all, list, or None where the provider does not say."""
    list_id: str | None = None


class Click(msgspec.Struct, frozen=True):
    """The link that was followed."""

    url: str | None = None


class Open(msgspec.Struct, frozen=True):
    """The opening of the message."""

    first: bool | None = None
    """True for the first open of this message by this recipient, None where the provider does not say."""


class Client(msgspec.Struct, frozen=True):
    """The program that opened or clicked."""

    ip: str | None = None
    user_agent: str | None = None
    name: str | None = None
    os: str | None = None
    device: str | None = None
    bot: str | None = None
    """The name of the software, where the provider recognised one."""
    machine: bool | None = None
    """True when software, not a person, opened or clicked (a privacy proxy, a scanner)."""
    machine_reason: str | None = None
    """Why: privacy_proxy, prefetch, scanner, bot, or the provider's own word. image_proxy is no machine by itself."""


class Geo(msgspec.Struct, frozen=True):
    """Where the client's address is registered."""

    country: str | None = None
    region: str | None = None
    city: str | None = None


BLOCKS: dict[str, type[msgspec.Struct]] = {
    "delivery": Delivery,
    "bounce": Bounce,
    "deferral": Deferral,
    "drop": Drop,
    "complaint": Complaint,
    "unsubscribe": Unsubscribe,
    "click": Click,
    "open": Open,
    "client": Client,
    "geo": Geo,
}
"""The optional blocks of `EventData`, by field name; one is present only where it applies."""


class EventData(msgspec.Struct, kw_only=True):
    """What happened to one message for one recipient."""

    email_id: str | None = None
    """The provider's id of the message, the one its send API returned."""
    message_id: str | None = None
    """RFC 5322 Message-ID without angle brackets."""
    recipient: str | None = None
    """The bare address."""
    attribution: str = "exact"
    """exact, or any_of where the provider does not say which recipient of `to` it was."""
    provider: Provider
    received_at: str = ""
    """When the gateway took it; filled in by the gateway."""
    subject: str | None = None
    from_: str | None = msgspec.field(default=None, name="from")
    to: list[str] = []
    tags: list[str] = []
    metadata: dict[str, Any] = {}
    delivery: Delivery | UnsetType = UNSET
    bounce: Bounce | UnsetType = UNSET
    deferral: Deferral | UnsetType = UNSET
    drop: Drop | UnsetType = UNSET
    complaint: Complaint | UnsetType = UNSET
    unsubscribe: Unsubscribe | UnsetType = UNSET
    click: Click | UnsetType = UNSET
    open: Open | UnsetType = UNSET
    client: Client | UnsetType = UNSET
    geo: Geo | UnsetType = UNSET


class Event(msgspec.Struct, kw_only=True):
    """The body that subscribers receive."""

    id: str
    """evt_…: sortable, unique, equal on every retry and replay."""
    type: str
    schema_version: str = SCHEMA_VERSION
    timestamp: str
    """When it happened at the provider: ISO 8601, UTC, milliseconds."""
    org_id: str
    env_id: str
    data: EventData


def iso_millis(unix_ms: int) -> str:
    """`unix_ms` (milliseconds since 1970, UTC) as "2026-03-03T08:15:00.000Z"."""
    return _iso_seconds(unix_ms // 1000) + _ISO_MILLIS[unix_ms % 1000]


_ISO_MILLIS = tuple(f".{millis:03d}Z" for millis in range(1000))


@lru_cache(SECONDS_REMEMBERED)
def _iso_seconds(unix_s: int) -> str:
    # Events of one request, and requests of one moment, share their seconds.
    return datetime.fromtimestamp(unix_s, UTC).isoformat()[:19]
