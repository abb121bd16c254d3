"""One line of each log: the columns it takes, and how they are shown."""

from typing import Any

import sqlalchemy as sa

from adapters.events import iso_millis
from app.store.ids import DELIVERY, EVENT, RECEIPT, public_id, time_ms
from app.store.tables import PENDING, DeliveryRow, EventRow, ReceiptRow, SourceRow, table_of
from app.store.views import DeliveryLine, EventLine, ReceiptLine, shown, shown_or_none

LISTED_MAX = 200
"""How many deliveries of an event, events of a receipt or attempts of a delivery are listed with it."""

event, delivery, receipt = table_of(EventRow), table_of(DeliveryRow), table_of(ReceiptRow)
source = table_of(SourceRow)

EVENT_LINES = sa.select(
    event.c.id,
    event.c.type,
    event.c.recipient,
    event.c.email_id,
    event.c.occurred_at,
    source.c.name.label("source"),
    source.c.provider,
).outerjoin(source, source.c.id == event.c.source_id)

DELIVERY_LINES = sa.select(delivery, event.c.type, event.c.recipient).join(event, event.c.id == delivery.c.event_id)

RECEIPT_LINES = sa.select(
    receipt.c.id,
    receipt.c.status,
    receipt.c.reason,
    receipt.c.withheld,
    source.c.name.label("source"),
    source.c.provider,
).outerjoin(source, source.c.id == receipt.c.source_id)


def looked_up(wanted: sa.Column[Any], reference: sa.Column[Any]) -> sa.ScalarSelect[Any]:
    """A column of the one row whose id is `reference`, found row by row.

    A condition on a joined table would let the planner begin with that table, and then sort all it finds for it.
    """
    one = wanted.table.alias()
    return sa.select(one.c[wanted.name]).where(one.c.id == reference).scalar_subquery()


def event_line(row: Any) -> EventLine:
    """An event as it is listed."""
    return EventLine(
        id=public_id(EVENT, row.id),
        type=row.type,
        recipient=row.recipient,
        email_id=row.email_id,
        source=row.source,
        provider=row.provider,
        occurred_at=shown(row.occurred_at),
        received_at=iso_millis(time_ms(row.id)),
    )


def delivery_line(row: Any) -> DeliveryLine:
    """A delivery as it is listed."""
    return DeliveryLine(
        id=public_id(DELIVERY, row.id),
        event_id=public_id(EVENT, row.event_id),
        endpoint_id=row.endpoint_id,
        type=row.type,
        recipient=row.recipient,
        origin=row.origin,
        status=row.status,
        attempts=row.attempts,
        status_code=row.status_code,
        error=row.error,
        created_at=iso_millis(time_ms(row.id)),
        next_attempt_at=shown(row.due_at) if row.status == PENDING else None,
        finished_at=shown_or_none(row.finished_at),
    )


def receipt_line(row: Any) -> ReceiptLine:
    """A provider request as it is listed."""
    return ReceiptLine(
        id=public_id(RECEIPT, row.id),
        source=row.source,
        provider=row.provider,
        status=row.status,
        reason=row.reason,
        received_at=iso_millis(time_ms(row.id)),
        withheld=row.withheld,
    )
