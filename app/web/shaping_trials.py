"""Trying a filter and a transform on stored events: `POST /api/webhooks/manage/{id}/try`."""

import asyncio
from collections.abc import Sequence
from typing import Annotated

import msgspec
from litestar import post
from litestar.params import FromPath
from msgspec import UNSET, Meta, UnsetType

from adapters.expressions import Expression
from app.registry import subscribed_types
from app.shaping import ShapedEvent, StoredEvent, try_on
from app.store import log
from app.store.ids import EVENT, public_id
from app.store.log import EventFilter
from app.store.views import FollowedEvent
from app.web.context import ApiRequest, gateway_of, known_id, principal_of
from app.web.endpoint_answers import found_endpoint
from app.web.endpoint_shapes import Filter, Transform, compiled
from app.web.input import read_body
from app.web.problems import not_found

EVENTS_TRIED_MAX = 20
AT_ONCE_MAX = 2
_turns = asyncio.Semaphore(AT_ONCE_MAX)


class TryShaping(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What is tried, and on which event; null tries without one."""

    filter: Annotated[Filter, Meta(description="Instead of the endpoint's own.")] | UnsetType = UNSET
    transform: Annotated[Transform, Meta(description="Instead of the endpoint's own.")] | UnsetType = UNSET
    event_id: Annotated[str, Meta(max_length=100, description="Instead of the last 20 it subscribes to.")] | None = None


class TriedShaping(msgspec.Struct):
    """How many of the events would be delivered, and what would be sent."""

    tried: int
    matched: int
    events: list[ShapedEvent]
    """The newest first."""


@post("/{endpoint_id:int}/try", operation_id="tryShaping", status_code=200, opt={"body": TryShaping})
async def try_shaping(request: ApiRequest, endpoint_id: FromPath[int]) -> TriedShaping:
    """Try a filter and a transform on stored events; nothing is sent and nothing is changed."""
    wanted = await read_body(request, TryShaping)
    present = await found_endpoint(request, endpoint_id)
    filter_ = compiled("filter", present.filter if wanted.filter is UNSET else wanted.filter)
    transform = compiled("transform", present.transform if wanted.transform is UNSET else wanted.transform)
    found = await (_one(request, wanted.event_id) if wanted.event_id else recent(request, present.events))
    return await try_on_events(request, found, filter_, transform)


async def try_on_events(
    request: ApiRequest, found: Sequence[FollowedEvent], filter_: Expression | None, transform: Expression | None
) -> TriedShaping:
    """What would become of each of the events."""
    events = [StoredEvent(public_id(EVENT, event.id), event.type, event.body) for event in found]
    async with _turns:
        # A thread, because the evaluations of one trial may take longer together than the event loop can spare.
        monotonic = gateway_of(request).clock.monotonic
        shaped = await asyncio.to_thread(try_on, events, filter_, transform, monotonic=monotonic)
    return TriedShaping(len(shaped), sum(event.matched for event in shaped), shaped)


async def recent(request: ApiRequest, words: str) -> Sequence[FollowedEvent]:
    """The last events of the types that a subscription names."""
    engine, environment_id = gateway_of(request).engine, principal_of(request).environment_id
    return await log.recent_events(engine, environment_id, subscribed_types(words), EVENTS_TRIED_MAX)


async def _one(request: ApiRequest, event_id: str) -> Sequence[FollowedEvent]:
    number = known_id(EVENT, event_id, "event")
    engine, environment_id = gateway_of(request).engine, principal_of(request).environment_id
    found = await log.follow_events(engine, environment_id, EventFilter(), number - 1, number + 1, 1)
    if not found:
        raise not_found("event", event_id)
    return found
