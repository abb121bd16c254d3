"""Sending again by hand: an event to the endpoints that ask for it, a delivery once more, and the sender is told."""

from collections.abc import Mapping, Sequence

import msgspec

from app.bulk import asking
from app.gateway import Gateway
from app.store import health, recovery
from app.store.transactions import writing


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


async def replay_to_all(gateway: Gateway, environment_id: int, events: Mapping[int, bytes]) -> int:
    """New deliveries of the events, by number, to all endpoints that ask for them now; how many these are."""
    made = 0
    for number, body in events.items():
        if targets := await endpoints_asking_for(gateway, environment_id, body):
            made += len(await replay(gateway, environment_id, number, targets))
    return made


async def retry(gateway: Gateway, environment_id: int, delivery_id: int) -> bool:
    """Makes a delivery due now; False when the environment has no such delivery. Raises NotResendable."""
    async with writing(gateway.engine) as connection:
        known = await recovery.retry(connection, environment_id, delivery_id, gateway.clock.now())
    gateway.sender.bell.ring()
    return known


async def probe_soon(gateway: Gateway, endpoint_id: int) -> None:
    """Lets a failing endpoint be tried at once by what is about to be sent to it."""
    async with writing(gateway.engine) as connection:
        await connection.run_sync(health.probe_soon, [endpoint_id], gateway.clock.now())


async def endpoints_asking_for(gateway: Gateway, environment_id: int, event: bytes) -> list[int]:
    """The endpoints that would get the event if it came now, paused ones included."""
    await gateway.registry.reload()
    event_type = msgspec.json.decode(event, type=_Named).type
    return [endpoint.id for endpoint in asking(gateway.registry, environment_id, event_type, event)]
