"""An index of what is held for each endpoint. The values of endpoints' headers are sealed by the start that follows."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_index(
        "ix_delivery_held",
        "delivery",
        ["endpoint_id", "due_at"],
        sqlite_where=sa.text("status = 'held'"),
        postgresql_where=sa.text("status = 'held'"),
    )
