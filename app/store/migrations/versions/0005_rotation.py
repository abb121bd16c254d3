"""When the secrets end that an endpoint's newest has replaced."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.add_column("endpoint", sa.Column("old_secrets_end_at", sa.JSON(), nullable=True))
