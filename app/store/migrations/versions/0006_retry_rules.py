"""What of an endpoint is tried again, and for how long."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.add_column("endpoint", sa.Column("retry_max_age_s", sa.Float(), nullable=True))
    op.add_column("endpoint", sa.Column("retry_on", sa.JSON(), nullable=True))
