"""The hot writes: many requests in one durable commit.

Strategy: one task writes. Whoever has something to write queues it; the task takes all that is queued, writes it in
one transaction and then tells everybody. While it waits for the disk the next queue forms, so that commits are shared
just as much as the load asks for. A group that fails is written again one by one, so that one bad row harms no other.
When the store itself fails, those who wait for an answer are told, and the record of attempts waits for better times,
because what a subscriber has received cannot be asked for again.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Protocol

import sqlalchemy as sa
import structlog
from sqlalchemy.exc import SQLAlchemyError

from app.store.arrivals import Arrival, NewDelivery, NewEvent
from app.store.engine import Writer
from app.store.errors import driver_message, is_unavailable
from app.store.health import Health
from app.store.intake import store_arrivals
from app.store.order import hold_lines
from app.store.outcomes import Outcome, finished_lines, record_outcomes
from app.store.rollups import count_up
from app.store.roster import Versions, hold_versions
from app.time_limits import TimeLimits

log = structlog.get_logger()

STORE_RETRY_WAIT_S = 0.5
LINGER_AT_WAITING = 24
LINGER_S_MAX = 0.008
"""Under full load, told by so many writes that came while the last commit was made, the next one waits a little for
company: a commit costs as much as ten of the rows in it. Below that nobody waits, there is processor time enough.
"""
STORE_ERRORS = (SQLAlchemyError, OSError)

Task = Callable[[sa.Connection], Any]
"""Any other short write that shares the commit: a claim, a probe. It may run again when the commit fails."""


class StoreUnavailable(Exception):
    """Nothing can be committed now; the one who asked should come again later."""


class RegistrationsChanged(Exception):
    """Sources or endpoints are not what the router thought they were; nothing was written."""


class Router(Protocol):
    """Who is owed an event. It is told what became of the deliveries it named."""

    @property
    def versions(self) -> Versions:
        """Of the registrations it knows."""
        ...

    async def reload(self) -> None:
        """Learns the registrations anew."""
        ...

    def owed(self, event: NewEvent) -> list[NewDelivery]:
        """The deliveries of an event, should it be new."""
        ...

    def committed(self, deliveries: Sequence[NewDelivery]) -> None:
        """They are durable."""
        ...

    def dropped(self, deliveries: Sequence[NewDelivery]) -> None:
        """They were not written."""
        ...

    def fared(self, health: Mapping[int, Health]) -> None:
        """How the endpoints are whose attempts were recorded, where there is something to know."""
        ...

    def released(self, endpoint_ids: Collection[int]) -> None:
        """Deliveries to these endpoints that were queued may be due now."""
        ...


Write = tuple[Arrival | Outcome | Task, asyncio.Future[Any] | None]


class Ledger:
    """The one writer of the hot tables in this process."""

    def __init__(
        self,
        writer: Writer,
        router: Router,
        *,
        items_max: int,
        waiting_max: int,
        waiting_bytes_max: int,
        timeout_s: float,
        on_commit: Callable[[int, float], None],
    ) -> None:
        self._writer = writer
        self._router = router
        self._items_max = items_max
        self._waiting_max = waiting_max
        self._waiting_bytes_max = waiting_bytes_max
        self._waiting_bytes = 0
        self._timeout_s = timeout_s
        self._limits = TimeLimits()
        self._on_commit = on_commit
        self._outcome_bytes = 0
        self._waiting_items = 0
        self._item_s = 0.0
        """What one more write costs, by the last commit; 0 where that took all there was."""
        self._began: float | None = None
        """When, by the loop's clock, the commit under way began."""
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
        try:
            async with asyncio.timeout(self._timeout_s):
                while self._queue:
                    await self.run(_nothing)
        except (TimeoutError, StoreUnavailable):
            log.error("ledger.closed_with_writes_queued", writes=len(self._queue))  # noqa: TRY400 - expected
        finally:
            self._writing.cancel()
            with suppress(asyncio.CancelledError):
                await self._writing

    @property
    def waiting(self) -> int:
        """How many writes are queued; the sender slows down by it."""
        return len(self._queue)

    @property
    def outcome_bytes(self) -> int:
        """What the outcomes that are queued hold in memory, roughly."""
        return self._outcome_bytes

    def expected_wait_s(self) -> float:
        """How long a request that came now would wait for its commit, as far as the last commits tell."""
        under_way_s = 0.0 if self._began is None else asyncio.get_running_loop().time() - self._began
        return under_way_s + self._waiting_items * self._item_s

    async def take_in(self, arrival: Arrival) -> None:
        """Returns once the arrival is durable, its `status` filled in. Raises StoreUnavailable."""
        if len(self._queue) >= self._waiting_max or self._waiting_bytes >= self._waiting_bytes_max:
            raise StoreUnavailable("more requests wait for a commit than MAILWEIR_INBOUND_WAITING_* allow")
        size = arrival.size
        self._waiting_bytes += size
        try:
            await self._wait_for(arrival)
        finally:
            self._waiting_bytes -= size

    async def run(self, task: Task) -> Any:
        """What the task returned, once it is durable. Raises StoreUnavailable."""
        return await self._wait_for(task)

    def record(self, outcome: Outcome) -> None:
        """Queues the outcome of an attempt; it is written even if the store has to come back first."""
        self._outcome_bytes += outcome.size
        self._enqueue(outcome, None)

    async def _wait_for(self, work: Arrival | Task) -> Any:
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._enqueue(work, future)
        try:
            with self._limits.within(self._timeout_s):
                return await future
        except TimeoutError:
            raise StoreUnavailable("the store did not commit within MAILWEIR_COMMIT_TIMEOUT_S") from None

    def _enqueue(self, work: Arrival | Outcome | Task, future: asyncio.Future[Any] | None) -> None:
        self._queue.append((work, future))
        self._waiting_items += _items(work)
        self._queued.set()

    async def _write_forever(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._queued.wait()
            self._queued.clear()
            while self._queue:
                self._began = loop.time()
                group, items = self._take()
                more_waits = bool(self._queue)
                await self._write_group(group)
                if len(self._queue) >= LINGER_AT_WAITING:
                    await self._linger(loop.time() + LINGER_S_MAX)
                self._item_s = (loop.time() - self._began) / items if more_waits and items else 0.0
                self._began = None

    async def _linger(self, until: float) -> None:
        """Waits for as long as every turn of the loop brings more; where one brings nothing, nobody is on the way."""
        loop = asyncio.get_running_loop()
        waiting = 0
        while len(self._queue) > waiting and loop.time() < until:
            waiting = len(self._queue)
            await asyncio.sleep(0)

    def _take(self) -> tuple[list[Write], int]:
        """The next group and how many items it has; whoever stopped waiting is left out."""
        group = list[Write]()
        items = 0
        while self._queue and items < self._items_max:
            write = self._queue.popleft()
            its_items = _items(write[0])
            self._waiting_items -= its_items
            if write[1] is not None and write[1].done():
                continue
            group.append(write)
            if isinstance(write[0], Outcome):
                self._outcome_bytes -= write[0].size
            items += its_items
        return group, items

    async def _write_group(self, group: list[Write]) -> None:
        try:
            await self._commit(group)
        except Exception as error:  # noqa: BLE001 - whatever went wrong, the one writer goes on
            if is_unavailable(error):
                await self._wait_for_the_store(group, error)
            elif len(group) > 1:
                for write in group:
                    await self._write_group([write])
            else:
                self._refuse(*group[0], error)

    async def _commit(self, group: Sequence[Write]) -> None:
        """Writes the group in one transaction, then tells everybody."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        arrivals = [work for work, _ in group if isinstance(work, Arrival)]
        for arrival in arrivals:
            arrival.deliveries = []
        results, health = await self._written(group, arrivals)
        self._on_commit(len(group), loop.time() - began)
        if health:
            self._router.fared(health)
        self._tell_router(arrivals)
        if lines := finished_lines([work for work, _ in group if isinstance(work, Outcome)]):
            self._router.released({endpoint_id for endpoint_id, _ in lines})
        for (_, future), result in zip(group, results, strict=True):
            if future is not None and not future.done():
                future.set_result(result)

    async def _written(
        self, group: Sequence[Write], arrivals: Sequence[Arrival]
    ) -> tuple[list[Any], Mapping[int, Health]]:
        """The results of the group's tasks; begins again whenever the registrations have changed meanwhile."""
        while True:
            try:
                for arrival in arrivals:
                    arrival.deliveries = [delivery for event in arrival.events for delivery in self._router.owed(event)]
                versions = self._router.versions if arrivals else None
                return await self._writer.run(partial(_apply, group=group, arrivals=arrivals, versions=versions))
            except BaseException as error:
                self._router.dropped([delivery for arrival in arrivals for delivery in arrival.deliveries])
                if not isinstance(error, RegistrationsChanged):
                    raise
            await self._router.reload()

    def _tell_router(self, arrivals: Sequence[Arrival]) -> None:
        stored = {event.id for arrival in arrivals for event in arrival.stored}
        deliveries = [delivery for arrival in arrivals for delivery in arrival.deliveries]
        self._router.committed([delivery for delivery in deliveries if delivery.event.id in stored])
        self._router.dropped([delivery for delivery in deliveries if delivery.event.id not in stored])

    async def _wait_for_the_store(self, group: Sequence[Write], error: Exception) -> None:
        """Tells those who wait; keeps the outcomes for the next try, a moment later."""
        log.error("ledger.store_unavailable", error=driver_message(error), writes=len(group))
        for work, future in reversed(group):
            if isinstance(work, Outcome):
                self._outcome_bytes += work.size
                self._waiting_items += _items(work)
                self._queue.appendleft((work, None))
            else:
                _fail(future, StoreUnavailable("the store cannot commit now"))
        await asyncio.sleep(STORE_RETRY_WAIT_S)

    def _refuse(self, work: Arrival | Outcome | Task, future: asyncio.Future[Any] | None, error: Exception) -> None:
        """One write that the store does not take, whatever its neighbours are: that is a fault of ours."""
        log.error("ledger.write_refused", kind=type(work).__name__, error=driver_message(error), exc_info=error)
        _fail(future, StoreUnavailable("the store did not take it"))


def _items(work: Arrival | Outcome | Task) -> int:
    """What a write weighs in a commit: an arrival itself and each of its events."""
    return 1 + len(work.events) if isinstance(work, Arrival) else 1


def _fail(future: asyncio.Future[Any] | None, error: StoreUnavailable) -> None:
    if future is not None and not future.done():
        future.set_exception(error)


def _apply(
    connection: sa.Connection, group: Sequence[Write], arrivals: Sequence[Arrival], versions: Versions | None
) -> tuple[list[Any], Mapping[int, Health]]:
    """The transaction: arrivals met by the registrations of `versions`, outcomes, tasks in their order, the counts."""
    outcomes = [work for work, _ in group if isinstance(work, Outcome)]
    may_disable = any(outcome.result is not None and outcome.result.may_disable for outcome in outcomes)
    if arrivals or may_disable:
        held = hold_versions(connection, to_change=may_disable)
        if arrivals and held != versions:
            raise RegistrationsChanged
    joined = {delivery.line for arrival in arrivals for delivery in arrival.deliveries if delivery.line is not None}
    hold_lines(connection, joined | finished_lines(outcomes))
    if arrivals:
        store_arrivals(connection, arrivals)
    health = record_outcomes(connection, outcomes) if outcomes else {}
    results = [None if isinstance(work, Arrival | Outcome) else work(connection) for work, _ in group]
    count_up(connection, arrivals, outcomes)
    return results, health


def _nothing(_connection: sa.Connection) -> None:
    """A write that only waits for its turn."""
