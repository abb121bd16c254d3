"""Which endpoints an event is owed to, and whether the sender takes the delivery at once."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol

from adapters.closures import is_true
from adapters.errors import ExpressionError
from app.registry import Endpoint, Registry
from app.store.arrivals import NewDelivery, NewEvent
from app.store.health import Health
from app.store.order import line_of
from app.store.roster import Versions
from app.store.tables import HELD, PENDING, SENDING


class Sender(Protocol):
    """What the router asks and tells: `app.delivery.Sender`, or `app.far_sender.FarSender` where that is elsewhere."""

    def now_ms(self) -> int:
        """The wall clock, for due times."""
        ...

    def reserve(self, endpoint: Endpoint, size: int) -> bool:
        """Keeps a place for a delivery of `size` bytes about to be committed; False where it has to wait in store."""
        ...

    def lease(self, endpoint: Endpoint) -> tuple[int, int]:
        """The node, and until when a delivery with a place is its own."""
        ...

    def take_over(self, deliveries: Sequence[NewDelivery]) -> None:
        """They are durable."""
        ...

    def forget(self, deliveries: Sequence[NewDelivery]) -> None:
        """They were not written."""
        ...

    def fared(self, health: Mapping[int, Health]) -> None:
        """How endpoints are."""
        ...

    def released(self, endpoint_ids: Collection[int]) -> None:
        """Deliveries to these endpoints may be due in the store."""
        ...


class Router:
    """Matches new events with the endpoints that asked for them; what is owed to a paused endpoint is held."""

    def __init__(self, registry: Registry, sender: Sender, next_id: Callable[[], int]) -> None:
        self._registry = registry
        self._sender = sender
        self._next_id = next_id

    @property
    def versions(self) -> Versions:
        """Of the registrations that it matches with."""
        return self._registry.versions

    async def reload(self) -> None:
        """Learns the registrations anew."""
        await self._registry.reload()

    def owed(self, event: NewEvent) -> list[NewDelivery]:
        """The deliveries of a new event."""
        if event.endpoint_id is not None:
            endpoint = self._registry.endpoint(event.endpoint_id)
            return [self._delivery(event, endpoint)] if endpoint else []
        wanting = self._registry.wanting(event.environment_id, event.type)
        return [self._delivery(event, endpoint) for endpoint in wanting if not _filtered_out(endpoint, event)]

    def committed(self, deliveries: Sequence[NewDelivery]) -> None:
        """Hands the sender what it took."""
        self._sender.take_over(deliveries)

    def dropped(self, deliveries: Sequence[NewDelivery]) -> None:
        """Gives up the places that the sender kept for them."""
        self._sender.forget(deliveries)

    def fared(self, health: Mapping[int, Health]) -> None:
        """Lets the sender know."""
        self._sender.fared(health)

    def released(self, endpoint_ids: Collection[int]) -> None:
        """Lets the sender know."""
        self._sender.released(endpoint_ids)

    def _delivery(self, event: NewEvent, endpoint: Endpoint) -> NewDelivery:
        delivery = NewDelivery(id=self._next_id(), event=event, endpoint_id=endpoint.id, status=PENDING, due_at=0)
        delivery.due_at = self._sender.now_ms()
        if event.endpoint_id is not None:
            delivery.origin = "test"  # and it waits for nobody: what it tests is the endpoint
        elif endpoint.ordered:
            delivery.line = line_of(endpoint.id, event.recipient)
        if not endpoint.active:
            delivery.status, delivery.error = HELD, endpoint.why_held
        elif delivery.line is None and self._sender.reserve(
            endpoint, len(event.body)
        ):  # else the store knows the turns
            delivery.status = SENDING
            delivery.lease_node, delivery.lease_until = self._sender.lease(endpoint)
        return delivery


def _filtered_out(endpoint: Endpoint, event: NewEvent) -> bool:
    """True when the endpoint's filter says no. A filter that fails says nothing: better one event too many."""
    if endpoint.filter is None:
        return False
    try:
        return not is_true(endpoint.filter(event.document()))
    except ExpressionError:
        return False
