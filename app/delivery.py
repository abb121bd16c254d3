"""The sender: takes deliveries over from a commit or claims them from the store, and settles what came of them.

Strategy: every delivery is a stored row with a due time, and a row is only worked on under a lease. New deliveries are
committed with a lease already on them while their endpoint's lane has room, so that the common case reads nothing back;
all others (retries, replays, whatever a dead node left) are claimed when they are due, by endpoint, so that the backlog
of one endpoint costs the others nothing. A result is queued in the ledger, and its slot is free again at once.
"""

import asyncio
from collections.abc import Collection, Coroutine, Mapping, Sequence
from contextlib import suppress
from functools import partial

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from app.announcements import Announcements
from app.attempts import Attempts
from app.batches import Batches
from app.bell import Bell
from app.clock import Clock
from app.lanes import Item, Lane
from app.registry import Endpoint, Registry
from app.settings import Settings
from app.store.arrivals import NewDelivery
from app.store.health import WELL, Health
from app.store.ids import DELIVERY, public_id
from app.store.leases import Claim, Claimed, Outcome, claim_due, find_work, hold_pending, return_all_of, return_lapsed
from app.store.ledger import STORE_ERRORS, Ledger, StoreUnavailable
from app.store.tables import PENDING, SENDING
from app.strays import Strays

log = structlog.get_logger()

CLOSE_WAIT_S = 10.0
OUTCOMES_WAITING_MAX = 4_000
OUTCOME_BYTES_MAX = 64 * 1024 * 1024
"""Of answers and bodies of their own, which wait for the store."""
LANE_BYTES = 1024 * 1024
"""Of events, that every lane may hold whatever the others do; a single event may be larger."""
ENDPOINT_SHARE = 4
"""No endpoint has more than this part, a quarter, of the node's attempts in flight."""
SOON_S = 0.01


class Sender:
    """The deliveries in this node's hands. `bell` tells it that there may be due work in the store."""

    def __init__(
        self,
        registry: Registry,
        engine: AsyncEngine,
        attempts: Attempts,
        batches: Batches,
        announcements: Announcements,
        clock: Clock,
        settings: Settings,
        node: int,
    ) -> None:
        self.bell = Bell()
        self._registry = registry
        self._engine = engine
        self._attempts = attempts
        self._batches = batches
        self._announcements = announcements
        self._clock = clock
        self._settings = settings
        self._node = node
        self._lanes: dict[int, Lane] = {}
        self._held = 0
        self._held_bytes = 0
        self._in_flight = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._queueing: dict[int, Lane] = {}
        self._health_notes = 0
        self._strays = Strays(registry, engine, clock)
        self._ledger: Ledger | None = None
        self._looking: asyncio.Task[None] | None = None

    # Its life.

    def start(self, ledger: Ledger) -> None:
        """Begins to claim and send; outcomes go to `ledger`."""
        self._ledger = ledger
        self._looking = asyncio.create_task(self._look_forever(), name="sender")

    async def close(self) -> None:
        """Ends what is in flight within ten seconds and gives back everything else."""
        if self._looking is None or self._ledger is None:
            return
        self._looking.cancel()
        with suppress(asyncio.CancelledError):
            await self._looking
        self._looking = None
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=CLOSE_WAIT_S)
        for task in self._tasks:
            task.cancel()
        with suppress(StoreUnavailable):
            await self._ledger.run(partial(return_all_of, node=self._node))

    @property
    def is_running(self) -> bool:
        """False before the start and after the close: then nothing is taken over."""
        return self._looking is not None

    # What the router asks while the ledger commits.

    def now_ms(self) -> int:
        """The wall clock, for due times."""
        return self._clock.ms()

    def lease(self, endpoint: Endpoint) -> tuple[int, int]:
        """This node, and until when (milliseconds since 1970) a delivery taken now is its own."""
        gathering_s = endpoint.batch.wait_s if endpoint.batch else 0.0
        held_s = endpoint.timeout_s + gathering_s + self._settings.lease_margin_s
        return self._node, self._clock.ms() + round(held_s * 1000)

    def reserve(self, endpoint: Endpoint, size: int) -> bool:
        """Keeps a place for a delivery of `size` bytes about to be committed; False where it has to wait in store."""
        lane = self._lane(endpoint)
        flowing = lane.is_flowing(self._clock.ms())
        if not (self.is_running and flowing) or lane.stored_work or not self._fits(lane, size):
            lane.stored_work = True
            return False
        lane.reserved += 1
        self._keep(lane, 1, size)
        return True

    def forget(self, deliveries: Sequence[NewDelivery]) -> None:
        """Gives up the places of deliveries that were not committed after all."""
        for delivery in deliveries:
            if delivery.status == SENDING:
                lane = self._lanes[delivery.endpoint_id]
                lane.reserved -= 1
                self._keep(lane, -1, -len(delivery.event.body))

    def take_over(self, deliveries: Sequence[NewDelivery]) -> None:
        """Puts committed deliveries into the places kept for them, and starts what can start."""
        lanes = dict[int, Lane]()
        first_in_line = set[int]()
        for delivery in deliveries:
            if delivery.status != SENDING or delivery.lease_until is None:
                if delivery.line is not None and delivery.status == PENDING:
                    first_in_line.add(delivery.endpoint_id)
                continue
            lane = lanes[delivery.endpoint_id] = self._lanes[delivery.endpoint_id]
            lane.reserved -= 1
            event = delivery.event
            lane.waiting.append(
                Item(delivery.id, lane.endpoint_id, event.id, event.type, event.body, 0, delivery.lease_until)
            )
        for lane in lanes.values():
            self._pump(lane)
            self._feed(lane)
        if first_in_line:
            self.released(first_in_line)

    def released(self, endpoint_ids: Collection[int]) -> None:
        """Takes notice that deliveries to these endpoints are due in the store."""
        for endpoint_id in endpoint_ids:
            endpoint = self._registry.endpoint(endpoint_id)
            if endpoint is not None and endpoint.active:
                lane = self._lane(endpoint)
                lane.stored_work = lane.released = True
                self._feed(lane)

    def fared(self, health: Mapping[int, Health]) -> None:
        """Takes notice of how endpoints are; what waits for one that is to be left alone goes back to the store."""
        self._health_notes += 1
        for endpoint_id, noted in health.items():
            lane = self._lanes.get(endpoint_id)
            if lane is not None:
                self._adopt(lane, noted)
        if any(noted.disabled for noted in health.values()):
            self._spawn(self._registry.reload())
        self._announce(health)
        self.bell.ring()

    def _announce(self, health: Mapping[int, Health]) -> None:
        """Tells the news that nobody has been told of, as events of their own."""
        for endpoint_id, noted in health.items():
            if self._ledger is not None and (arrival := self._announcements.of(endpoint_id, noted)):
                self._spawn(self._ledger.take_in(arrival))

    def _adopt(self, lane: Lane, health: Health) -> None:
        lane.health = WELL if health.well else health
        self._pump(lane)

    def _record(self, lane: Lane, item: Item, outcome: Outcome) -> None:
        """Queues the outcome of a delivery that was not in flight."""
        if self._ledger is not None:
            self._ledger.record(outcome)
            self._let_go(lane, item)

    # Sending.

    def _lane(self, endpoint: Endpoint) -> Lane:
        share = max(1, self._settings.sending_max // ENDPOINT_SHARE)
        lane = self._lanes.get(endpoint.id)
        if lane is None:
            margin_s = self._settings.lease_margin_s
            lane = self._lanes[endpoint.id] = Lane(endpoint, in_flight_max=share, lease_margin_s=margin_s)
        else:
            lane.adapt(endpoint, in_flight_max=share)
        return lane

    def _places(self, lane: Lane) -> int:
        """How many more deliveries the lane may take: always enough to use its slots, more while the node has room."""
        room = lane.room
        shared = self._settings.handed_over_max - self._held
        return room if shared >= room else min(room, max(lane.share - lane.held, shared))

    def _room(self, lane: Lane) -> int:
        """How many bytes of events more the lane may take: always some, more while the node has room."""
        return max(LANE_BYTES - lane.held_bytes, self._settings.handed_over_bytes_max - self._held_bytes)

    def _fits(self, lane: Lane, size: int) -> bool:
        """Whether the lane may take a delivery of so many bytes; of whatever size while it has none."""
        return self._places(lane) > 0 and (size <= self._room(lane) or lane.held == 0)

    def _keep(self, lane: Lane, count: int, size: int) -> None:
        self._held += count
        self._held_bytes += size
        lane.held_bytes += size

    def _let_go(self, lane: Lane, *items: Item) -> None:
        self._keep(lane, -len(items), -sum(len(item.body) for item in items))

    def _pump(self, lane: Lane) -> None:
        """Starts attempts while the lane, its pace and the node allow."""
        now_ms = self._clock.ms()
        self._let_go(lane, *lane.drop_expired(now_ms))
        if lane.waiting and not lane.is_flowing(now_ms):
            for item in lane.untimely():
                self._record(lane, item, self._attempts.postpone(item))
        while self.is_running and (wait_s := lane.wait_s(self._clock.monotonic(), now_ms)) is not None:
            if self._is_full:
                self._queueing[lane.endpoint_id] = lane
                return
            if wait_s > 0:
                self._pace(lane, wait_s)
                return
            self._start(lane)

    @property
    def _is_full(self) -> bool:
        """True when the node has all the attempts in flight that it may, or the ledger cannot keep up with them."""
        ledger = self._ledger
        lags = ledger is not None and (
            ledger.waiting > OUTCOMES_WAITING_MAX or ledger.outcome_bytes > OUTCOME_BYTES_MAX
        )
        return lags or self._in_flight >= self._settings.sending_max

    def _pace(self, lane: Lane, wait_s: float) -> None:
        if not lane.paced:
            lane.paced = True
            asyncio.get_running_loop().call_later(wait_s, self._on_pace, lane)

    def _on_pace(self, lane: Lane) -> None:
        lane.paced = False
        self._pump(lane)

    def _start(self, lane: Lane) -> None:
        self._in_flight += 1
        now = self._clock.monotonic()
        sending = self._send_batch(lane.start_batch(now), lane) if lane.batch else self._send(lane.start(now), lane)
        task = asyncio.create_task(sending)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _send(self, item: Item, lane: Lane) -> None:
        began = self._clock.monotonic()
        try:
            outcome = await self._attempt(item)
            self._settle(outcome, lane)
        finally:
            lane.in_flight -= 1
            self._in_flight -= 1
            self._keep(lane, -1, -len(item.body))
            lane.ended(self._clock.monotonic() - began)
            self._use_slot(lane)

    def _settle(self, outcome: Outcome, lane: Lane) -> None:
        """Queues the outcome of an attempt; nothing more is started for an endpoint that has gone."""
        if outcome.result is not None and outcome.result.gone:
            lane.shut()
        if self._ledger is not None:
            self._ledger.record(outcome)

    async def _send_batch(self, items: Sequence[Item], lane: Lane) -> None:
        began = self._clock.monotonic()
        try:
            for outcome in await self._attempt_batch(items):
                self._settle(outcome, lane)
        finally:
            lane.in_flight -= 1
            lane.batch_ended(len(items))
            self._in_flight -= 1
            self._let_go(lane, *items)
            lane.ended(self._clock.monotonic() - began)
            self._use_slot(lane)

    async def _attempt_batch(self, items: Sequence[Item]) -> list[Outcome]:
        """The same as `_attempt`, for deliveries that go in one request."""
        try:
            return await self._batches.make(items)
        except Exception as fault:
            log.exception("delivery.crashed", delivery_id=public_id(DELIVERY, items[0].delivery_id))
            return [self._attempts.crashed(item, fault) for item in items]

    async def _attempt(self, item: Item) -> Outcome:
        """What became of one attempt; one that breaks in an unforeseen way counts, so that it comes to an end."""
        try:
            return await self._attempts.make(item)
        except Exception as fault:
            log.exception("delivery.crashed", delivery_id=public_id(DELIVERY, item.delivery_id))
            return self._attempts.crashed(item, fault)

    def _use_slot(self, lane: Lane) -> None:
        """A slot became free: the lanes that queue for one take turns."""
        if lane.waiting:
            self._queueing.setdefault(lane.endpoint_id, lane)
        while self._queueing and not self._is_full:
            self._pump(self._queueing.pop(next(iter(self._queueing))))
        self._feed(lane)

    # Claiming.

    async def _look_forever(self) -> None:
        """Finds due work in the store: at a ring, when the next is due, and at every interval."""
        while True:
            wait_s = self._settings.poll_interval_s
            try:
                wait_s = await self._look()
            except (StoreUnavailable, *STORE_ERRORS) as error:
                log.warning("sender.store_unavailable", error=str(getattr(error, "orig", error)))
            except Exception:
                log.exception("sender.crashed")
            await self.bell.wait(wait_s)

    async def _look(self) -> float:
        """Takes back lapsed leases, feeds the lanes with due work; seconds until there is a reason to look again."""
        await self._registry.reload()
        now = self._clock.ms()
        notes = self._health_notes
        work = await find_work(self._engine)
        if notes == self._health_notes:  # else what was read may be older than what this node knows
            self._learn_health(work.health)
            self._announce(work.health)
        waits = [self._notice(endpoint_id, due_at, now) for endpoint_id, due_at in work.first_due.items()]
        if work.first_lease_end is not None and work.first_lease_end < now and self._ledger is not None:
            returned: int = await self._ledger.run(partial(return_lapsed, now=now))
            waits += [SOON_S] if returned else []
        for lane in list(self._lanes.values()):
            self._tend(lane)
        if self._ledger is not None:
            self.released(await self._strays.settle(self._ledger))
        return min((self._settings.poll_interval_s, *(max(SOON_S, wait_s) for wait_s in waits)))

    def _learn_health(self, health: Mapping[int, Health]) -> None:
        """What other nodes, or those before a restart, noted."""
        for endpoint_id in health:
            if endpoint := self._registry.endpoint(endpoint_id):
                self._lane(endpoint)
        for endpoint_id, lane in self._lanes.items():
            self._adopt(lane, health.get(endpoint_id, WELL))

    def _notice(self, endpoint_id: int, due_at: int, now: int) -> float:
        """Feeds the endpoint if something is due; seconds until something is."""
        endpoint = self._registry.endpoint(endpoint_id)
        if endpoint is None:
            return self._settings.poll_interval_s
        if not endpoint.active:
            self._spawn(self._hold(endpoint_id))
        elif (due_at := max(due_at, self._lane(endpoint).health.resume_at or 0)) <= now:
            self._lane(endpoint).stored_work = True
        else:
            return (due_at - now) / 1000
        return self._settings.poll_interval_s

    def _tend(self, lane: Lane) -> None:
        """Drops the lane if nothing is in it; else starts and claims what it can."""
        endpoint = self._registry.endpoint(lane.endpoint_id)
        if lane.is_idle(self._clock.monotonic()) or (endpoint is None and lane.empty):
            del self._lanes[lane.endpoint_id]
            return
        if endpoint is None or not endpoint.active:
            self._give_back(lane)
        else:
            self._lane(endpoint)
        self._pump(lane)
        self._feed(lane)

    def _give_back(self, lane: Lane) -> None:
        """What waits for an endpoint that was paused, disabled or deleted is held or cancelled at once."""
        while lane.waiting and self._ledger is not None:
            item = lane.waiting.popleft()
            self._record(lane, item, self._attempts.decline(item))

    def _feed(self, lane: Lane) -> None:
        """Claims stored work for a lane that is half empty."""
        if self.is_running and lane.is_hungry(self._clock.ms()) and self._fits(lane, 1):
            lane.claiming = True
            self._spawn(self._claim(lane, self._places(lane)))

    async def _claim(self, lane: Lane, limit: int) -> None:
        """Takes up to `limit` due deliveries; more than that never, though the lane's own limits change meanwhile."""
        endpoint = self._registry.endpoint(lane.endpoint_id)
        try:
            if endpoint is None or not endpoint.active or self._ledger is None:
                lane.stored_work = False
                return
            node, lease_until = self.lease(endpoint)
            probe = lane.health.failing
            limit = 1 if probe else limit
            room = self._room(lane)
            claim = Claim(endpoint.id, limit, node, self._clock.ms(), lease_until, probe, bytes_max=room)
            lane.released = False
            claimed: list[Claimed] = await self._ledger.run(partial(claim_due, claim=claim))
            size = sum(len(row.body) for row in claimed)
            lane.stored_work = lane.released or len(claimed) == limit or size > room / 2
            self._keep(lane, len(claimed), size)
            lane.waiting.extend(_item(lane.endpoint_id, row, claim) for row in claimed)
        finally:
            lane.claiming = False
        self._pump(lane)
        if lane.released:
            self._feed(lane)

    async def _hold(self, endpoint_id: int) -> None:
        if self._ledger is not None:
            await self._ledger.run(partial(hold_pending, endpoint_id=endpoint_id))
            self.bell.ring()

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        fault = None if task.cancelled() else task.exception()
        if isinstance(fault, (StoreUnavailable, *STORE_ERRORS)):
            log.warning("sender.store_unavailable", error=str(getattr(fault, "orig", fault)))
        elif fault is not None:
            log.error("sender.crashed", exc_info=fault)


def _item(endpoint_id: int, row: Claimed, claim: Claim) -> Item:
    return Item(
        row.delivery_id,
        endpoint_id,
        row.event_id,
        row.event_type,
        row.body,
        row.attempts,
        claim.lease_until,
        probe=claim.probe,
        line=None if row.order_key is None else (endpoint_id, row.order_key),
    )
