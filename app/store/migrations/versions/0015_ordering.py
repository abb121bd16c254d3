"""Which endpoints get the events of one recipient in order, and the lines that deliveries stand in."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"

_LEADING = "order_key IS NOT NULL AND status IN ('pending', 'sending', 'held')"


def upgrade() -> None:
    op.add_column("endpoint", sa.Column("ordering", sa.String(), nullable=False, server_default="none"))
    op.add_column("delivery", sa.Column("order_key", sa.BigInteger(), nullable=True))
    op.create_index(
        "ix_delivery_queued",
        "delivery",
        ["endpoint_id", "order_key", "id"],
        sqlite_where=sa.text("status = 'queued'"),
        postgresql_where=sa.text("status = 'queued'"),
    )
    op.create_index(
        "ix_delivery_leading",
        "delivery",
        ["order_key"],
        sqlite_where=sa.text(_LEADING),
        postgresql_where=sa.text(_LEADING),
    )
