"""The tables, and the life of a delivery as a table one can read.

Times are aware UTC datetimes in Python and milliseconds since 1970 in the database. Identifiers of receipts, events and
deliveries are the numbers of `ids`. Texts of secrets are sealed (see `vault`) before they come here.
"""

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, cast

import sqlalchemy as sa
from sqlalchemy.orm import declared_attr
from sqlalchemy.types import TypeDecorator
from sqlmodel import Field, SQLModel

from app.store.packing import Packed
from app.store.shortening import SentHeaders, Times


class UtcMillis(TypeDecorator[datetime]):
    """An aware datetime, stored as milliseconds since 1970; the hot path hands in the milliseconds themselves."""

    impl = sa.BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | int | None, dialect: sa.Dialect) -> int | None:  # noqa: ARG002 - SQLAlchemy's signature
        """Milliseconds for the database."""
        return round(value.timestamp() * 1000) if isinstance(value, datetime) else value

    def process_result_value(self, value: int | None, dialect: sa.Dialect) -> datetime | None:  # noqa: ARG002 - SQLAlchemy's signature
        """Aware UTC for the program."""
        return None if value is None else datetime.fromtimestamp(value / 1000, UTC)


# SQLite takes a primary key for the rowid only where its type is INTEGER to the letter.
_KEY_TYPE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _key() -> Any:
    return Field(sa_column=sa.Column(_KEY_TYPE, primary_key=True, autoincrement=False))


def _numbered() -> Any:
    return Field(default=None, sa_column=sa.Column(sa.Integer, primary_key=True, autoincrement=True))


def _ref(table: str, **options: Any) -> Any:
    return Field(sa_type=sa.BigInteger, foreign_key=f"{table}.id", **options)


def _time(**options: Any) -> Any:
    return Field(sa_type=UtcMillis, **options)


# What a receipt can be.
ACCEPTED, DUPLICATE, QUARANTINED, REJECTED = "accepted", "duplicate", "quarantined", "rejected"
RECEIPT_STATUSES = (ACCEPTED, DUPLICATE, QUARANTINED, REJECTED)

# Why a receipt is not as it arrived: an address was taken out of it, or its source redacts.
FORGOTTEN_IN_PART, REDACTED = "forgotten", "redacted"

# What a delivery can be.
PENDING, SENDING, DELIVERED, FAILED, HELD, CANCELLED = "pending", "sending", "delivered", "failed", "held", "cancelled"
QUEUED = "queued"

DELIVERY_LIFE: dict[str, frozenset[str]] = {
    #          waits for an earlier one of its recipient
    QUEUED: frozenset({PENDING, CANCELLED}),
    #          to be sent at due_at          a node has claimed it until lease_until
    PENDING: frozenset({SENDING, HELD, CANCELLED}),
    SENDING: frozenset({DELIVERED, PENDING, FAILED, HELD, CANCELLED}),
    #          2xx; sent again only by hand
    DELIVERED: frozenset({PENDING, QUEUED}),
    #          the schedule is used up; recoverable
    FAILED: frozenset({PENDING, QUEUED, CANCELLED}),
    #          its endpoint is paused or disabled
    HELD: frozenset({PENDING, CANCELLED}),
    #          its endpoint was deleted, or what was held for it was dropped
    CANCELLED: frozenset(),
}
"""From each status, the statuses it may change to."""
DELIVERY_STATUSES = tuple(DELIVERY_LIFE)
LEADING = (PENDING, SENDING, HELD)
"""Where a delivery is that the later ones of its recipient wait for."""
FINISHED = (DELIVERED, FAILED, CANCELLED)

# Whether an endpoint gets the events of one recipient one after the other.
NONE, RECIPIENT = "none", "recipient"
# Whether it gets a request for each event or for many.
SINGLE, BATCH = "single", "batch"

# What a bulk job can be, and what it does.
RUNNING, DONE = "running", "done"
REPLAY, RECOVER_FAILED, RECOVER_MISSING = "replay", "recover_failed", "recover_missing"

COMMONEST_TYPE = "email.delivered"
"""The type of half of all events, found soon on any walk of the log; the index of types leaves it out."""

NOT_ACTIVE = "the endpoint is not active"
"""The `error` of deliveries that are held for no reason of their own; as soon as the endpoint is active they go on."""


def _walked(name: str, *columns: str, where: str | None = None) -> tuple[sa.Index, sa.Index]:
    """An index whose entries end with the number of their rows, as all of SQLite's do without being told."""
    condition = None if where is None else sa.text(where)
    return (
        sa.Index(name, *columns, sqlite_where=condition).ddl_if(dialect="sqlite"),
        sa.Index(name, *columns, "id", postgresql_where=condition).ddl_if(dialect="postgresql"),
    )


class ChangeForbidden(Exception):
    """A delivery cannot go from the one status to the other."""


def check_change(status: str, to: Iterable[str]) -> None:
    """Raises ChangeForbidden unless the state table allows every change."""
    if forbidden := set(to) - DELIVERY_LIFE[status]:
        raise ChangeForbidden(f"a delivery that is {status} cannot become {' or '.join(sorted(forbidden))}")


def table_of(row: type[SQLModel]) -> sa.Table:
    """The Core table behind a row class, for the statements of the hot path."""
    return cast("sa.Table", row.__table__)  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]


class _Row(SQLModel):
    """Names each table after its class: ApiKeyRow is kept in api_key."""

    # Rows are not validated: the schema that pydantic would do it with is never built.
    model_config = {"defer_build": True}

    @declared_attr.directive  # pyright: ignore[reportArgumentType]
    @classmethod
    def __tablename__(cls) -> str:  # pyright: ignore[reportIncompatibleVariableOverride] - as SQLModel's own
        return re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__.removesuffix("Row")).lower()


class OrganizationRow(_Row, table=True):
    """Who owns environments."""

    id: int | None = _numbered()
    public_id: str = Field(unique=True)
    name: str
    created_at: datetime = _time()


class EnvironmentRow(_Row, table=True):
    """A separate world of sources, endpoints, keys and events: production, staging.

    `config_version` grows with every change of a source or endpoint; whoever keeps them in memory compares it.
    """

    id: int | None = _numbered()
    public_id: str = Field(unique=True)
    organization_id: int = Field(foreign_key="organization.id")
    name: str
    config_version: int = 1
    pseudonym_key_sealed: bytes | None = None
    """Made when the first source begins to redact."""
    created_at: datetime = _time()


class ApiKeyRow(_Row, table=True):
    """An API key; of the key itself only the SHA-256 digest and the first characters are kept."""

    id: int | None = _numbered()
    environment_id: int = Field(foreign_key="environment.id")
    name: str
    role: str
    digest: bytes = Field(unique=True)
    hint: str
    created_at: datetime = _time()
    revoked_at: datetime | None = _time(default=None)


class LoginLinkRow(_Row, table=True):
    """A link that logs in to the dashboard once, as the key; of its token only the SHA-256 digest is kept."""

    digest: bytes = Field(primary_key=True)
    key_id: int = Field(foreign_key="api_key.id")
    expires_at: datetime = _time(index=True)


class WebSessionRow(_Row, table=True):
    """A browser that is logged in to the dashboard, as the key; of its token only the SHA-256 digest is kept."""

    digest: bytes = Field(primary_key=True)
    key_id: int = Field(foreign_key="api_key.id")
    expires_at: datetime = _time(index=True)


class SourceRow(_Row, table=True):
    """A provider account that posts to us. The name is part of the URL, so it is unique over all environments.

    Deleted ones stay for the log's sake, without their secrets; the name is free again.
    """

    __table_args__ = (
        sa.Index(
            "ux_source_name",
            "name",
            unique=True,
            sqlite_where=sa.text("deleted_at IS NULL"),
            postgresql_where=sa.text("deleted_at IS NULL"),
        ),
    )

    id: int | None = _numbered()
    environment_id: int = Field(foreign_key="environment.id")
    name: str
    provider: str
    secrets_sealed: bytes
    options: dict[str, Any] = Field(sa_type=sa.JSON)
    verification: str
    redact: list[str] | None = Field(default=None, sa_type=sa.JSON)
    """What is taken out before anything is stored: words of `redaction`."""
    created_at: datetime = _time()
    updated_at: datetime = _time()
    deleted_at: datetime | None = _time(default=None)


class EndpointRow(_Row, table=True):
    """A subscriber's registration. `events` is the list in the caller's words; deleted ones stay for the log's sake.

    Of the headers the values are sealed: they may be the subscriber's passwords.
    """

    id: int | None = _numbered()
    environment_id: int = Field(foreign_key="environment.id", index=True)
    url: str
    events: str
    description: str = ""
    active: bool = True
    disabled_reason: str | None = None
    filter: str | None = None
    transform: str | None = None
    headers: dict[str, str] = Field(sa_type=sa.JSON)
    signature: str = "hmac"
    secrets_sealed: bytes
    old_secrets_end_at: list[int] | None = Field(default=None, sa_type=sa.JSON)
    """Milliseconds since 1970, of the secrets after the newest in their order; from then on they do not count."""
    max_in_flight: int | None = None
    rate_limit_per_s: float | None = None
    timeout_s: float | None = None
    retry_schedule_s: list[float] | None = Field(default=None, sa_type=sa.JSON)
    retry_max_age_s: float | None = None
    retry_on: list[int | str] | None = Field(default=None, sa_type=sa.JSON)
    ordering: str = Field(default=NONE, sa_column_kwargs={"server_default": NONE})
    delivery: str = Field(default=SINGLE, sa_column_kwargs={"server_default": SINGLE})
    batch_max_events: int | None = None
    batch_max_wait_ms: int | None = None
    created_at: datetime = _time()
    updated_at: datetime = _time()
    deleted_at: datetime | None = _time(default=None)


class EndpointHealthRow(_Row, table=True):
    """How an endpoint fares that has failed; there is no row for one that never has.

    `resume_at` is when it may be sent to again, `news` the change of its state that nobody has been told of yet.
    """

    endpoint_id: int = Field(primary_key=True, foreign_key="endpoint.id")
    failures: int = 0
    """Counted ones, in a row."""
    failing_since: datetime | None = _time(default=None)
    resume_at: datetime | None = _time(default=None)
    news: str | None = None
    """failing, recovered, disabled, or by hand: enabled, moved."""
    news_at: datetime | None = _time(default=None)
    reason: str | None = None
    """What the last failed attempt ended with."""


class ReceiptRow(_Row, table=True):
    """One raw provider request, see `requests`. `once_digest` is of the single-use token some providers sign."""

    __table_args__ = (
        *_walked("ix_receipt_source", "source_id"),
        *_walked("ix_receipt_odd", "status", where="status <> 'accepted'"),
        sa.Index(
            "ux_receipt_once",
            "source_id",
            "once_digest",
            unique=True,
            sqlite_where=sa.text("once_digest IS NOT NULL"),
            postgresql_where=sa.text("once_digest IS NOT NULL"),
        ),
    )

    id: int = _key()
    source_id: int = _ref("source")
    status: str
    reason: str | None = None
    problems: bytes | None = Field(default=None, sa_type=Packed)
    """JSON: [{"index", "reason", "native_type"}] of the quarantined items."""
    method: str
    url: str
    headers: bytes
    body: bytes
    once_digest: bytes | None = None
    withheld: str | None = None
    """Why it is not as it arrived: FORGOTTEN_IN_PART or REDACTED, None where it is."""


class EventRow(_Row, table=True):
    """One normalized fact. `body` is the JSON that subscribers receive; the other columns are there to find it."""

    __table_args__ = (
        sa.Index("ux_event_dedup", "source_id", "dedup_key", unique=True),
        sa.Index("ix_event_receipt", "receipt_id"),
        *_walked("ix_event_type", "type", where="type <> 'email.delivered'"),
        *_walked("ix_event_recipient", "recipient"),
        *_walked("ix_event_email", "email_id"),
        sa.Index(
            "ix_event_message",
            "message_id",
            sqlite_where=sa.text("message_id IS NOT NULL"),
            postgresql_where=sa.text("message_id IS NOT NULL"),
        ),
    )

    id: int = _key()
    environment_id: int
    source_id: int | None = None
    """None for events of the gateway itself, such as webhook.test."""
    receipt_id: int | None = Field(default=None, sa_type=sa.BigInteger)
    type: str
    recipient: str | None = None
    """In small letters, to be found in any case; as the provider wrote it in the body."""
    email_id: str | None = None
    message_id: str | None = None
    """The Message-ID without <>, where it is another than `email_id`."""
    occurred_at: datetime = _time()
    dedup_key: bytes
    body: bytes = Field(sa_type=Packed)


class DeliveryRow(_Row, table=True):
    """One event owed to one endpoint; `due_at` counts while pending and is 0 in the end, the lease while sending."""

    __table_args__ = (
        sa.Index(
            "ix_delivery_due",
            "endpoint_id",
            "due_at",
            sqlite_where=sa.text("status = 'pending'"),
            postgresql_where=sa.text("status = 'pending'"),
        ),
        sa.Index(
            "ix_delivery_lease",
            "lease_until",
            sqlite_where=sa.text("status = 'sending'"),
            postgresql_where=sa.text("status = 'sending'"),
        ),
        *_walked("ix_delivery_odd", "status", where="status IN ('failed', 'held', 'cancelled')"),
        sa.Index(
            "ix_delivery_held",
            "endpoint_id",
            "due_at",
            sqlite_where=sa.text("status = 'held'"),
            postgresql_where=sa.text("status = 'held'"),
        ),
        *_walked("ix_delivery_queued", "endpoint_id", "order_key", where="status = 'queued'"),
        sa.Index(
            "ix_delivery_leading",
            "order_key",
            sqlite_where=sa.text("order_key IS NOT NULL AND status IN ('pending', 'sending', 'held')"),
            postgresql_where=sa.text("order_key IS NOT NULL AND status IN ('pending', 'sending', 'held')"),
        ),
        sa.Index("ix_delivery_event", "event_id"),
        *_walked("ix_delivery_endpoint", "endpoint_id"),
    )

    id: int = _key()
    event_id: int = _ref("event")
    endpoint_id: int
    origin: str = "event"
    """event, replay, or test."""
    status: str
    attempts: int = 0
    due_at: datetime = _time()
    lease_node: int | None = None
    lease_until: datetime | None = _time(default=None)
    finished_at: datetime | None = _time(default=None)
    status_code: int | None = None
    """Of the last attempt."""
    error: str | None = None
    """Of the last attempt, or why it is held, in words."""
    order_key: int | None = Field(default=None, sa_type=sa.BigInteger)
    """The line that it stands in, see `order`; None where the endpoint asked for no order."""


class AttemptRow(_Row, table=True):
    """One HTTP try. `request_body` is None where it was the event's body; headers and timing are JSON objects."""

    __table_args__ = ({"sqlite_with_rowid": False},)

    delivery_id: int = Field(sa_column=sa.Column(sa.BigInteger, sa.ForeignKey("delivery.id"), primary_key=True))
    id: int = _key()
    number: int
    status_code: int | None = None
    error_kind: str | None = None
    error: str | None = None
    duration_ms: int
    timing: bytes = Field(sa_type=Times)
    request_headers: bytes = Field(sa_type=SentHeaders)
    request_body: bytes | None = Field(default=None, sa_type=Packed)
    response_headers: bytes = Field(sa_type=Packed)
    response_body: bytes = Field(sa_type=Packed)
    response_truncated: bool = False
    batch: bytes | None = None
    """JSON: {"id", "size", "first"}, where it was made for several deliveries at once; see `batches`."""


class DriftRow(_Row, table=True):
    """A native type, or a key at the top of native items, that no mapping named when it came."""

    source_id: int = Field(foreign_key="source.id", primary_key=True)
    kind: str = Field(primary_key=True)
    """type or key."""
    name: str = Field(primary_key=True)
    count: int = Field(sa_type=sa.BigInteger)
    first_seen: datetime = _time()
    last_seen: datetime = _time()
    receipt_id: int = Field(sa_type=sa.BigInteger)
    """Of one of the last requests that brought it."""
    sample: str


class BulkJobRow(_Row, table=True):
    """A task of sending many deliveries again, worked through in the order of numbers, step by step.

    A step moves `cursor`, the last number that it dealt with, in the transaction that makes its deliveries.
    """

    __table_args__ = (
        *_walked("ix_bulk_job_environment", "environment_id"),
        sa.Index(
            "ix_bulk_job_running",
            "id",
            sqlite_where=sa.text("state = 'running'"),
            postgresql_where=sa.text("state = 'running'"),
        ),
    )

    id: int = _key()
    environment_id: int = Field(foreign_key="environment.id")
    kind: str
    filters: dict[str, Any] = Field(sa_type=sa.JSON)
    endpoint_id: int | None = None
    """None: all that ask for an event, or all that have failed deliveries."""
    since: datetime | None = _time(default=None)
    until: datetime = _time()
    per_second: float
    state: str
    total: int = Field(sa_type=sa.BigInteger)
    total_exact: bool
    """False where counting would have taken too long, and there are at least so many."""
    done: int = Field(default=0, sa_type=sa.BigInteger)
    cursor: int = Field(sa_type=sa.BigInteger)
    error: str | None = None
    created_at: datetime = _time()
    updated_at: datetime = _time()
    finished_at: datetime | None = _time(default=None)
    lease_node: int | None = None
    lease_until: datetime | None = _time(default=None)


class RollupRow(_Row, table=True):
    """How often something happened in one minute, as one node counted it; see `rollups` for the measures.

    The node is part of the key so that no two nodes ever wait for each other's counts.
    """

    __table_args__ = ({"sqlite_with_rowid": False},)

    environment_id: int = Field(primary_key=True)
    kind: str = Field(primary_key=True)
    """source or endpoint."""
    subject_id: int = Field(primary_key=True)
    """Of the source or endpoint."""
    minute: int = Field(sa_type=sa.BigInteger, primary_key=True)
    """Its start, milliseconds since 1970."""
    node: int = Field(primary_key=True)
    measure: str = Field(primary_key=True)
    count: int = Field(sa_type=sa.BigInteger)


class RollupHourRow(_Row, table=True):
    """The minutes of the past, added up to hours over all nodes."""

    __table_args__ = ({"sqlite_with_rowid": False},)

    environment_id: int = Field(primary_key=True)
    kind: str = Field(primary_key=True)
    subject_id: int = Field(primary_key=True)
    hour: int = Field(sa_type=sa.BigInteger, primary_key=True)
    """Its start, milliseconds since 1970."""
    measure: str = Field(primary_key=True)
    count: int = Field(sa_type=sa.BigInteger)


class AlertRow(_Row, table=True):
    """A rule: what of the environment's sources or endpoints is watched, and from when on it is news."""

    id: int | None = _numbered()
    environment_id: int = Field(foreign_key="environment.id", index=True)
    name: str
    kind: str
    """One of `watching.KINDS`."""
    source_id: int | None = None
    """None: every source, each by itself."""
    endpoint_id: int | None = None
    """None: every endpoint, each by itself."""
    threshold: float
    window_s: int
    min_count: int
    mail_to: list[str] | None = Field(default=None, sa_type=sa.JSON)
    """None: those in the settings."""
    active: bool = True
    created_at: datetime = _time()
    updated_at: datetime = _time()


class AlertStateRow(_Row, table=True):
    """How it stands with one source or endpoint under a rule; no row is as good as `ok`."""

    alert_id: int = Field(foreign_key="alert.id", primary_key=True)
    subject_id: int = Field(primary_key=True)
    """Of the source or endpoint."""
    state: str
    """ok or firing."""
    since: datetime = _time()
    value: float | None = None
    summary: str


class AlertMailRow(_Row, table=True):
    """A mail that is still to be sent; it goes with the row."""

    id: int | None = _numbered()
    message_id: str
    """Of the event, the same in every attempt."""
    recipients: list[str] = Field(sa_type=sa.JSON)
    subject: str
    body: str
    attempts: int = 0
    created_at: datetime = _time()
    due_at: datetime = _time(index=True)


class DutyRow(_Row, table=True):
    """What one node does for all, until then."""

    name: str = Field(primary_key=True)
    node: int
    until: datetime = _time()


class NodeRow(_Row, table=True):
    """One start of the gateway; its number is part of the ids that it makes and the mark on what it claims."""

    id: int | None = _numbered()
    started_at: datetime = _time()


class IdempotentReplyRow(_Row, table=True):
    """What a POST with an Idempotency-Key was answered, to answer the same again."""

    environment_id: int = Field(primary_key=True)
    key: str = Field(primary_key=True)
    request_digest: bytes
    status: int
    body: bytes
    created_at: datetime = _time(index=True)
