"""Bulk jobs: replays and recoveries of many deliveries, as rows that outlive whoever works on them.

Strategy: a job is a walk along the numbers of events, or of failed deliveries, oldest first. Whoever works on it looks
up what comes next, outside of any transaction, and then takes the step: one short transaction in which the deliveries
are made, and `cursor` and `done` move on, if the job still stands where it was looked up. So a crash leaves out nothing
and doubles nothing. Each step also renews the lease that keeps other nodes away until it ends.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from app.store.engine import lock_rows
from app.store.errors import JobOver, JobsFull
from app.store.moves import has_status, move_now
from app.store.recovery import Owed, owe, owe_missing
from app.store.tables import (
    CANCELLED,
    DONE,
    FAILED,
    PENDING,
    RECOVER_MISSING,
    RUNNING,
    BulkJobRow,
    DeliveryRow,
    EndpointRow,
    table_of,
)
from app.store.transactions import writing
from app.store.views import Page
from app.store.walks import Span, Walk, first_number, read_page

JOBS_RUNNING_MAX = 20
"""In one environment at once."""

_job, _delivery, _endpoint = table_of(BulkJobRow), table_of(DeliveryRow), table_of(EndpointRow)


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What a job is to do: which events or failed deliveries, to which endpoint, how fast."""

    environment_id: int
    kind: str
    filters: dict[str, Any] = {}
    """Of the log of events, or of deliveries, by name; those that were given."""
    endpoint_id: int | None = None
    since: datetime | None = None
    until: datetime
    per_second: float

    @property
    def start(self) -> int:
        """The cursor of a job that has done nothing."""
        return 0 if self.since is None else first_number(self.since) - 1

    @property
    def before(self) -> int:
        """The number that the walk ends before."""
        return first_number(self.until)


class Job(Order, frozen=True, kw_only=True):
    """An order, and how far it is."""

    id: int
    state: str
    total: int
    total_exact: bool
    done: int
    cursor: int
    error: str | None
    created_at: datetime
    updated_at: datetime
    finished_at: datetime | None
    lease_node: int | None
    lease_until: datetime | None

    def is_open_to(self, node: int, now: datetime) -> bool:
        """Whether the node may take the next step: nobody else has a lease."""
        return self.lease_node in (None, node) or self.lease_until is None or self.lease_until <= now


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """What comes next in a job, as `node` looked it up."""

    job: Job
    node: int
    owed: Sequence[Owed] = ()
    """To be made."""
    failed: Sequence[int] = ()
    """Deliveries to be made due."""
    end: int | None
    """The last number that was looked at; None at the end of the walk."""
    now: datetime
    lease_until: datetime


async def start_job(engine: AsyncEngine, number: int, order: Order, total: int, exact: bool, now: datetime) -> Job:
    """Keeps the order as a running job. Raises JobsFull."""
    values = msgspec.structs.asdict(order) | {
        "id": number,
        "state": RUNNING,
        "total": total,
        "total_exact": exact,
        "done": 0,
        "cursor": order.start,
        "created_at": now,
        "updated_at": now,
    }
    running = sa.select(sa.func.count()).where(_is_running(), _job.c.environment_id == order.environment_id)
    async with writing(engine) as connection:
        if (await connection.execute(running)).scalar_one() >= JOBS_RUNNING_MAX:
            raise JobsFull(f"{JOBS_RUNNING_MAX} jobs are running; wait for one to end, or cancel one.")
        return _read((await connection.execute(sa.insert(_job).values(values).returning(*_job.c))).one())


async def get_job(engine: AsyncEngine, environment_id: int, number: int) -> Job | None:
    """The job, None when the environment has none of that number."""
    async with engine.connect() as connection:
        return await _find(connection, environment_id, number)


async def list_jobs(engine: AsyncEngine, environment_id: int, state: str | None, span: Span, limit: int) -> Page[Job]:
    """A page of jobs, newest first."""
    of_state = [] if state is None else [_job.c.state == state]
    walk = Walk(sa.select(_job), _job.c.id, [_job.c.environment_id == environment_id], of_state, sa.true())
    async with engine.connect() as connection:
        rows, cursor = await read_page(connection, walk, span, limit)
    return Page([_read(row) for row in rows], cursor)


async def cancel_job(engine: AsyncEngine, environment_id: int, number: int, now: datetime) -> Job | None:
    """Ends a running job where it stands; None when there is none. Raises JobOver for one that ended otherwise."""
    mine = sa.and_(_job.c.id == number, _job.c.environment_id == environment_id)
    cancel = sa.update(_job).where(mine, _job.c.state == RUNNING).values(_ended(CANCELLED, now))
    async with writing(engine) as connection:
        await connection.execute(cancel)
        job = await _find(connection, environment_id, number)
    if job is not None and job.state != CANCELLED:
        raise JobOver(f"The job is {job.state} already.")
    return job


async def running_jobs(engine: AsyncEngine) -> Sequence[Job]:
    """Those of all environments, oldest first."""
    async with engine.connect() as connection:
        return [
            _read(row) for row in await connection.execute(sa.select(_job).where(_is_running()).order_by(_job.c.id))
        ]


async def has_room(engine: AsyncEngine, order: Order, due_max: int, now: datetime) -> bool:
    """Whether any endpoint that the job may send to has fewer than `due_max` deliveries due; true without endpoints."""
    nth = (
        sa.select(_delivery.c.due_at)
        .where(_delivery.c.endpoint_id == _endpoint.c.id, has_status(PENDING), _delivery.c.due_at <= now)
        .order_by(_delivery.c.due_at)
        .offset(due_max - 1)
        .limit(1)
        .exists()
    )
    of_job = _endpoint.c.id == order.endpoint_id if order.endpoint_id else _endpoint.c.active
    living = sa.select(_endpoint.c.id).where(
        _endpoint.c.environment_id == order.environment_id, _endpoint.c.deleted_at.is_(None), of_job
    )
    async with engine.connect() as connection:
        if await connection.scalar(living.where(~nth).limit(1)) is not None:
            return True
        return await connection.scalar(living.limit(1)) is None


def take_step(connection: sa.Connection, step: Step) -> Job | None:
    """Makes what the step says and moves the job on; None, and nothing is changed, when it is not there any more."""
    if not _stands(connection, step):
        return None
    made = _make(connection, step)
    ends = step.end is None
    values: dict[str, Any] = {
        "done": _job.c.done + made,
        "cursor": step.job.before - 1 if ends else step.end,
        "lease_node": step.node,
        "lease_until": step.lease_until,
        "updated_at": step.now,
    } | (_ended(DONE, step.now) if ends else {})
    moved = sa.update(_job).where(_job.c.id == step.job.id).values(values).returning(*_job.c)
    return _read(connection.execute(moved).one())


def fail_job(connection: sa.Connection, job: Job, error: str, now: datetime) -> None:
    """Ends a job that cannot go on; one that ended meanwhile stays as it is."""
    failed = sa.update(_job).where(_job.c.id == job.id, _job.c.state == RUNNING)
    connection.execute(failed.values(_ended(FAILED, now) | {"error": error}))


def release_jobs(connection: sa.Connection, node: int | None) -> None:
    """Lets others go on with the jobs that `node` worked on; None: any did, for a caller who is the only one alive."""
    held = sa.true() if node is None else _job.c.lease_node == node
    connection.execute(sa.update(_job).where(_is_running(), held).values(lease_node=None, lease_until=None))


def prune_jobs(connection: sa.Connection, before: int) -> int:
    """Removes jobs with numbers before that one, unless they still run; how many."""
    return connection.execute(sa.delete(_job).where(_job.c.id < before, _job.c.state != RUNNING)).rowcount


def _is_running() -> sa.ColumnElement[bool]:
    """In the words of the partial index."""
    return _job.c.state == sa.literal(RUNNING, literal_execute=True)


def _stands(connection: sa.Connection, step: Step) -> bool:
    """Whether the job is still where the step was looked up, and open to the node; it stays so in the transaction."""
    query = sa.select(_job).where(_job.c.id == step.job.id, _is_running())
    row = connection.execute(lock_rows(connection.dialect, query, shared=False)).one_or_none()
    if row is None:
        return False
    job = _read(row)
    return job.cursor == step.job.cursor and job.is_open_to(step.node, step.now)


def _make(connection: sa.Connection, step: Step) -> int:
    """The step's deliveries; how many there were to be made still."""
    if step.failed:
        which = _delivery.c.id.in_(step.failed)
        return len(move_now(connection, FAILED, PENDING, step.now, which, len(step.failed)))
    add = owe_missing if step.job.kind == RECOVER_MISSING else owe
    return add(connection, step.job.environment_id, step.owed, step.now)


def _ended(state: str, now: datetime) -> dict[str, Any]:
    return {"state": state, "finished_at": now, "updated_at": now, "lease_node": None, "lease_until": None}


async def _find(connection: AsyncConnection, environment_id: int, number: int) -> Job | None:
    query = sa.select(_job).where(_job.c.id == number, _job.c.environment_id == environment_id)
    row = (await connection.execute(query)).one_or_none()
    return None if row is None else _read(row)


def _read(row: sa.Row[Any]) -> Job:
    return Job(**row._mapping)  # pyright: ignore[reportPrivateUsage] - its public name
