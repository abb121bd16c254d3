"""Indexes without what nobody asks them for: the numbers that SQLite's have anyway, and the commonest type.

What is stored stays as it is; rows that come from now on are packed.
"""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"

_NUMBERED = (
    ("ix_receipt_source", "receipt", ["source_id"], None),
    ("ix_receipt_odd", "receipt", ["status"], "status <> 'accepted'"),
    ("ix_event_recipient", "event", ["recipient"], None),
    ("ix_event_email", "event", ["email_id"], None),
    ("ix_delivery_odd", "delivery", ["status"], "status IN ('failed', 'held', 'cancelled')"),
    ("ix_delivery_queued", "delivery", ["endpoint_id", "order_key"], "status = 'queued'"),
    ("ix_delivery_endpoint", "delivery", ["endpoint_id"], None),
    ("ix_bulk_job_environment", "bulk_job", ["environment_id"], None),
)
"""Entries of SQLite's indexes end with the number of their row; these had it twice."""


def upgrade() -> None:
    on_sqlite = op.get_bind().dialect.name == "sqlite"
    for name, table, columns, where in _NUMBERED if on_sqlite else ():
        op.drop_index(name, table)
        op.create_index(name, table, columns, sqlite_where=None if where is None else sa.text(where))
    op.drop_index("ix_event_type", "event")
    not_delivered = sa.text("type <> 'email.delivered'")
    columns = ["type"] if on_sqlite else ["type", "id"]
    op.create_index("ix_event_type", "event", columns, sqlite_where=not_delivered, postgresql_where=not_delivered)
