"""What happened: events, deliveries and receipts, in pages and one by one. Nobody sees another environment's rows."""

from app.store.log.counts import count_open
from app.store.log.deliveries import DeliveryFilter, Tried, get_delivery, list_deliveries, list_states, recent_attempts
from app.store.log.events import EventFilter, follow_events, get_event, list_events, recent_events
from app.store.log.following import (
    count_between,
    events_after,
    events_numbered,
    events_onwards,
    ids_between,
    newest_event,
)
from app.store.log.forwards import FailedFilter, Missing, Reach, events_forwards, failed_forwards
from app.store.log.receipts import ReceiptFilter, get_receipt, list_receipts
from app.store.log.troubles import failed_deliveries, odd_receipts
from app.store.walks import Span

__all__ = [
    "DeliveryFilter",
    "EventFilter",
    "FailedFilter",
    "Missing",
    "Reach",
    "ReceiptFilter",
    "Span",
    "Tried",
    "count_between",
    "count_open",
    "events_after",
    "events_forwards",
    "events_numbered",
    "events_onwards",
    "failed_deliveries",
    "failed_forwards",
    "follow_events",
    "get_delivery",
    "get_event",
    "get_receipt",
    "ids_between",
    "list_deliveries",
    "list_events",
    "list_receipts",
    "list_states",
    "newest_event",
    "odd_receipts",
    "recent_attempts",
    "recent_events",
]
