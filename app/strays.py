"""Deliveries that stand where they should not, because of what two nodes did at once: found now and then, and moved."""

from collections.abc import Collection
from datetime import timedelta
from functools import partial

from sqlalchemy.ext.asyncio import AsyncEngine

from app.clock import Clock
from app.registry import Registry
from app.store.ledger import Ledger
from app.store.order import Line, let_next_go_in_reach, stuck_lines
from app.store.settling import settle_changed

STRAYS_INTERVAL_S = 30.0
STRAYS_AFTER = timedelta(minutes=10)
"""How far back a change may lie whose strays are looked for."""


class Strays:
    """The two looks for them: along changed endpoints, and along the lines of endpoints that get events in order."""

    def __init__(self, registry: Registry, engine: AsyncEngine, clock: Clock) -> None:
        self._registry = registry
        self._engine = engine
        self._clock = clock
        self._next_at = 0.0
        self._looked_upto: dict[int, int] = {}
        """By endpoint, the digest that the next look at its lines goes on after."""

    async def settle(self, ledger: Ledger) -> Collection[int]:
        """Moves them, if it is time to look again; the endpoints to which queued deliveries became due."""
        if self._clock.monotonic() < self._next_at:
            return ()
        now = self._clock.now()
        await settle_changed(self._engine, now - STRAYS_AFTER, now)
        stuck = await self._stuck()
        if stuck:
            await ledger.run(partial(let_next_go_in_reach, lines=stuck, now=self._clock.ms()))
        self._next_at = self._clock.monotonic() + STRAYS_INTERVAL_S
        return {endpoint_id for endpoint_id, _ in stuck}

    async def _stuck(self) -> list[Line]:
        """Lines that nobody leads: who finished its last did not see who was just joining it."""
        ordered = [endpoint.id for endpoint in self._registry.active_endpoints() if endpoint.ordered]
        found, looked_upto = list[Line](), dict[int, int]()
        for endpoint_id in ordered:
            after = self._looked_upto.get(endpoint_id, -1)
            async with self._engine.connect() as connection:
                lines, looked_upto[endpoint_id] = await connection.run_sync(stuck_lines, endpoint_id, after)
            found += lines
        self._looked_upto = looked_upto
        return found
