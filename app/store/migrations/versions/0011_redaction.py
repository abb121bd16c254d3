"""What sources leave out, and the keys of the pseudonyms that stand in place of addresses."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.add_column("source", sa.Column("redact", sa.JSON(), nullable=True))
    op.add_column("environment", sa.Column("pseudonym_key_sealed", sa.LargeBinary(), nullable=True))
