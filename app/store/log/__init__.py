"""What happened: events, deliveries and receipts, in pages and one by one. Nobody sees another environment's rows."""

from app.store.log.counts import count_open
from app.store.log.deliveries import DeliveryFilter, get_delivery, list_deliveries
from app.store.log.events import EventFilter, follow_events, get_event, list_events, recent_events
from app.store.log.forwards import FailedFilter, Missing, Reach, events_forwards, failed_forwards
from app.store.log.receipts import ReceiptFilter, get_receipt, list_receipts
from app.store.walks import Span

__all__ = [
    "DeliveryFilter",
    "EventFilter",
    "FailedFilter",
    "Missing",
    "Reach",
    "ReceiptFilter",
    "Span",
    "count_open",
    "events_forwards",
    "failed_forwards",
    "follow_events",
    "get_delivery",
    "get_event",
    "get_receipt",
    "list_deliveries",
    "list_events",
    "list_receipts",
    "recent_events",
]
