"""The sender: takes deliveries over from a commit, or claims them from the store when they are due.

Strategy: every delivery is a stored row with a due time, and a row is only worked on under a lease. New deliveries are
committed with a lease already on them while their endpoint's lane has room, so that the common case reads nothing back;
all others (retries, replays, whatever a dead node left) are claimed when they are due, by endpoint, so that the backlog
of one endpoint costs the others nothing.
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
from app.lanes import Item, Lane, Lanes
from app.registry import Endpoint, Registry
from app.sending import Sending
from app.settings import Settings
from app.store.arrivals import NewDelivery
from app.store.health import WELL, Health
from app.store.leases import Claim, Claimed, claim_due, find_work, hold_pending, return_all_of, return_lapsed
from app.store.ledger import STORE_ERRORS, Ledger, StoreUnavailable
from app.store.tables import PENDING, SENDING
from app.strays import Strays

log = structlog.get_logger()

CLOSE_WAIT_S = 10.0
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
        self._announcements = announcements
        self._clock = clock
        self._settings = settings
        self._node = node
        self._lanes = Lanes(settings)
        self._sending = Sending(
            self._lanes, attempts, batches, clock, in_flight_max=settings.sending_max, on_ended=self._feed
        )
        self._tasks: set[asyncio.Task[None]] = set()
        self._health_notes = 0
        self._strays = Strays(registry, engine, clock)
        self._ledger: Ledger | None = None
        self._looking: asyncio.Task[None] | None = None

    # Its life.

    def start(self, ledger: Ledger) -> None:
        """Begins to claim and send; outcomes go to `ledger`."""
        self._ledger = ledger
        self._sending.begin(ledger)
        self._looking = asyncio.create_task(self._look_forever(), name="sender")

    async def close(self) -> None:
        """Ends what is in flight within ten seconds and gives back everything else."""
        if self._looking is None or self._ledger is None:
            return
        self._looking.cancel()
        with suppress(asyncio.CancelledError):
            await self._looking
        self._looking = None
        self._sending.end()
        if under_way := self._tasks | self._sending.tasks:
            await asyncio.wait(under_way, timeout=CLOSE_WAIT_S)
        for task in self._tasks | self._sending.tasks:
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
        lane = self._lanes.of(endpoint)
        flowing = lane.is_flowing(self._clock.ms())
        if not (self.is_running and flowing) or lane.stored_work or not self._lanes.fits(lane, size):
            lane.stored_work = True
            return False
        lane.reserved += 1
        self._lanes.keep(lane, 1, size)
        return True

    def forget(self, deliveries: Sequence[NewDelivery]) -> None:
        """Gives up the places of deliveries that were not committed after all."""
        for delivery in deliveries:
            if delivery.status == SENDING:
                lane = self._lanes[delivery.endpoint_id]
                lane.reserved -= 1
                self._lanes.keep(lane, -1, -len(delivery.event.body))

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
            self._sending.pump(lane)
            self._feed(lane)
        if first_in_line:
            self.released(first_in_line)

    def released(self, endpoint_ids: Collection[int]) -> None:
        """Takes notice that deliveries to these endpoints are due in the store."""
        for endpoint_id in endpoint_ids:
            endpoint = self._registry.endpoint(endpoint_id)
            if endpoint is not None and endpoint.active:
                lane = self._lanes.of(endpoint)
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
        self._sending.pump(lane)

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
        for lane in self._lanes:
            self._tend(lane)
        if self._ledger is not None:
            self.released(await self._strays.settle(self._ledger))
        return min((self._settings.poll_interval_s, *(max(SOON_S, wait_s) for wait_s in waits)))

    def _learn_health(self, health: Mapping[int, Health]) -> None:
        """What other nodes, or those before a restart, noted."""
        for endpoint_id in health:
            if endpoint := self._registry.endpoint(endpoint_id):
                self._lanes.of(endpoint)
        for lane in self._lanes:
            self._adopt(lane, health.get(lane.endpoint_id, WELL))

    def _notice(self, endpoint_id: int, due_at: int, now: int) -> float:
        """Feeds the endpoint if something is due; seconds until something is."""
        endpoint = self._registry.endpoint(endpoint_id)
        if endpoint is None:
            return self._settings.poll_interval_s
        if not endpoint.active:
            self._spawn(self._hold(endpoint_id))
        elif (due_at := max(due_at, self._lanes.of(endpoint).health.resume_at or 0)) <= now:
            self._lanes.of(endpoint).stored_work = True
        else:
            return (due_at - now) / 1000
        return self._settings.poll_interval_s

    def _tend(self, lane: Lane) -> None:
        """Drops the lane if nothing is in it; else starts and claims what it can."""
        endpoint = self._registry.endpoint(lane.endpoint_id)
        if lane.is_idle(self._clock.monotonic()) or (endpoint is None and lane.empty):
            self._lanes.remove(lane)
            return
        if endpoint is None or not endpoint.active:
            self._sending.give_back(lane)
        else:
            self._lanes.of(endpoint)
        self._sending.pump(lane)
        self._feed(lane)

    def _feed(self, lane: Lane) -> None:
        """Claims stored work for a lane that is half empty."""
        if self.is_running and lane.is_hungry(self._clock.ms()) and self._lanes.fits(lane, 1):
            lane.claiming = True
            self._spawn(self._claim(lane, self._lanes.places(lane)))

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
            room = self._lanes.room(lane)
            claim = Claim(endpoint.id, limit, node, self._clock.ms(), lease_until, probe, bytes_max=room)
            lane.released = False
            claimed: list[Claimed] = await self._ledger.run(partial(claim_due, claim=claim))
            size = sum(len(row.body) for row in claimed)
            lane.stored_work = lane.released or len(claimed) == limit or size > room / 2
            self._lanes.keep(lane, len(claimed), size)
            lane.waiting.extend(_item(lane.endpoint_id, row, claim) for row in claimed)
        finally:
            lane.claiming = False
        self._sending.pump(lane)
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
