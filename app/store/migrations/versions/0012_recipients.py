"""Recipients in small letters, to be found in any case."""

from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.execute("UPDATE event SET recipient = lower(recipient) WHERE recipient <> lower(recipient)")
