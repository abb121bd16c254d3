"""What the sender holds in memory: one lane per endpoint, so that a slow endpoint fills its own lane and no other."""

from collections import deque

import msgspec

from app.registry import Endpoint

QUEUE_PER_SLOT = 16
"""Deliveries a lane holds for each attempt it may have in flight: enough that it never waits for the store."""


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


class Lane:
    """The deliveries of one endpoint: waiting, reserved for a commit under way, and in flight."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint_id = endpoint.id
        self.waiting: deque[Item] = deque()
        self.reserved = 0
        self.in_flight = 0
        self.stored_work = False
        """True while more of its deliveries may be due in the store; new ones then queue behind those."""
        self.claiming = False
        self.paced = False
        """True while a timer will start its next attempt."""
        self.not_before = 0.0
        """The monotonic time at which its rate limit lets the next attempt start."""
        self.adapt(endpoint)

    def adapt(self, endpoint: Endpoint) -> None:
        """Takes over limits that may have changed."""
        self.in_flight_max = endpoint.in_flight_max
        self.interval_s = 1 / endpoint.rate_limit_per_s if endpoint.rate_limit_per_s else 0.0

    @property
    def room(self) -> int:
        """How many more deliveries it takes."""
        return self.in_flight_max * QUEUE_PER_SLOT - len(self.waiting) - self.reserved

    @property
    def hungry(self) -> bool:
        """True when the store has work for it and it is half empty."""
        return self.stored_work and not self.claiming and self.room >= self.in_flight_max * QUEUE_PER_SLOT // 2

    @property
    def idle(self) -> bool:
        """True when it can be dropped."""
        return not (self.waiting or self.reserved or self.in_flight or self.stored_work or self.claiming)

    def wait_s(self, now: float) -> float | None:
        """Seconds until the next attempt may start; None while there is nothing to start, or no slot."""
        if not self.waiting or self.in_flight >= self.in_flight_max:
            return None
        return max(0.0, self.not_before - now)

    def start(self, now: float) -> Item:
        """The next delivery to attempt; counts it as in flight and as paced."""
        self.in_flight += 1
        self.not_before = max(self.not_before, now) + self.interval_s
        return self.waiting.popleft()
