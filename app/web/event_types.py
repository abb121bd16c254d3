"""What subscribers may receive: every event type with its meaning, its JSON Schema and an example."""

from functools import cache
from typing import Any

import msgspec
from litestar import get

from adapters.events import (
    EVENT_TYPES,
    OPT_IN_TYPES,
    Bounce,
    Click,
    Client,
    Complaint,
    Deferral,
    Delivery,
    Drop,
    Event,
    EventData,
    Geo,
    Open,
    Provider,
    Unsubscribe,
)

_CLIENT: dict[str, Any] = {
    "client": Client(
        ip="203.0.113.9", user_agent="Mozilla/5.0", name="Firefox", os="Linux", device="desktop", machine=False
    ),
    "geo": Geo(country="NL", city="Utrecht"),
}
_BLOCKS: dict[str, dict[str, Any]] = {
    "email.delivered": {"delivery": Delivery(smtp_code=250, diagnostic="250 2.0.0 OK")},
    "email.deferred": {"deferral": Deferral(attempt=1, smtp_code=451, enhanced_code="4.7.1", diagnostic="Greylisted")},
    "email.bounced": {
        "bounce": Bounce(
            class_="hard",
            category="Invalid Address",
            smtp_code=550,
            enhanced_code="5.1.1",
            diagnostic="550 5.1.1 No such user",
            permanent=True,
            suppress_recommended=True,
        )
    },
    "email.dropped": {"drop": Drop(reason="Bounced Address", category="suppressed")},
    "email.failed": {"drop": Drop(reason="reached_daily_quota", category="quota")},
    "email.open": {"open": Open(first=True), **_CLIENT},
    "email.click": {"click": Click(url="https://example.com/offer"), **_CLIENT},
    "email.complaint": {"complaint": Complaint(feedback_type="abuse")},
    "email.unsubscribe": {"unsubscribe": Unsubscribe(scope="list", list_id="news")},
    "email.subscribe": {"unsubscribe": Unsubscribe(scope="list", list_id="news")},
}


class EventType(msgspec.Struct):
    """One type of event; `schema` is a JSON Schema (2020-12) of the body."""

    type: str
    meaning: str
    opt_in: bool
    """True when * and email.* leave it out, so that it must be named."""
    schema: dict[str, Any]
    example: dict[str, Any]


class EventTypeList(msgspec.Struct):
    """Every type there is."""

    data: list[EventType]


@get("/event-types", operation_id="listEventTypes", tags=["Events"])
async def list_event_types() -> EventTypeList:
    """List every event type with its meaning, JSON Schema and an example."""
    return _all_types()


def example_event(event_type: str) -> Event:
    """An event of that type as a subscriber would receive it."""
    data = EventData(
        email_id="msg_abc123",
        message_id="20260303081459.1@mail.example.com",
        recipient="anna@example.com",
        provider=Provider(
            name="resend", source="prod", event_id="evt_native_1", event_type=event_type.partition(".")[2]
        ),
        received_at="2026-03-03T08:15:01.120Z",
        subject="Your order",
        from_="shop@example.org",
        to=["anna@example.com"],
        tags=["orders"],
        metadata={"order": "4711"},
        **_BLOCKS.get(event_type, {}),
    )
    return Event(
        id="evt_01KJSF64D080000",
        type=event_type,
        timestamp="2026-03-03T08:15:00.000Z",
        org_id="org_5d1c0b6f0e",
        env_id="env_2f8a9c7e11",
        data=data,
    )


@cache
def _all_types() -> EventTypeList:
    return EventTypeList([_describe(name, meaning) for name, meaning in EVENT_TYPES.items()])


def _describe(name: str, meaning: str) -> EventType:
    (_, components) = msgspec.json.schema_components([Event], ref_template="#/$defs/{name}")
    event = components.pop("Event")
    event["properties"]["type"] = {"const": name}
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": name, **event, "$defs": components}
    return EventType(
        type=name,
        meaning=meaning,
        opt_in=name in OPT_IN_TYPES or not name.startswith("email."),
        schema=schema,
        example=msgspec.to_builtins(example_event(name)),
    )
