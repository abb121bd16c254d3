"""The hot writes: many requests in one durable commit.

Strategy: one task writes. Whoever has something to write queues it; the task takes all that is queued, writes it in
one transaction and then tells everybody. While it waits for the disk the next queue forms, so that commits are shared
just as much as the load asks for. A group that fails is written again one by one, so that one bad row harms no other.
When the store itself fails, those who wait for an answer are told, and the record of attempts waits for better times,
because what a subscriber has received cannot be asked for again.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, Protocol

import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from app.store import arrivals as arriving
from app.store.arrivals import Arrival, NewDelivery, store_arrivals
from app.store.engine import WRITES
from app.store.leases import Outcome, record_outcomes

log = structlog.get_logger()

STORE_RETRY_WAIT_S = 0.5
STORE_ERRORS = (SQLAlchemyError, OSError)

Task = Callable[[AsyncConnection], Awaitable[Any]]
"""Any other short write that shares the commit: a claim, a probe."""


class StoreUnavailable(Exception):
    """Nothing can be committed now; the one who asked should come again later."""


class Router(arriving.Router, Protocol):
    """Who is owed an event; is told what became of the deliveries it named."""

    def committed(self, deliveries: Sequence[NewDelivery]) -> None:
        """They are durable."""
        ...

    def rolled_back(self, deliveries: Sequence[NewDelivery]) -> None:
        """They never were."""
        ...


Write = tuple[Arrival | Outcome | Task, asyncio.Future[Any] | None]


class Ledger:
    """The one writer of the hot tables in this process."""

    def __init__(
        self,
        engine: AsyncEngine,
        router: Router,
        *,
        items_max: int,
        waiting_max: int,
        timeout_s: float,
        on_commit: Callable[[int, float], None],
    ) -> None:
        self._engine = engine.execution_options(**{WRITES: True})
        self._router = router
        self._items_max = items_max
        self._waiting_max = waiting_max
        self._timeout_s = timeout_s
        self._on_commit = on_commit
        self._queue: deque[Write] = deque()
        self._queued = asyncio.Event()
        self._writing: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begins to write."""
        self._writing = asyncio.create_task(self._write_forever(), name="ledger")

    async def close(self) -> None:
        """Writes what is queued, if the store lets it, and ends."""
        if self._writing is None:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(self._timeout_s):
                while self._queue:
                    await self.run(_nothing)
        self._writing.cancel()
        with suppress(asyncio.CancelledError):
            await self._writing

    @property
    def waiting(self) -> int:
        """How many writes are queued; the sender slows down by it."""
        return len(self._queue)

    async def take_in(self, arrival: Arrival) -> None:
        """Returns once the arrival is durable, its `status` filled in. Raises StoreUnavailable."""
        if len(self._queue) >= self._waiting_max:
            raise StoreUnavailable("more requests wait for a commit than MAILWEIR_INBOUND_WAITING_MAX allows")
        await self._wait_for(arrival)

    async def run(self, task: Task) -> Any:
        """What the task returned, once it is durable. Raises StoreUnavailable."""
        return await self._wait_for(task)

    def record(self, outcome: Outcome) -> None:
        """Queues the outcome of an attempt; it is written even if the store has to come back first."""
        self._queue.append((outcome, None))
        self._queued.set()

    async def _wait_for(self, work: Arrival | Task) -> Any:
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._queue.append((work, future))
        self._queued.set()
        try:
            async with asyncio.timeout(self._timeout_s):
                return await future
        except TimeoutError as error:
            raise StoreUnavailable("the store did not commit within MAILWEIR_COMMIT_TIMEOUT_S") from error

    async def _write_forever(self) -> None:
        while True:
            await self._queued.wait()
            self._queued.clear()
            while self._queue:
                await self._write_group(self._take())

    def _take(self) -> list[Write]:
        """The next group; whoever stopped waiting is left out."""
        group = list[Write]()
        items = 0
        while self._queue and items < self._items_max:
            write = self._queue.popleft()
            if write[1] is not None and write[1].done():
                continue
            group.append(write)
            items += 1 + (len(write[0].events) if isinstance(write[0], Arrival) else 0)
        return group

    async def _write_group(self, group: list[Write]) -> None:
        try:
            await self._commit(group)
        except Exception as error:  # noqa: BLE001 - whatever went wrong, the one writer goes on
            if len(group) > 1 and not _is_store_wide(error):
                for write in group:
                    await self._write_group([write])
            else:
                await self._give_up(group, error)

    async def _commit(self, group: Sequence[Write]) -> None:
        """Writes the group in one transaction, then tells everybody."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        arrivals = [work for work, _ in group if isinstance(work, Arrival)]
        try:
            async with self._engine.begin() as connection:
                results = await self._apply(connection, group, arrivals)
        except BaseException:
            self._router.rolled_back([delivery for arrival in arrivals for delivery in arrival.deliveries])
            raise
        self._on_commit(len(group), loop.time() - began)
        self._router.committed([delivery for arrival in arrivals for delivery in arrival.deliveries])
        for (_, future), result in zip(group, results, strict=True):
            if future is not None and not future.done():
                future.set_result(result)

    async def _apply(self, connection: AsyncConnection, group: Sequence[Write], arrivals: list[Arrival]) -> list[Any]:
        if arrivals:
            await store_arrivals(connection, arrivals, self._router)
        if outcomes := [work for work, _ in group if isinstance(work, Outcome)]:
            await record_outcomes(connection, outcomes)
        return [None if isinstance(work, Arrival | Outcome) else await work(connection) for work, _ in group]

    async def _give_up(self, group: Sequence[Write], error: Exception) -> None:
        """Tells those who wait; keeps the outcomes for the next try."""
        log.error(
            "ledger.commit_failed",
            error=str(getattr(error, "orig", error)),
            writes=len(group),
            exc_info=None if isinstance(error, STORE_ERRORS) else error,
        )
        for work, future in reversed(group):
            if isinstance(work, Outcome) and _is_store_wide(error):
                self._queue.appendleft((work, None))
            elif future is not None and not future.done():
                future.set_exception(StoreUnavailable("the store cannot commit now"))
        await asyncio.sleep(STORE_RETRY_WAIT_S)


def _is_store_wide(error: Exception) -> bool:
    """Locked, full, read-only or gone: every row would fail alike."""
    return type(error).__name__ in ("OperationalError", "InterfaceError") or isinstance(error, OSError)


async def _nothing(_connection: AsyncConnection) -> None:
    """A write that only waits for its turn."""
