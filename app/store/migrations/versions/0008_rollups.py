"""Counts by the minute and by the hour."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.create_table(
        "rollup",
        *_subject(),
        sa.Column("minute", sa.BigInteger(), nullable=False),
        sa.Column("node", sa.Integer(), nullable=False),
        *_counted(),
        sa.PrimaryKeyConstraint("environment_id", "kind", "subject_id", "minute", "node", "measure"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "rollup_hour",
        *_subject(),
        sa.Column("hour", sa.BigInteger(), nullable=False),
        *_counted(),
        sa.PrimaryKeyConstraint("environment_id", "kind", "subject_id", "hour", "measure"),
        sqlite_with_rowid=False,
    )


def _subject() -> list[sa.Column[object]]:
    return [
        sa.Column("environment_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("subject_id", sa.Integer(), nullable=False),
    ]


def _counted() -> list[sa.Column[object]]:
    return [
        sa.Column("measure", sa.String(), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
    ]
