"""Which endpoints get many events in one request, and the attempts made so."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    op.add_column("endpoint", sa.Column("delivery", sa.String(), nullable=False, server_default="single"))
    op.add_column("endpoint", sa.Column("batch_max_events", sa.Integer(), nullable=True))
    op.add_column("endpoint", sa.Column("batch_max_wait_ms", sa.Integer(), nullable=True))
    op.add_column("attempt", sa.Column("batch", sa.LargeBinary(), nullable=True))
