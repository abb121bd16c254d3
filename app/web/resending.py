"""Sending again by hand: an event to the endpoints that ask for it, a delivery once more, and the sender is told."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from adapters.closures import is_true
from adapters.errors import ExpressionError
from app.gateway import Gateway
from app.registry import Endpoint
from app.store import recovery
from app.store.transactions import writing

RECOVERY_WALKS_MAX = 20
"""How many stretches of the log one call goes through; 500 events are found in each at most."""


class _Named(msgspec.Struct):
    """The part of an event that says who asks for it."""

    type: str


async def replay(gateway: Gateway, environment_id: int, event_id: int, endpoint_ids: Sequence[int]) -> Sequence[int]:
    """New deliveries of the event; their ids. Raises ReplayRefused for an endpoint that is not there."""
    async with writing(gateway.engine) as connection:
        made = await recovery.replay(
            connection, environment_id, event_id, endpoint_ids, gateway.ids, gateway.clock.now()
        )
    gateway.sender.bell.ring()
    return made or ()


async def retry(gateway: Gateway, environment_id: int, delivery_id: int) -> bool:
    """Makes a delivery due now; False when the environment has no such delivery. Raises NotResendable."""
    async with writing(gateway.engine) as connection:
        known = await recovery.retry(connection, environment_id, delivery_id, gateway.clock.now())
    gateway.sender.bell.ring()
    return known


async def recover_missing(
    gateway: Gateway, environment_id: int, endpoint_id: int, since: datetime, until: datetime
) -> tuple[int, bool]:
    """New deliveries of that time's events that the endpoint asks for and has none of: how many, and whether of all."""
    await gateway.registry.reload()
    endpoint = gateway.registry.endpoint(endpoint_id)
    made, after = 0, 0
    for _ in range(RECOVERY_WALKS_MAX):
        if endpoint is None or after is None:
            break
        missed, after = await recovery.missed_events(
            gateway.engine, environment_id, endpoint_id, endpoint.types, since, until, after=after
        )
        wanted = [event.id for event in missed if _passes(endpoint, event.body)]
        async with writing(gateway.engine) as connection:
            for event_id in wanted:
                await recovery.replay(
                    connection, environment_id, event_id, [endpoint_id], gateway.ids, gateway.clock.now()
                )
        made += len(wanted)
    gateway.sender.bell.ring()
    return made, after is None


async def endpoints_asking_for(gateway: Gateway, environment_id: int, event: bytes) -> list[int]:
    """The endpoints that would get the event if it came now, paused ones included."""
    await gateway.registry.reload()
    event_type = msgspec.json.decode(event, type=_Named).type
    wanting = gateway.registry.wanting(environment_id, event_type)
    return [endpoint.id for endpoint in wanting if _passes(endpoint, event)]


def _passes(endpoint: Endpoint, event: bytes) -> bool:
    """A filter that fails says nothing: better one event too many than one too few."""
    if endpoint.filter is None:
        return True
    try:
        return is_true(endpoint.filter(msgspec.json.decode(event)))
    except ExpressionError:
        return True
