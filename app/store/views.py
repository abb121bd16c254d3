"""How stored values are shown: the shapes of the log, ready to be encoded."""

from collections.abc import Sequence
from datetime import datetime
from typing import Generic, TypeVar

import msgspec

from adapters.events import iso_millis

T = TypeVar("T")

HIDDEN = "(hidden)"
"""What is shown in place of a value that may be a secret."""


class Page(msgspec.Struct, Generic[T], frozen=True):
    """Rows of a log, newest first; `next_cursor` asks for the page after it, None after the last one."""

    rows: Sequence[T]
    next_cursor: int | None


class EventLine(msgspec.Struct, frozen=True):
    """An event in a list; `source` and `provider` are None for events of the gateway itself."""

    id: str
    type: str
    recipient: str | None
    email_id: str | None
    source: str | None
    provider: str | None
    occurred_at: str
    received_at: str


class DeliveryLine(msgspec.Struct, frozen=True):
    """A delivery in a list; `status_code` and `error` are of the last attempt, or why it is held."""

    id: str
    event_id: str
    endpoint_id: int
    type: str
    recipient: str | None
    origin: str
    status: str
    attempts: int
    status_code: int | None
    error: str | None
    created_at: str
    next_attempt_at: str | None
    """Only while it is pending."""
    finished_at: str | None


class DeliveryState(msgspec.Struct, frozen=True):
    """How a delivery of an event stands."""

    id: str
    endpoint_id: int
    status: str
    attempts: int
    status_code: int | None
    error: str | None


class TimelineEvent(msgspec.Struct, frozen=True):
    """An event among others; `late` when something that happened later had arrived before it."""

    event: EventLine
    late: bool
    deliveries: Sequence[DeliveryState]


class ReceiptLine(msgspec.Struct, frozen=True):
    """A provider request in a list."""

    id: str
    source: str
    provider: str
    status: str
    reason: str | None
    received_at: str
    withheld: str | None
    """Why it is not as it arrived: forgotten or redacted; None where it is."""


class EventDetail(msgspec.Struct, frozen=True):
    """An event as subscribers receive it, where it came from and where it went (the newest deliveries first)."""

    event: msgspec.Raw
    receipt: ReceiptLine | None
    deliveries: Sequence[DeliveryLine]


class FollowedEvent(msgspec.Struct, frozen=True):
    """An event for those who follow the log; `body` is what subscribers receive."""

    id: int
    type: str
    body: bytes


class LiveEvent(msgspec.Struct, frozen=True):
    """An event for those who follow the stream, of any environment, with what they may filter by."""

    id: int
    environment_id: int
    type: str
    recipient: str | None
    email_id: str | None
    source: str | None
    provider: str | None
    body: bytes


class SentRequest(msgspec.Struct, frozen=True):
    """What an attempt sent; `url` is the endpoint's present one."""

    url: str
    headers: msgspec.Raw
    body: str


class ReceivedResponse(msgspec.Struct, frozen=True):
    """What the subscriber answered, as far as it was kept."""

    headers: msgspec.Raw
    body: str
    truncated: bool


class AttemptView(msgspec.Struct, frozen=True):
    """One HTTP try."""

    number: int
    started_at: str
    duration_ms: int
    status_code: int | None
    error: str | None
    error_kind: str | None
    timing: msgspec.Raw
    request: SentRequest
    response: ReceivedResponse
    batch: msgspec.Raw | None
    """{"id", "size", "first"}: it went with others in one request, and the answer's body is kept with the first one."""


class DeliveryDetail(msgspec.Struct, frozen=True):
    """A delivery with every attempt, the first one first."""

    delivery: DeliveryLine
    next_attempt_at: str | None
    remaining_schedule: Sequence[str]
    """When the attempts that are left are planned, if all of them fail; the first one is the next attempt."""
    attempts: Sequence[AttemptView]


class NativeRequestView(msgspec.Struct, frozen=True):
    """What the provider sent."""

    method: str
    url: str
    headers: msgspec.Raw
    body: str


class ReceiptDetail(msgspec.Struct, frozen=True):
    """A provider request as it arrived, the items that were quarantined, and the events that came of it."""

    receipt: ReceiptLine
    request: NativeRequestView
    problems: msgspec.Raw
    """[{"index", "reason", "native_type"}]"""
    events: Sequence[EventLine]


class OpenDeliveries(msgspec.Struct, frozen=True):
    """What is not finished, over all environments."""

    by_status: dict[str, int]
    oldest_due_at: datetime | None
    """Of the pending ones; None when there are none."""
    active_endpoints: int


def shown(moment: datetime) -> str:
    """A stored time as "2026-03-03T08:15:00.000Z"."""
    return iso_millis(round(moment.timestamp() * 1000))


def shown_or_none(moment: datetime | None) -> str | None:
    """The same, where there may be none."""
    return None if moment is None else shown(moment)


def as_text(body: bytes) -> str:
    """A body as text; what is not UTF-8 shows as replacement characters."""
    return body.decode("utf-8", "replace")
