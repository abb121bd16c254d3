"""Who is logged in to the dashboard."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    for table in ("login_link", "web_session"):
        op.create_table(
            table,
            sa.Column("digest", sa.LargeBinary(), nullable=False),
            sa.Column("key_id", sa.Integer(), nullable=False),
            sa.Column("expires_at", sa.BigInteger(), nullable=False),
            sa.ForeignKeyConstraint(["key_id"], ["api_key.id"]),
            sa.PrimaryKeyConstraint("digest"),
        )
        op.create_index(f"ix_{table}_expires_at", table, ["expires_at"])
