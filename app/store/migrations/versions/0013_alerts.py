"""Alert rules, what fires, the mails that tell it, and who watches. Each environment gets its first rules."""

import time

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"

_FIRST_RULES = (
    ("Failing endpoint", "failure_rate", 0.5, 900, 20),
    ("Backlog", "backlog_age", 900.0, 60, 1),
    ("Bounces", "bounce_rate", 0.05, 86_400, 200),
    ("Complaints", "complaint_rate", 0.001, 86_400, 2_000),
    ("Refused signatures", "rejected", 20.0, 900, 1),
    ("Unknown types", "quarantined", 10.0, 3_600, 1),
    ("Silence", "source_silent", 2.0, 7_200, 20),
)


def upgrade() -> None:
    _rules()
    op.create_table(
        "alert_state",
        sa.Column("alert_id", sa.Integer(), nullable=False),
        sa.Column("subject_id", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("value", sa.Float(), nullable=True),
        sa.Column("summary", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["alert_id"], ["alert.id"]),
        sa.PrimaryKeyConstraint("alert_id", "subject_id"),
    )
    op.create_table(
        "alert_mail",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("message_id", sa.String(), nullable=False),
        sa.Column("recipients", sa.JSON(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("body", sa.String(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_alert_mail_due_at", "alert_mail", ["due_at"])
    op.create_table(
        "duty",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("node", sa.Integer(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )


def _rules() -> None:
    alert = op.create_table(
        "alert",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("environment_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("source_id", sa.Integer(), nullable=True),
        sa.Column("endpoint_id", sa.Integer(), nullable=True),
        sa.Column("threshold", sa.Float(), nullable=False),
        sa.Column("window_s", sa.Integer(), nullable=False),
        sa.Column("min_count", sa.Integer(), nullable=False),
        sa.Column("mail_to", sa.JSON(), nullable=True),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["environment_id"], ["environment.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_alert_environment_id", "alert", ["environment_id"])
    now = round(time.time() * 1000)
    environments = (
        op.get_bind().scalars(sa.select(sa.column("id", sa.Integer)).select_from(sa.table("environment"))).all()
    )
    for environment_id in environments:
        for name, kind, threshold, window_s, min_count in _FIRST_RULES:
            op.get_bind().execute(
                sa.insert(alert).values(
                    environment_id=environment_id,
                    name=name,
                    kind=kind,
                    threshold=threshold,
                    window_s=window_s,
                    min_count=min_count,
                    active=True,
                    created_at=now,
                    updated_at=now,
                )
            )
