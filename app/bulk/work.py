"""The task that works on the bulk jobs: a step here, a step there, at each job's pace, and beside all other traffic.

Strategy: a step is a few hundred deliveries at most and shares the ledger's next commit, so that nobody waits for a
lock. Between steps the job's pace leaves time for others. What an endpoint cannot take as fast would only stand before
its new deliveries, so a job also waits while all endpoints that it sends to have enough that is due. Whatever fails for
want of the store is looked up again: where a job stands, only the database knows.
"""

import asyncio
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from math import ceil

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from app import metrics
from app.bell import Bell
from app.bulk.plans import Impossible, Plans, Stretch
from app.clock import Clock
from app.store.errors import driver_message
from app.store.ids import JOB, IdSource, public_id
from app.store.jobs import Job, Order, Step, fail_job, has_room, release_jobs, running_jobs, start_job, take_step
from app.store.ledger import STORE_ERRORS, Ledger, StoreUnavailable
from app.store.recovery import Owed
from app.store.tables import RUNNING

log = structlog.get_logger()

PER_SECOND_MIN, PER_SECOND_DEFAULT, PER_SECOND_MAX = 0.1, 500.0, 10_000.0
STEP_S = 0.25
"""How much time a step's deliveries should fill at the job's pace."""
STEP_DELIVERIES_MAX = 500
"""One event goes to all its endpoints in one step, however many they are."""
PAUSE_S = 0.02
DUE_MAX = 1_000
"""Of one endpoint; a job waits while all its endpoints have so many deliveries due."""
CROWDED_WAIT_S = 0.25
POLL_S = 1.0
LEASE_S = 10.0


class BulkWork:
    """Takes orders, and works on the jobs of all environments.

    `bell` tells it that there is a new one; `due` tells the sender that it has made deliveries due.
    """

    def __init__(
        self,
        plans: Plans,
        engine: AsyncEngine,
        ledger: Ledger,
        clock: Clock,
        ids: IdSource,
        node: int,
        *,
        bell: Bell,
        due: Bell,
    ) -> None:
        self.bell = bell
        self._plans = plans
        self._engine = engine
        self._ledger = ledger
        self._due = due
        self._clock = clock
        self._ids = ids
        self._node = node
        self._not_before: dict[int, float] = {}
        """When, by the monotonic clock, the pace of each job allows the next step."""
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begins, with whatever was left by the last run."""
        self._task = asyncio.create_task(self._work_forever(), name="bulk")

    async def close(self) -> None:
        """Ends between two steps, and lets other nodes go on at once."""
        if self._task is None:
            return
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task
        with suppress(StoreUnavailable):
            await self._ledger.run(partial(release_jobs, node=self._node))

    async def order(self, order: Order) -> Job:
        """Counts what there is to send, and begins to send it. Raises Impossible, JobsFull."""
        counted = await self._plans.count(order)
        job = await start_job(self._engine, self._ids.next(), order, *counted, self._clock.now())
        log.info("bulk.started", job_id=public_id(JOB, job.id), kind=job.kind, deliveries=job.total)
        self.bell.ring()
        return job

    async def _work_forever(self) -> None:
        while True:
            wait_s = POLL_S
            try:
                wait_s = await self._round()
            except (StoreUnavailable, *STORE_ERRORS) as error:
                log.warning("bulk.store_unavailable", error=driver_message(error))
            except Exception:
                log.exception("bulk.crashed")
            await self.bell.wait(wait_s)

    async def _round(self) -> float:
        """Lets every job take a step, if it may; seconds until there is a reason for another round."""
        now = self._clock.now()
        running = [job for job in await running_jobs(self._engine) if job.is_open_to(self._node, now)]
        self._not_before = {job.id: self._not_before.get(job.id, 0.0) for job in running}
        return min([POLL_S, *[max(PAUSE_S, await self._turn(job)) for job in running]])

    async def _turn(self, job: Job) -> float:
        """The job's next step, if its pace and its endpoints allow one; seconds until the one after it."""
        began = self._clock.monotonic()
        if began < self._not_before[job.id]:
            return self._not_before[job.id] - began
        if not await has_room(self._engine, job, DUE_MAX, self._clock.now()):
            return CROWDED_WAIT_S
        stretch = await self._look_up(job)
        if stretch is None:
            return POLL_S
        pause_s = stretch.size / job.per_second
        self._not_before[job.id] = began + pause_s
        if not await self._step(job, self._new_step(job, stretch, self._clock.now(), pause_s)):
            return POLL_S
        return began + pause_s - self._clock.monotonic()

    async def _look_up(self, job: Job) -> Stretch | None:
        """What comes next in the job; None when it cannot go on and has been ended."""
        try:
            return await self._plans.next(job, job.cursor, _step_size(job.per_second))
        except Impossible as reason:
            await self._fail(job, str(reason))
        except STORE_ERRORS:
            raise
        except Exception as fault:
            log.exception("bulk.crashed", job_id=public_id(JOB, job.id))
            await self._fail(job, f"a fault of the gateway, which has logged it: {type(fault).__name__}")
        return None

    async def _step(self, job: Job, step: Step) -> bool:
        """Takes the step and tells of it; False when the job has ended, or another node has it."""
        moved: Job | None = await self._ledger.run(partial(take_step, step=step))
        if moved is None:
            return False
        self._due.ring()
        metrics.count_bulk(job.kind, moved.done - job.done)
        if moved.state != RUNNING:
            log.info("bulk.done", job_id=public_id(JOB, job.id), kind=job.kind, deliveries=moved.done)
        return True

    def _new_step(self, job: Job, stretch: Stretch, now: datetime, pause_s: float) -> Step:
        return Step(
            job=job,
            node=self._node,
            owed=[Owed(self._ids.next(), event_id, endpoint_id) for event_id, endpoint_id in stretch.targets],
            failed=stretch.failed,
            end=stretch.end,
            now=now,
            lease_until=now + timedelta(seconds=LEASE_S + pause_s),
        )

    async def _fail(self, job: Job, error: str) -> None:
        log.warning("bulk.failed", job_id=public_id(JOB, job.id), kind=job.kind, error=error)
        await self._ledger.run(partial(fail_job, job=job, error=error, now=self._clock.now()))


def _step_size(per_second: float) -> int:
    return min(STEP_DELIVERIES_MAX, ceil(per_second * STEP_S))
