"""What a provider request leaves behind: its receipt, its events and the deliveries they are owed."""

from collections.abc import Callable
from typing import Any

import msgspec
import sqlalchemy as sa

from app.store.order import Line


class NewEvent(msgspec.Struct):
    """An event to be stored unless its source has it already; the times are milliseconds since 1970."""

    id: int
    environment_id: int
    source_id: int | None
    receipt_id: int | None
    type: str
    recipient: str | None
    email_id: str | None
    occurred_at: int
    dedup_key: bytes
    body: bytes
    message_id: str | None = None
    """The Message-ID, where it is another than `email_id`."""
    bounce_class: str | None = None
    endpoint_id: int | None = None
    """The one endpoint it is for; None: all that asked for its type."""
    _document: Any = None

    def document(self) -> Any:
        """The body decoded, for filters; decoded once."""
        if self._document is None:
            self._document = msgspec.json.decode(self.body)
        return self._document


class NewDelivery(msgspec.Struct):
    """A delivery to be stored: pending, held, or already in the sender's hands (`sending`, with a lease).

    One that stands in a `line` may turn out to be queued when it is stored.
    """

    id: int
    event: NewEvent
    endpoint_id: int
    status: str
    due_at: int
    origin: str = "event"
    lease_node: int | None = None
    lease_until: int | None = None
    error: str | None = None
    line: Line | None = None


class NewReceipt(msgspec.Struct):
    """A provider request to be kept; `headers` and `problems` are JSON."""

    id: int
    environment_id: int
    source_id: int
    method: str
    url: str
    headers: bytes
    body: bytes
    reason: str | None = None
    problems: bytes | None = None
    once_digest: bytes | None = None
    withheld: str | None = None
    """Why it is not as it arrived, where it is not."""
    again: bool = False
    """True when a stored receipt was read again: it is changed instead of added."""


class Arrival(msgspec.Struct):
    """Everything one request brings. An event of the gateway itself, such as a test, has no receipt."""

    receipt: NewReceipt | None
    events: list[NewEvent]
    rejected: bool = False
    """True when the request did not verify."""

    condition: Callable[[sa.Connection], bool] | None = None
    """Asked in the transaction, before anything is written; when it says no, nothing of the arrival is stored.

    What it changes there is durable together with the events, or not at all: a compare-and-set makes sure that, of
    several nodes, one tells the news once. It may be asked again when the transaction failed.
    """

    deliveries: list[NewDelivery] = []
    """What its events are owed, should they be new."""

    @property
    def size(self) -> int:
        """Bytes that it holds in memory, roughly."""
        return (len(self.receipt.body) if self.receipt else 0) + sum(len(event.body) for event in self.events)

    # Filled in when it is stored.
    status: str = ""
    """Stays empty when its condition said no."""
    reason: str | None = None
    spends_token: bool = False
    stored: list[NewEvent] = []
    """The events that were new."""
