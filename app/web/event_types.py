"""What subscribers may receive: every event type with its meaning, its JSON Schema and an example."""

from functools import cache
from typing import Any

import msgspec
from litestar import get

from adapters.events import (
    EVENT_TYPES,
    NOTICE_TYPES,
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
from adapters.notices import Notice, NoticeAlert, NoticeEndpoint, NoticeSource, OperationalEvent

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

_ENDPOINT = NoticeEndpoint(id=3, url="https://example.com", description="CRM")
_SOURCE = NoticeSource(name="prod", provider="resend")
_RULE = NoticeAlert(id=2, name="Bounces", kind="bounce_rate")
_SINCE = "2026-03-03T08:10:00.000Z"
_NOTICES = {
    "endpoint.failing": Notice(
        summary="https://example.com (CRM) keeps failing: 5 attempts in a row, the last one: answered 503.",
        since=_SINCE,
        numbers={"failed_attempts": 5},
        endpoint=_ENDPOINT,
    ),
    "endpoint.disabled": Notice(
        summary="https://example.com (CRM) was disabled, and its deliveries are held: "
        "50 attempts in a row have failed; the last one: answered 503.",
        since=_SINCE,
        numbers={"failed_attempts": 50},
        endpoint=_ENDPOINT,
    ),
    "endpoint.recovered": Notice(
        summary="https://example.com (CRM) takes deliveries again.",
        since=_SINCE,
        numbers={"failing_s": 300},
        endpoint=_ENDPOINT,
    ),
    "source.silent": Notice(
        summary="Nothing has come from prod for 2 h; it usually pauses for 20 min at most.",
        since="2026-03-03T06:15:00.000Z",
        numbers={"value": 7_200, "threshold": 2_400, "habit_s": 1_200},
        source=_SOURCE,
        alert=NoticeAlert(id=1, name="Silence", kind="source_silent"),
    ),
    "alert.fired": Notice(
        summary="Of 812 messages of prod in the last 1 h, 6.4 % bounced; the threshold is 5 %.",
        since="2026-03-03T08:15:00.000Z",
        numbers={"value": 0.064, "threshold": 0.05, "count": 812, "window_s": 3_600},
        source=_SOURCE,
        alert=_RULE,
    ),
    "alert.resolved": Notice(
        summary="Of 790 messages of prod in the last 1 h, 1.2 % bounced; the threshold is 5 %.",
        since=_SINCE,
        numbers={"value": 0.012, "threshold": 0.05, "count": 790, "window_s": 3_600},
        source=_SOURCE,
        alert=_RULE,
    ),
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


def example_event(event_type: str) -> Event | OperationalEvent:
    """An event of that type as a subscriber would receive it."""
    envelope: dict[str, Any] = {
        "id": "evt_01KJSF64D080000",
        "type": event_type,
        "timestamp": "2026-03-03T08:15:00.000Z",
        "org_id": "org_5d1c0b6f0e",
        "env_id": "env_2f8a9c7e11",
    }
    if event_type in NOTICE_TYPES:
        return OperationalEvent(**envelope, data=_NOTICES[event_type])
    return Event(**envelope, data=_example_data(event_type))


def shape_of(event_type: str) -> type[Event | OperationalEvent]:
    """The struct of such events: `Event`, or `OperationalEvent` for what the gateway says about itself."""
    return OperationalEvent if event_type in NOTICE_TYPES else Event


def _example_data(event_type: str) -> EventData:
    return EventData(
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


@cache
def _all_types() -> EventTypeList:
    return EventTypeList([_describe(name, meaning) for name, meaning in EVENT_TYPES.items()])


def _describe(name: str, meaning: str) -> EventType:
    shape = shape_of(name)
    (_, components) = msgspec.json.schema_components([shape], ref_template="#/$defs/{name}")
    event = components.pop(shape.__name__)
    event["properties"]["type"] = {"const": name}
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": name, **event, "$defs": components}
    return EventType(
        type=name,
        meaning=meaning,
        opt_in=name in OPT_IN_TYPES or not name.startswith("email."),
        schema=schema,
        example=msgspec.to_builtins(example_event(name)),
    )
