"""The sender as it looks from a worker that only takes requests in: what it commits, the delivery worker claims."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from functools import partial

import structlog

from app.bell import Bell, FarBell
from app.clock import Clock
from app.intercom import DUE, LOOK, Intercom
from app.registry import Endpoint, Registry
from app.store.arrivals import NewDelivery
from app.store.errors import driver_message
from app.store.health import Health
from app.store.ledger import STORE_ERRORS
from app.store.tables import PENDING

log = structlog.get_logger()


class FarSender:
    """Has no room for deliveries; tells the delivery worker which endpoints have some that are due.

    As the sender does where it is near, it keeps the registrations fresh.
    """

    def __init__(self, registry: Registry, intercom: Intercom, clock: Clock, *, poll_interval_s: float) -> None:
        self.bell = FarBell(partial(intercom.tell, LOOK))
        self._registry = registry
        self._intercom = intercom
        self._clock = clock
        self._poll_interval_s = poll_interval_s
        self._stale = Bell()
        self._refreshing: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begins to look for changed registrations."""
        self._refreshing = asyncio.create_task(self._refresh_forever(), name="registrations")

    async def close(self) -> None:
        """Ends at once."""
        if self._refreshing is not None:
            self._refreshing.cancel()
            with suppress(asyncio.CancelledError):
                await self._refreshing

    def refresh(self) -> None:
        """Looks for changed registrations now."""
        self._stale.ring()

    async def _refresh_forever(self) -> None:
        while True:
            await self._stale.wait(self._poll_interval_s)
            try:
                await self._registry.reload()
            except STORE_ERRORS as error:
                log.warning("sender.store_unavailable", error=driver_message(error))
            except Exception:
                log.exception("sender.crashed")

    # What the router asks while the ledger commits.

    def now_ms(self) -> int:
        """The wall clock, for due times."""
        return self._clock.ms()

    def reserve(self, endpoint: Endpoint, size: int) -> bool:  # noqa: ARG002 - the near sender's signature
        """False: every delivery waits in the store."""
        return False

    def lease(self, endpoint: Endpoint) -> tuple[int, int]:
        """Nothing is taken by this process, so that nobody may ask."""
        raise RuntimeError(f"a delivery to endpoint {endpoint.id} cannot be leased by a worker that sends nothing")

    def forget(self, deliveries: Sequence[NewDelivery]) -> None:
        """No places were kept."""

    def take_over(self, deliveries: Sequence[NewDelivery]) -> None:
        """Tells of those that are due."""
        self.released({delivery.endpoint_id for delivery in deliveries if delivery.status == PENDING})

    def released(self, endpoint_ids: Collection[int]) -> None:
        """Tells that deliveries to these endpoints are due in the store."""
        if endpoint_ids:
            self._intercom.tell(DUE, endpoint_ids)

    def fared(self, health: Mapping[int, Health]) -> None:
        """Only attempts say how endpoints are, and none are made here."""
