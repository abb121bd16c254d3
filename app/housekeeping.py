"""What has to go in time: once an hour, in the background, in small transactions."""

import asyncio
from contextlib import suppress

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from app.clock import Clock
from app.store.errors import driver_message
from app.store.idempotency import prune_replies
from app.store.ledger import STORE_ERRORS

log = structlog.get_logger()

INTERVAL_S = 3_600.0


class Housekeeping:
    """Removes the replies to repeated POSTs once they have expired."""

    def __init__(self, engine: AsyncEngine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock
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

    async def _tidy_forever(self) -> None:
        while True:
            try:
                removed = await prune_replies(self._engine, self._clock.now())
                log.info("housekeeping.done", replies_removed=removed)
            except STORE_ERRORS as error:
                log.warning("housekeeping.failed", error=driver_message(error))
            await asyncio.sleep(INTERVAL_S)
