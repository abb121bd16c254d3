"""What has to go in time: once an hour, in the background, in small transactions that share the ledger's commits."""

import asyncio
from contextlib import suppress
from datetime import timedelta
from functools import partial

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from app import metrics
from app.clock import Clock
from app.store.drift import prune_drift
from app.store.errors import driver_message
from app.store.idempotency import PRUNED_MAX, prune_replies
from app.store.ids import first_id_at
from app.store.jobs import prune_jobs
from app.store.ledger import STORE_ERRORS, Ledger, StoreUnavailable
from app.store.retention import Removed, remove_older, unhurried
from app.store.rollups import MINUTES_KEPT_MS, fold_minutes, prune_rollups
from app.store.space import give_back

log = structlog.get_logger()

INTERVAL_S = 3_600.0


class Housekeeping:
    """Removes what is older than `kept_days`, and what has an age of its own: the replies to repeated POSTs."""

    def __init__(self, engine: AsyncEngine, ledger: Ledger, clock: Clock, *, kept_days: float) -> None:
        self._engine = engine
        self._ledger = ledger
        self._clock = clock
        self._kept = timedelta(days=kept_days)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begins, with a first round at once."""
        self._task = asyncio.create_task(self._tidy_forever(), name="housekeeping")

    async def close(self) -> None:
        """Ends at once; what is left goes next time."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def tidy(self) -> None:
        """One round."""
        before = self._clock.now() - self._kept
        oldest_kept = first_id_at(round(before.timestamp() * 1000))
        removed = await remove_older(self._ledger.run, oldest_kept, count_removed)
        drift: int = await unhurried(self._ledger.run, partial(prune_drift, before=before))
        jobs: int = await unhurried(self._ledger.run, partial(prune_jobs, before=oldest_kept))
        replies = await self._prune_replies()
        rollups = await self._tidy_rollups(round(before.timestamp() * 1000))
        metrics.count_removed("drift", drift)
        metrics.count_removed("jobs", jobs)
        metrics.count_removed("replies", replies)
        metrics.count_removed("rollups", rollups)
        log.info(
            "housekeeping.done",
            receipts_removed=removed.receipts,
            events_removed=removed.events,
            deliveries_removed=removed.deliveries,
            attempts_removed=removed.attempts,
            drift_removed=drift,
            jobs_removed=jobs,
            replies_removed=replies,
            rollups_removed=rollups,
            bytes_given_back=await give_back(self._ledger.run),
        )

    async def _prune_replies(self) -> int:
        pruned = 0
        while True:
            some = await prune_replies(self._engine, self._clock.now())
            pruned += some
            if some < PRUNED_MAX:
                return pruned

    async def _tidy_rollups(self, before: int) -> int:
        """Removes what was counted before that, and adds old minutes up to hours; how many rows it removed."""
        removed = 0
        while some := await unhurried(self._ledger.run, partial(prune_rollups, before=before)):
            removed += some
        while await unhurried(self._ledger.run, partial(fold_minutes, before=self._clock.ms() - MINUTES_KEPT_MS)):
            pass
        return removed

    async def _tidy_forever(self) -> None:
        while True:
            try:
                await self.tidy()
            except (StoreUnavailable, *STORE_ERRORS) as error:
                log.warning("housekeeping.failed", error=driver_message(error))
            except Exception:
                log.exception("housekeeping.crashed")
            await asyncio.sleep(INTERVAL_S)


def count_removed(removed: Removed) -> None:
    """Adds a step to the metrics."""
    metrics.count_removed("receipts", removed.receipts)
    metrics.count_removed("events", removed.events)
    metrics.count_removed("deliveries", removed.deliveries)
    metrics.count_removed("attempts", removed.attempts)
