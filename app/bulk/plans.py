"""What a job sends next. The preview counts with the same words as the work is done, and so it is right."""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.closures import is_true
from adapters.errors import ExpressionError
from app.clock import Clock
from app.registry import Endpoint, Registry
from app.store.jobs import Order
from app.store.log import EventFilter, FailedFilter, Missing, Reach, events_forwards, failed_forwards
from app.store.tables import RECOVER_FAILED, RECOVER_MISSING
from app.store.views import FollowedEvent

COUNT_S_MAX = 5.0
"""How long a preview may count."""
COUNTED_AT_ONCE = 1_000


class Impossible(Exception):
    """The job cannot go on; the message is a sentence for the person who asked for it."""


class Stretch(NamedTuple):
    """A part of the walk: events by endpoint, or failed deliveries; `end` as in `store.jobs.Step`."""

    targets: Sequence[tuple[int, int]] = ()
    """(event, endpoint)"""
    failed: Sequence[int] = ()
    end: int | None = None

    @property
    def size(self) -> int:
        return len(self.targets) + len(self.failed)


class Counted(NamedTuple):
    """How many deliveries it would be, or at least so many."""

    total: int
    exact: bool


class Plans:
    """Reads what jobs are to send; writes nothing."""

    def __init__(self, registry: Registry, engine: AsyncEngine, clock: Clock) -> None:
        self._registry = registry
        self._engine = engine
        self._clock = clock

    async def count(self, order: Order) -> Counted:
        """The preview of a job; it ends after COUNT_S_MAX. Raises Impossible."""
        total, after = 0, order.start
        until = self._clock.monotonic() + COUNT_S_MAX
        while self._clock.monotonic() < until:
            stretch = await self.next(order, after, COUNTED_AT_ONCE)
            total += stretch.size
            if stretch.end is None:
                return Counted(total, exact=True)
            after = stretch.end
        return Counted(total, exact=False)

    async def next(self, order: Order, after: int, limit: int) -> Stretch:
        """At most `limit` deliveries, or those of one event, behind `after`. Raises Impossible."""
        await self._registry.reload()
        endpoint = self._endpoint(order)
        reach = Reach(after, order.before, limit)
        if order.kind == RECOVER_FAILED:
            which = FailedFilter(**order.filters)
            failed, end = await failed_forwards(self._engine, order.environment_id, order.endpoint_id, which, reach)
            return Stretch(failed=failed, end=end)
        missing = None
        if order.kind == RECOVER_MISSING and endpoint is not None:
            missing = Missing(endpoint.id, endpoint.types)
        events, end = await events_forwards(
            self._engine, order.environment_id, EventFilter(**order.filters), reach, missing
        )
        return self._targets(order, events, end, limit)

    def _endpoint(self, order: Order) -> Endpoint | None:
        """The endpoint that the order names. A replay to a paused one is held; a recovery would only fill its queue."""
        if order.endpoint_id is None:
            return None
        endpoint = self._registry.endpoint(order.endpoint_id)
        if endpoint is None:
            raise Impossible(f"There is no endpoint {order.endpoint_id}.")
        if order.kind in (RECOVER_FAILED, RECOVER_MISSING) and not endpoint.active:
            raise Impossible(f"Endpoint {endpoint.id} is not active; enable it first.")
        return endpoint

    def _targets(self, order: Order, events: Sequence[FollowedEvent], end: int | None, limit: int) -> Stretch:
        targets = list[tuple[int, int]]()
        before: int | None = None
        for event in events:
            more = [(event.id, endpoint_id) for endpoint_id in self._targets_of(order, event)]
            if before is not None and len(targets) + len(more) > limit:
                return Stretch(targets, end=before)
            targets += more
            before = event.id
        return Stretch(targets, end=end)

    def _targets_of(self, order: Order, event: FollowedEvent) -> list[int]:
        if order.endpoint_id is None:
            return [endpoint.id for endpoint in asking(self._registry, order.environment_id, event.type, event.body)]
        endpoint = self._registry.endpoint(order.endpoint_id)
        if order.kind == RECOVER_MISSING and endpoint is not None and not _passes(endpoint, event.body):
            return []
        return [order.endpoint_id]


def asking(registry: Registry, environment_id: int, event_type: str, body: bytes) -> list[Endpoint]:
    """The endpoints that would get the event if it came now, paused ones included."""
    return [endpoint for endpoint in registry.wanting(environment_id, event_type) if _passes(endpoint, body)]


def _passes(endpoint: Endpoint, event: bytes) -> bool:
    """A filter that fails says nothing: better one event too many than one too few."""
    if endpoint.filter is None:
        return True
    try:
        return is_true(endpoint.filter(msgspec.json.decode(event)))
    except ExpressionError:
        return True
