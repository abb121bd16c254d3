"""What the gateway says about itself: the data of `endpoint.*`, `source.silent` and `alert.*`."""

import msgspec
from msgspec import UNSET, UnsetType

from adapters.events import SCHEMA_VERSION


class NoticeEndpoint(msgspec.Struct, frozen=True, kw_only=True):
    """The endpoint that it is about."""

    id: int
    """As in /api/webhooks/manage/{id}."""
    url: str
    """Its scheme and host; what follows may be a secret."""
    description: str
    """In its owner's words."""


class NoticeSource(msgspec.Struct, frozen=True, kw_only=True):
    """The source that it is about."""

    name: str
    """As in /api/sources/{name}."""
    provider: str


class NoticeAlert(msgspec.Struct, frozen=True, kw_only=True):
    """The rule that watches."""

    id: int
    """As in /api/alerts/{id}."""
    name: str
    kind: str
    """What it watches: failure_rate, bounce_rate, …"""


class Notice(msgspec.Struct, kw_only=True):
    """What has happened to the gateway, one of its endpoints or one of its sources."""

    summary: str
    """What and why, in one plain sentence."""
    since: str
    """When it began: ISO 8601, UTC, milliseconds."""
    numbers: dict[str, float | int] = {}
    """What the sentence is made of; the names depend on the type."""
    endpoint: NoticeEndpoint | UnsetType = UNSET
    source: NoticeSource | UnsetType = UNSET
    alert: NoticeAlert | UnsetType = UNSET


NOTICE_BLOCKS: dict[str, type[msgspec.Struct]] = {
    "endpoint": NoticeEndpoint,
    "source": NoticeSource,
    "alert": NoticeAlert,
}
"""The optional blocks of `Notice`, by field name; one is present only where it applies."""


class OperationalEvent(msgspec.Struct, kw_only=True):
    """The body that subscribers to the gateway's own news receive: the envelope of every event, other data."""

    id: str
    """evt_…: sortable, unique, equal on every retry and replay."""
    type: str
    schema_version: str = SCHEMA_VERSION
    timestamp: str
    """When the gateway noticed: ISO 8601, UTC, milliseconds."""
    org_id: str
    env_id: str
    data: Notice
