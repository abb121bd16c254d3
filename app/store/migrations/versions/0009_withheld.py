"""What of receipts is not kept as it arrived."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.add_column("receipt", sa.Column("withheld", sa.String(), nullable=True))
