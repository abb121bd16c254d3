"""What the sender holds in memory: one lane per endpoint, so that a slow endpoint fills its own lane and no other."""

from collections import deque
from collections.abc import Iterator
from math import ceil

import msgspec

from app.registry import BatchLimits, Endpoint
from app.settings import Settings
from app.store.health import WELL
from app.store.order import Line

READ_AHEAD_MAX = 16
"""Deliveries a lane holds for each attempt it may have in flight, while the endpoint answers fast."""
BATCH_BYTES_MAX = 1024 * 1024
"""Of the events in one request, unless a single one is larger."""
LANE_BYTES = 1024 * 1024
"""Of events, that every lane may hold whatever the others do; a single event may be larger."""
ENDPOINT_SHARE = 4
"""No endpoint has more than this part, a quarter, of the node's attempts in flight."""
DURATION_WEIGHT = 0.2
"""How much the last attempt counts in the lane's idea of how long an attempt takes."""


class Item(msgspec.Struct):
    """A delivery in this node's hands until `lease_until` (milliseconds since 1970)."""

    delivery_id: int
    endpoint_id: int
    event_id: int
    event_type: str
    body: bytes
    attempts: int
    """Made before."""
    lease_until: int
    probe: bool = False
    """Sent to a failing endpoint to see whether it works again."""
    heals: bool = False
    """True when its success would be news, because the endpoint was not well when it was started."""
    line: Line | None = None
    since: float | None = None
    """Where it may go in a batch: since when (of the monotonic clock) it has waited for others."""


class Lane:
    """The deliveries of one endpoint: waiting, reserved for a commit under way, and in flight."""

    def __init__(self, endpoint: Endpoint, *, in_flight_max: int, lease_margin_s: float) -> None:
        self.endpoint_id = endpoint.id
        self.waiting: deque[Item] = deque()
        self.reserved = 0
        self.in_flight = 0
        self.held_bytes = 0
        """Of the events of the deliveries it holds."""
        self._beside_first = 0
        """Deliveries in flight that share a request with another."""
        self.stored_work = False
        """True while more of its deliveries may be due in the store; new ones then queue behind those."""
        self.claiming = False
        self.released = False
        """True when some became due after a claim that is under way began."""
        self.paced = False
        """True while a timer will start its next attempt."""
        self.health = WELL
        self._is_shut = False
        self._endpoint = endpoint
        self._not_before = 0.0
        self._duration_s = 0.0
        self._lease_margin_s = lease_margin_s
        self.adapt(endpoint, in_flight_max=in_flight_max)

    def adapt(self, endpoint: Endpoint, *, in_flight_max: int) -> None:
        """Takes over limits that may have changed; opens the lane again if it was shut for what is different now."""
        if self._endpoint is not endpoint:
            self._endpoint, self._is_shut = endpoint, False
        self._in_flight_max = min(endpoint.in_flight_max, in_flight_max)
        self._interval_s = 1 / endpoint.rate_limit_per_s if endpoint.rate_limit_per_s else 0.0
        self.timeout_ms = endpoint.timeout_s * 1000
        self.batch = endpoint.batch

    def shut(self) -> None:
        """Nothing more is started for the endpoint as it is registered now, because it has gone."""
        self._is_shut = True

    def is_open(self, now_ms: int) -> bool:
        """Whether the endpoint may be sent to now: not while it asked for a pause, nor before its next probe."""
        if self._is_shut or self.health is WELL:
            return not self._is_shut
        return self.health.resume_at is None or self.health.resume_at <= now_ms

    def is_flowing(self, now_ms: int) -> bool:
        """Whether any delivery may be sent to the endpoint, and not just a probe."""
        return (self.health is WELL or not self.health.failing) and self.is_open(now_ms)

    @property
    def slots(self) -> int:
        """How many attempts it may have in flight: one, the probe, while the endpoint keeps failing."""
        return self._in_flight_max if self.health is WELL or not self.health.failing else 1

    @property
    def held(self) -> int:
        """How many deliveries it holds, those in flight included."""
        return len(self.waiting) + self.reserved + self.in_flight + self._beside_first

    @property
    def share(self) -> int:
        """How many it may hold whatever the node has room for: enough to use its slots, or to fill a batch."""
        slots = self.slots
        return slots if self.batch is None or self.health.failing else max(slots, self.batch.events_max)

    @property
    def capacity(self) -> int:
        """How many it may hold: no more than can be started before their leases run out."""
        if self.health is not WELL and self.health.failing:
            return 1
        ahead = READ_AHEAD_MAX
        if self._duration_s > 0:
            ahead = min(ahead, max(1, int(self._lease_margin_s / self._duration_s / 2)))
        events_max = self.batch.events_max if self.batch else 1
        unpaced = max(self.slots * (1 + ahead), 2 * events_max)
        if not self._interval_s:
            return unpaced
        return min(unpaced, max(1, ceil(self._lease_margin_s / self._interval_s / 2)) * events_max)

    @property
    def room(self) -> int:
        """How many more it takes."""
        return self.capacity - self.held

    def is_hungry(self, now_ms: int) -> bool:
        """True when the store has work for it, it is half empty, and may be sent to."""
        if not self.stored_work or self.claiming:
            return False
        return self.room >= max(1, self.capacity // 2) and self.is_open(now_ms)

    @property
    def empty(self) -> bool:
        """True when nothing is in it or on its way into it."""
        return not (self.held or self.claiming)

    def is_idle(self, now: float) -> bool:
        """True when nothing would be forgotten with it, its pace included."""
        return self.empty and not self.stored_work and self.health is WELL and self._not_before <= now

    def drop_expired(self, now_ms: int) -> list[Item]:
        """Lets go of deliveries whose lease would end during an attempt; the store gives them out again."""
        dropped = list[Item]()
        while self.waiting and now_ms + self.timeout_ms > self.waiting[0].lease_until:
            dropped.append(self.waiting.popleft())
        self.stored_work = self.stored_work or bool(dropped)
        return dropped

    def wait_s(self, now: float, now_ms: int) -> float | None:
        """Seconds until the next attempt may start; None while there is nothing to start, or no slot."""
        if not self.waiting or self.in_flight >= self.slots:
            return None
        if not (self.waiting[0].probe or self.is_flowing(now_ms)):
            return None
        paced_s = max(0.0, self._not_before - now)
        if self.batch is None or self.waiting[0].probe:
            return paced_s
        return max(paced_s, self._gathering_s(self.batch, now))

    def _gathering_s(self, batch: BatchLimits, now: float) -> float:
        """Seconds until the batch that gathers is to be sent."""
        for item in reversed(self.waiting):
            if item.since is not None:
                break
            item.since = now
        first = self.waiting[0]
        if len(self.waiting) >= batch.events_max or first.since is None:
            return 0.0
        return max(0.0, first.since + batch.wait_s - now)

    def start(self, now: float) -> Item:
        """The next delivery to attempt; counts it as in flight and as paced."""
        self.in_flight += 1
        self._not_before = max(self._not_before, now) + self._interval_s
        item = self.waiting.popleft()
        item.heals = self.health is not WELL
        return item

    def start_batch(self, now: float) -> list[Item]:
        """The next deliveries to attempt in one request; a probe goes alone."""
        items = [self.start(now)]
        size = len(items[0].body)
        while self._fits(items, size):
            item = self.waiting.popleft()
            item.heals = items[0].heals
            size += len(item.body)
            items.append(item)
        self._beside_first += len(items) - 1
        return items

    def _fits(self, items: list[Item], size: int) -> bool:
        if self.batch is None or items[0].probe or not self.waiting or self.waiting[0].probe:
            return False
        return len(items) < self.batch.events_max and size + len(self.waiting[0].body) <= BATCH_BYTES_MAX

    def batch_ended(self, deliveries: int) -> None:
        """Lets go of the deliveries of a batch beside its first one."""
        self._beside_first -= deliveries - 1

    def untimely(self) -> list[Item]:
        """Takes out what waits and may not be started for now; of a failing endpoint everything but the probe."""
        untimely = [item for item in self.waiting if not item.probe]
        self.waiting = deque(item for item in self.waiting if item.probe)
        self.stored_work = self.stored_work or bool(untimely)
        return untimely

    def ended(self, duration_s: float) -> None:
        """Notes how long an attempt took."""
        self._duration_s += (duration_s - self._duration_s) * (DURATION_WEIGHT if self._duration_s else 1)


class Lanes:
    """All lanes of a node: each holds some deliveries whatever the others do, and more while the node has room."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._by_endpoint: dict[int, Lane] = {}
        self._held = 0
        self._held_bytes = 0

    def of(self, endpoint: Endpoint) -> Lane:
        """The endpoint's lane, with its limits as they are now; a new one where it has none."""
        share = max(1, self._settings.sending_max // ENDPOINT_SHARE)
        lane = self._by_endpoint.get(endpoint.id)
        if lane is None:
            margin_s = self._settings.lease_margin_s
            lane = self._by_endpoint[endpoint.id] = Lane(endpoint, in_flight_max=share, lease_margin_s=margin_s)
        else:
            lane.adapt(endpoint, in_flight_max=share)
        return lane

    def __getitem__(self, endpoint_id: int) -> Lane:
        return self._by_endpoint[endpoint_id]

    def get(self, endpoint_id: int) -> Lane | None:
        """The lane, if there is one."""
        return self._by_endpoint.get(endpoint_id)

    def __iter__(self) -> Iterator[Lane]:
        return iter(list(self._by_endpoint.values()))

    def remove(self, lane: Lane) -> None:
        """Forgets a lane in which nothing is."""
        del self._by_endpoint[lane.endpoint_id]

    def places(self, lane: Lane) -> int:
        """How many more deliveries the lane may take: always enough to use its slots, more while the node has room."""
        room = lane.room
        shared = self._settings.handed_over_max - self._held
        return room if shared >= room else min(room, max(lane.share - lane.held, shared))

    def room(self, lane: Lane) -> int:
        """How many bytes of events more the lane may take: always some, more while the node has room."""
        return max(LANE_BYTES - lane.held_bytes, self._settings.handed_over_bytes_max - self._held_bytes)

    def fits(self, lane: Lane, size: int) -> bool:
        """Whether the lane may take a delivery of so many bytes; of whatever size while it has none."""
        return self.places(lane) > 0 and (size <= self.room(lane) or lane.held == 0)

    def keep(self, lane: Lane, count: int, size: int) -> None:
        """So many deliveries more, with so many bytes of events, are held in the lane."""
        self._held += count
        self._held_bytes += size
        lane.held_bytes += size

    def let_go(self, lane: Lane, *items: Item) -> None:
        """They are not held any more."""
        self.keep(lane, -len(items), -sum(len(item.body) for item in items))
