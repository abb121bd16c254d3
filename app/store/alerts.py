"""Alert rules, and how it stands with what they watch.

A state changes in the very transaction that stores the news of it, by compare-and-set, and only while the rule is the
one that was judged by: so news are told once, whoever judges and whatever crashes.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from app.store.engine import insert_new, lock_rows
from app.store.errors import AlertsFull
from app.store.mails import NewMail, add_mail
from app.store.tables import AlertRow, AlertStateRow, SourceRow, table_of
from app.store.transactions import writing

ALERTS_MAX = 100
"""In one environment."""
OK, FIRING = "ok", "firing"

_alert, _state = table_of(AlertRow), table_of(AlertStateRow)
_source = table_of(SourceRow)


class NewAlert(msgspec.Struct, frozen=True, kw_only=True):
    """A rule to be added."""

    name: str
    kind: str
    threshold: float
    window_s: int
    min_count: int
    source_id: int | None = None
    endpoint_id: int | None = None
    mail_to: Sequence[str] | None = None
    active: bool = True


class Alert(NewAlert, frozen=True, kw_only=True):
    """A rule as it is kept; `source` is the name of the one it watches."""

    id: int
    environment_id: int
    source: str | None
    created_at: datetime
    updated_at: datetime


class State(msgspec.Struct, frozen=True):
    """How it stands with one source or endpoint under a rule."""

    state: str
    since: datetime
    value: float | None
    summary: str


class Change(msgspec.Struct, frozen=True):
    """From ok to firing, or back."""

    alert: Alert
    subject_id: int
    to: str
    since: datetime
    now: datetime
    value: float | None
    summary: str
    mail: NewMail | None = None


Firing = Mapping[tuple[int, int], State]
"""What fires, by rule and source or endpoint."""

DEFAULTS = (
    NewAlert(name="Failing endpoint", kind="failure_rate", threshold=0.5, window_s=900, min_count=20),
    NewAlert(name="Backlog", kind="backlog_age", threshold=900, window_s=60, min_count=1),
    NewAlert(name="Bounces", kind="bounce_rate", threshold=0.05, window_s=86_400, min_count=200),
    NewAlert(name="Complaints", kind="complaint_rate", threshold=0.001, window_s=86_400, min_count=2_000),
    NewAlert(name="Refused signatures", kind="rejected", threshold=20, window_s=900, min_count=1),
    NewAlert(name="Unknown types", kind="quarantined", threshold=10, window_s=3_600, min_count=1),
    NewAlert(name="Silence", kind="source_silent", threshold=2, window_s=7_200, min_count=20),
)
"""What a new environment begins with: little, and nothing that fires on an ordinary day."""


async def add_defaults(connection: AsyncConnection, environment_id: int, now: datetime) -> None:
    """Gives the environment its first rules, within the caller's transaction."""
    made = {"environment_id": environment_id, "created_at": now, "updated_at": now}
    await connection.execute(sa.insert(_alert), [msgspec.structs.asdict(rule) | made for rule in DEFAULTS])


async def list_alerts(engine: AsyncEngine, environment_id: int | None = None) -> Sequence[Alert]:
    """The rules of the environment, or of all, oldest first."""
    where = sa.true() if environment_id is None else _alert.c.environment_id == environment_id
    async with engine.connect() as connection:
        return await _find(connection, where)


async def get_alert(engine: AsyncEngine, environment_id: int, number: int) -> Alert | None:
    """The rule, None when the environment has none of that number."""
    async with engine.connect() as connection:
        found = await _find(connection, _its(environment_id, number))
    return found[0] if found else None


async def create_alert(engine: AsyncEngine, environment_id: int, new: NewAlert, now: datetime) -> Alert:
    """Adds a rule. Raises AlertsFull."""
    made = {"environment_id": environment_id, "created_at": now, "updated_at": now}
    insert = sa.insert(_alert).values(msgspec.structs.asdict(new) | made).returning(_alert.c.id)
    count = sa.select(sa.func.count()).select_from(_alert).where(_alert.c.environment_id == environment_id)
    async with writing(engine) as connection:
        if (await connection.execute(count)).scalar_one() >= ALERTS_MAX:
            raise AlertsFull(f"There are {ALERTS_MAX} alert rules already; remove one first.")
        number = (await connection.execute(insert)).scalar_one()
        return (await _find(connection, _its(environment_id, number)))[0]


async def change_alert(
    engine: AsyncEngine, environment_id: int, number: int, changes: Mapping[str, Any], now: datetime
) -> Alert | None:
    """The rule with other values; what fires under it is forgotten when it is no longer active."""
    change = sa.update(_alert).where(_its(environment_id, number)).values({**changes, "updated_at": now})
    async with writing(engine) as connection:
        if (await connection.execute(change)).rowcount == 0:
            return None
        if changes.get("active") is False:
            await connection.execute(sa.delete(_state).where(_state.c.alert_id == number))
        return (await _find(connection, _its(environment_id, number)))[0]


async def delete_alert(engine: AsyncEngine, environment_id: int, number: int) -> bool:
    """Takes the rule away, and what fires under it; False when there was none."""
    async with writing(engine) as connection:
        if not await _find(connection, _its(environment_id, number)):
            return False
        await connection.execute(sa.delete(_state).where(_state.c.alert_id == number))
        return (await connection.execute(sa.delete(_alert).where(_its(environment_id, number)))).rowcount == 1


async def read_firing(engine: AsyncEngine, environment_id: int | None = None) -> Firing:
    """What fires now, in the environment or in all."""
    query = sa.select(_state).join(_alert, _alert.c.id == _state.c.alert_id).where(_state.c.state == FIRING)
    if environment_id is not None:
        query = query.where(_alert.c.environment_id == environment_id)
    async with engine.connect() as connection:
        return {
            (row.alert_id, row.subject_id): State(row.state, row.since, row.value, row.summary)
            for row in await connection.execute(query)
        }


def change_state(connection: sa.Connection, change: Change) -> bool:
    """Makes the change, and keeps its mail; False when somebody else made it, or the rule is another by now."""
    alert = change.alert
    same = sa.select(_alert.c.id).where(
        _alert.c.id == alert.id, _alert.c.active, _alert.c.updated_at == alert.updated_at
    )
    held = connection.execute(lock_rows(connection.dialect, same, shared=True)).first()
    if held is None or not _set(connection, change):
        return False
    if change.mail is not None:
        add_mail(connection, change.mail, change.now)
    return True


def _set(connection: sa.Connection, change: Change) -> bool:
    row = {
        "state": change.to,
        "since": change.since,
        "value": change.value,
        "summary": change.summary,
    }
    key = {"alert_id": change.alert.id, "subject_id": change.subject_id}
    was = OK if change.to == FIRING else FIRING
    its = sa.and_(*(_state.c[name] == value for name, value in key.items()))
    if connection.execute(sa.update(_state).where(its, _state.c.state == was).values(row)).rowcount == 1:
        return True
    if change.to == OK:
        return False
    insert = insert_new(connection.dialect, _state, list(key)).values(key | row)
    return connection.execute(insert).rowcount == 1


def _its(environment_id: int, number: int) -> sa.ColumnElement[bool]:
    return sa.and_(_alert.c.environment_id == environment_id, _alert.c.id == number)


async def _find(connection: AsyncConnection, where: sa.ColumnElement[bool]) -> list[Alert]:
    query = sa.select(_alert, _source.c.name.label("source")).outerjoin(_source, _source.c.id == _alert.c.source_id)
    rows = await connection.execute(query.where(where).order_by(_alert.c.id))
    return [Alert(**row) for row in rows.mappings()]
