"""The attempts in flight: started while a lane, its pace and the node allow, and settled when they end.

A result is queued in the ledger, and its slot is free again at once.
"""

import asyncio
from collections.abc import Callable, Sequence

import structlog

from app.attempts import Attempts
from app.batches import Batches
from app.clock import Clock
from app.lanes import Item, Lane, Lanes
from app.store.ids import DELIVERY, public_id
from app.store.ledger import Ledger
from app.store.outcomes import Outcome

log = structlog.get_logger()

OUTCOMES_WAITING_MAX = 4_000
OUTCOME_BYTES_MAX = 64 * 1024 * 1024
"""Of answers and bodies of their own, which wait for the store."""


class Sending:
    """Sends what waits in the lanes, at most `in_flight_max` attempts at a time, and queues the outcomes in the ledger.

    `on_ended` is told of a lane whenever an attempt of it has ended.
    """

    def __init__(
        self,
        lanes: Lanes,
        attempts: Attempts,
        batches: Batches,
        clock: Clock,
        *,
        in_flight_max: int,
        on_ended: Callable[[Lane], None],
    ) -> None:
        self._lanes = lanes
        self._attempts = attempts
        self._batches = batches
        self._clock = clock
        self._in_flight_max = in_flight_max
        self._on_ended = on_ended
        self._in_flight = 0
        self._queueing: dict[int, Lane] = {}
        """Lanes that could send if the node had a slot for them, by endpoint; they take turns."""
        self._ledger: Ledger | None = None
        self._may_start = False
        self.tasks: set[asyncio.Task[None]] = set()

    def begin(self, ledger: Ledger) -> None:
        """From now on attempts are started; outcomes go to `ledger`."""
        self._ledger = ledger
        self._may_start = True

    def end(self) -> None:
        """No attempt is started any more; those in flight, `tasks`, go on."""
        self._may_start = False

    def pump(self, lane: Lane) -> None:
        """Starts attempts while the lane, its pace and the node allow."""
        now_ms = self._clock.ms()
        self._lanes.let_go(lane, *lane.drop_expired(now_ms))
        if lane.waiting and not lane.is_flowing(now_ms):
            for item in lane.untimely():
                self._record(lane, item, self._attempts.postpone(item))
        while self._may_start and (wait_s := lane.wait_s(self._clock.monotonic(), now_ms)) is not None:
            if self._is_full:
                self._queueing[lane.endpoint_id] = lane
                return
            if wait_s > 0:
                self._pace(lane, wait_s)
                return
            self._start(lane)

    def give_back(self, lane: Lane) -> None:
        """What waits for an endpoint that was paused, disabled or deleted is held or cancelled at once."""
        while lane.waiting and self._ledger is not None:
            item = lane.waiting.popleft()
            self._record(lane, item, self._attempts.decline(item))

    def _record(self, lane: Lane, item: Item, outcome: Outcome) -> None:
        """Queues the outcome of a delivery that was not in flight."""
        if self._ledger is not None:
            self._ledger.record(outcome)
            self._lanes.let_go(lane, item)

    @property
    def _is_full(self) -> bool:
        """True when the node has all the attempts in flight that it may, or the ledger cannot keep up with them."""
        ledger = self._ledger
        lags = ledger is not None and (
            ledger.waiting > OUTCOMES_WAITING_MAX or ledger.outcome_bytes > OUTCOME_BYTES_MAX
        )
        return lags or self._in_flight >= self._in_flight_max

    def _pace(self, lane: Lane, wait_s: float) -> None:
        if not lane.paced:
            lane.paced = True
            asyncio.get_running_loop().call_later(wait_s, self._on_pace, lane)

    def _on_pace(self, lane: Lane) -> None:
        lane.paced = False
        self.pump(lane)

    def _start(self, lane: Lane) -> None:
        self._in_flight += 1
        now = self._clock.monotonic()
        sending = self._send_batch(lane.start_batch(now), lane) if lane.batch else self._send(lane.start(now), lane)
        task = asyncio.create_task(sending)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _send(self, item: Item, lane: Lane) -> None:
        began = self._clock.monotonic()
        try:
            outcome = await self._attempt(item)
            self._settle(outcome, lane)
        finally:
            lane.in_flight -= 1
            self._in_flight -= 1
            self._lanes.keep(lane, -1, -len(item.body))
            lane.ended(self._clock.monotonic() - began)
            self._use_slot(lane)

    async def _send_batch(self, items: Sequence[Item], lane: Lane) -> None:
        began = self._clock.monotonic()
        try:
            for outcome in await self._attempt_batch(items):
                self._settle(outcome, lane)
        finally:
            lane.in_flight -= 1
            lane.batch_ended(len(items))
            self._in_flight -= 1
            self._lanes.let_go(lane, *items)
            lane.ended(self._clock.monotonic() - began)
            self._use_slot(lane)

    async def _attempt(self, item: Item) -> Outcome:
        """What became of one attempt; one that breaks in an unforeseen way counts, so that it comes to an end."""
        try:
            return await self._attempts.make(item)
        except Exception as fault:
            log.exception("delivery.crashed", delivery_id=public_id(DELIVERY, item.delivery_id))
            return self._attempts.crashed(item, fault)

    async def _attempt_batch(self, items: Sequence[Item]) -> list[Outcome]:
        """The same for deliveries that go in one request."""
        try:
            return await self._batches.make(items)
        except Exception as fault:
            log.exception("delivery.crashed", delivery_id=public_id(DELIVERY, items[0].delivery_id))
            return [self._attempts.crashed(item, fault) for item in items]

    def _settle(self, outcome: Outcome, lane: Lane) -> None:
        """Queues the outcome of an attempt; nothing more is started for an endpoint that has gone."""
        if outcome.result is not None and outcome.result.gone:
            lane.shut()
        if self._ledger is not None:
            self._ledger.record(outcome)

    def _use_slot(self, lane: Lane) -> None:
        """A slot became free: the lanes that queue for one take turns."""
        if lane.waiting:
            self._queueing.setdefault(lane.endpoint_id, lane)
        while self._queueing and not self._is_full:
            self.pump(self._queueing.pop(next(iter(self._queueing))))
        self._on_ended(lane)
