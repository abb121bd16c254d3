from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from app.store import walks
from app.store.ids import DELIVERY, EVENT, RECEIPT, first_id_at, public_id
from app.store.log import (
    DeliveryFilter,
    EventFilter,
    ReceiptFilter,
    Span,
    count_between,
    count_open,
    events_after,
    events_numbered,
    events_onwards,
    follow_events,
    get_delivery,
    get_event,
    get_receipt,
    ids_between,
    list_deliveries,
    list_events,
    list_receipts,
    newest_event,
)
from app.store.sources import delete_source
from tests.store.world import World

pytestmark = pytest.mark.anyio


async def _events(world: World, limit: int = 10, cursor: int | None = None, **wanted: str):
    page = await list_events(world.engine, world.environment_id, EventFilter(**wanted), Span(cursor=cursor), limit)
    return [event.id for event in page.rows], page.next_cursor


async def _deliveries(world: World, **wanted: object):
    page = await list_deliveries(
        world.engine, world.environment_id, msgspec.convert(wanted, DeliveryFilter), Span(), 10
    )
    return [delivery.id for delivery in page.rows]


async def _receipts(world: World, **wanted: str):
    page = await list_receipts(world.engine, world.environment_id, ReceiptFilter(**wanted), Span(), 10)
    return [receipt.id for receipt in page.rows]


async def test_an_event_is_listed_with_its_source_and_both_times(world: World) -> None:
    source_id = await world.source("prod", "sendgrid")
    world.clock.advance(2)
    event_id = await world.event(source_id=source_id, occurred_at=datetime(2026, 3, 3, 8, 15, 1, 500_000, tzinfo=UTC))
    page = await list_events(world.engine, 1, EventFilter(), Span(), 10)
    assert msgspec.to_builtins(page.rows) == [
        {
            "id": public_id(EVENT, event_id),
            "type": "email.bounced",
            "recipient": "ada@example.com",
            "email_id": "msg_1",
            "source": "prod",
            "provider": "sendgrid",
            "occurred_at": "2026-03-03T08:15:01.500Z",
            "received_at": "2026-03-03T08:15:02.000Z",
        }
    ]


async def test_pages_of_events_go_from_the_newest_to_the_oldest_without_gaps(world: World) -> None:
    made = [public_id(EVENT, await world.event()) for _ in range(5)]
    first, cursor = await _events(world, limit=2)
    second, cursor = await _events(world, limit=2, cursor=cursor)
    third, end = await _events(world, limit=2, cursor=cursor)
    assert first + second + third == made[::-1]
    assert end is None


async def test_a_page_that_holds_exactly_the_rest_is_the_last(world: World) -> None:
    await world.event()
    await world.event()
    assert (await _events(world, limit=2))[1] is None


async def test_each_filter_of_events_finds_its_own(world: World) -> None:
    sendgrid, resend = await world.source("prod", "sendgrid"), await world.source("test", "resend")
    opened = await world.event("email.open", source_id=sendgrid, recipient="Grace@Example.com", email_id="100%_a")
    bounced = await world.event("email.bounced", source_id=resend, recipient="ada@example.com", email_id="msg_2")
    a, b = public_id(EVENT, opened), public_id(EVENT, bounced)
    for wanted, found in [
        ({"type": "email.open"}, [a]),
        ({"provider": "sendgrid"}, [a]),
        ({"source": "test"}, [b]),
        ({"recipient": "ada@example.com"}, [b]),
        ({"email_id": "100%_a"}, [a]),
        ({"q": "grace"}, [a]),
        ({"q": "bounc"}, [b]),
        ({"q": "example"}, [b, a]),
        ({"q": "%"}, [a]),
        ({"q": "0%_"}, [a]),
        ({"q": "\\"}, []),
        ({"q": a}, [a]),
        ({"q": a[:-1]}, []),
        ({"q": a, "type": "email.bounced"}, []),
        ({"type": "email.open", "recipient": "ada@example.com"}, []),
        ({"type": "email.bounced", "recipient": "ada@example.com", "provider": "resend"}, [b]),
        ({"email_id": "msg_2", "q": "ada"}, [b]),
    ]:
        assert (await _events(world, **wanted))[0] == found, wanted


async def test_since_is_included_and_until_is_not(world: World) -> None:
    times = [world.clock.now() + timedelta(seconds=number) for number in range(3)]
    made = list[str]()
    for _ in times:
        made.append(public_id(EVENT, await world.event()))
        world.clock.advance(1)
    page = await list_events(world.engine, 1, EventFilter(), Span(since=times[1], until=times[2]), 10)
    assert [event.id for event in page.rows] == [made[1]]
    page = await list_events(world.engine, 1, EventFilter(type="email.bounced"), Span(since=times[1]), 10)
    assert [event.id for event in page.rows] == [made[2], made[1]]


@pytest.mark.parametrize("wanted", [{"q": "rare"}, {"provider": "rare"}, {"type": "email.open", "q": "rare"}])
async def test_a_walk_past_other_rows_ends_and_goes_on_where_it_ended(
    world: World, monkeypatch: pytest.MonkeyPatch, wanted: dict[str, str]
) -> None:
    monkeypatch.setattr(walks, "ROWS_WALKED_MAX", 3)
    source_id = await world.source("rare", "rare")
    rare = [await world.event("email.open", source_id=source_id, email_id="rare") for _ in range(2)]
    for _ in range(7):
        await world.event("email.open")
    found, cursor, pages = list[str](), None, 0
    while pages == 0 or cursor is not None:
        page, cursor = await _events(world, cursor=cursor, **wanted)
        found += page
        pages += 1
    assert found == [public_id(EVENT, number) for number in reversed(rare)]
    assert pages == 4


async def test_another_environments_rows_count_on_the_walk_and_never_show(
    world: World, other_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walks, "ROWS_WALKED_MAX", 2)
    mine = await world.event()
    for _ in range(3):
        await other_world.event()
    assert await _events(world) == ([], (await _events(world))[1])
    first, cursor = await _events(world)
    second, end = await _events(world, cursor=cursor)
    assert (first + second, end) == ([public_id(EVENT, mine)], (await _events(world, cursor=cursor))[1])


async def test_an_event_is_shown_with_its_receipt_and_its_deliveries(world: World) -> None:
    receipt_id = await world.receipt(await world.source("prod"), status="accepted")
    event_id = await world.event(receipt_id=receipt_id, body=b'{"id":"evt_1"}')
    deliveries = [await world.delivery(event_id, endpoint_id) for endpoint_id in (1, 2)]
    detail = await get_event(world.engine, 1, event_id)
    assert detail is not None
    assert bytes(detail.event) == b'{"id":"evt_1"}'
    assert detail.receipt is not None
    assert (detail.receipt.id, detail.receipt.source) == (public_id(RECEIPT, receipt_id), "prod")
    assert [line.id for line in detail.deliveries] == [public_id(DELIVERY, number) for number in reversed(deliveries)]
    assert msgspec.json.encode(detail).startswith(b'{"event":{"id":"evt_1"},"receipt":{')


async def test_an_event_of_the_gateway_itself_has_no_receipt_and_no_source(world: World) -> None:
    event_id = await world.event("webhook.test")
    detail = await get_event(world.engine, 1, event_id)
    assert detail is not None
    assert detail.receipt is None
    page = await list_events(world.engine, 1, EventFilter(), Span(), 10)
    assert (page.rows[0].source, page.rows[0].provider) == (None, None)


async def test_followers_get_events_oldest_first_between_two_numbers(world: World) -> None:
    made = [await world.event("email.open", body=b"{}") for _ in range(4)]
    await world.event("email.click")
    wanted = EventFilter(type="email.open")
    found = await follow_events(world.engine, 1, wanted, after=made[0], before=made[3], limit=10)
    assert [(event.id, event.type, event.body) for event in found] == [
        (number, "email.open", b"{}") for number in made[1:3]
    ]
    all_of_them = await follow_events(world.engine, 1, wanted, after=0, before=first_id_at(2**42), limit=2)
    assert [event.id for event in all_of_them] == made[:2]


async def test_followers_get_events_oldest_first_and_page_by_page(world: World) -> None:
    made = [await world.event("email.open", body=b"{}") for _ in range(4)]
    await world.event("email.click")
    wanted = EventFilter(type="email.open")
    found, cursor = await events_onwards(world.engine, 1, wanted, after=made[0], limit=2)
    assert [(event.id, event.type, event.body) for event in found] == [
        (number, "email.open", b"{}") for number in made[1:3]
    ]
    assert cursor == made[2]
    found, cursor = await events_onwards(world.engine, 1, wanted, after=cursor, limit=2)
    assert ([event.id for event in found], cursor) == (made[3:], None)


async def test_a_page_of_a_follower_that_seldom_finds_something_ends_early(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walks, "ROWS_WALKED_MAX", 3)
    made = [await world.event("email.open") for _ in range(6)] + [await world.event("email.click", recipient="eve@x")]
    wanted, pages, cursor = EventFilter(q="eve@"), list[list[int]](), 0
    while cursor is not None:
        found, cursor = await events_onwards(world.engine, 1, wanted, after=cursor, limit=10)
        pages.append([event.id for event in found])
    assert pages == [[], [], made[6:]]


async def test_who_follows_can_look_back(world: World) -> None:
    assert await newest_event(world.engine) == 0
    made = [await world.event() for _ in range(5)]
    assert await newest_event(world.engine) == made[4]
    assert await count_between(world.engine, made[0], made[3]) == 3
    assert await ids_between(world.engine, made[0], made[3]) == made[1:4]
    assert [event.id for event in await events_numbered(world.engine, [made[3], made[1], 5])] == [made[1], made[3]]
    assert [event.id for event in await events_after(world.engine, made[1], 2)] == made[2:4]


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"type": "email.click"},
        {"provider": "resend"},
        {"provider": "sendgrid"},
        {"source": "prod"},
        {"recipient": "Eve@example.com"},
        {"email_id": "msg_2"},
        {"q": "EVE@"},
        {"q": "example.com", "type": "email.open"},
        {"q": "100%"},
        {"q": "evt_1"},
    ],
)
async def test_a_filter_takes_in_memory_what_it_finds_in_the_database(world: World, fields: dict[str, str]) -> None:
    source_id = await world.source()
    await world.event("email.open", source_id=source_id)
    await world.event("email.click", source_id=source_id, recipient="Eve@example.com", email_id="msg_2")
    await world.event("webhook.test", recipient=None, email_id=None)
    wanted = EventFilter(**fields)
    found, _ = await events_onwards(world.engine, 1, wanted, 0, 10)
    assert [event.id for event in await events_after(world.engine, 0, 10) if wanted.takes(event)] == [
        event.id for event in found
    ]


async def test_each_filter_of_deliveries_finds_its_own(world: World) -> None:
    opened, bounced = await world.event("email.open"), await world.event("email.bounced")
    failed = public_id(DELIVERY, await world.delivery(opened, 1, "failed", status_code=500))
    pending = public_id(DELIVERY, await world.delivery(bounced, 1, "pending"))
    delivered = public_id(DELIVERY, await world.delivery(bounced, 2, "delivered", status_code=204))
    held = public_id(DELIVERY, await world.delivery(bounced, 2, "held"))
    for wanted, found in [
        ({}, [held, delivered, pending, failed]),
        ({"status": "failed"}, [failed]),
        ({"status": "held"}, [held]),
        ({"status": "cancelled"}, []),
        ({"status": "pending"}, [pending]),
        ({"status": "delivered"}, [delivered]),
        ({"status": "nonsense"}, []),
        ({"status_code": 500}, [failed]),
        ({"endpoint_id": 1}, [pending, failed]),
        ({"endpoint_id": 1, "status": "failed"}, [failed]),
        ({"endpoint_id": 2, "status": "failed"}, []),
        ({"endpoint_id": 2, "status": "delivered"}, [delivered]),
        ({"type": "email.open"}, [failed]),
        ({"type": "email.bounced", "status_code": 204}, [delivered]),
    ]:
        assert await _deliveries(world, **wanted) == found, wanted


async def test_a_delivery_is_listed_with_its_next_attempt_only_while_it_is_pending(world: World) -> None:
    event_id = await world.event()
    due = world.clock.now() + timedelta(seconds=30)
    pending = await world.delivery(event_id, 1, "pending", due_at=due, attempts=1, status_code=503, error="busy")
    await world.delivery(event_id, 1, "delivered", finished_at=world.clock.now(), attempts=1, status_code=200)
    page = await list_deliveries(world.engine, 1, DeliveryFilter(), Span(), 10)
    delivered, line = page.rows
    assert msgspec.to_builtins(line) == {
        "id": public_id(DELIVERY, pending),
        "event_id": public_id(EVENT, event_id),
        "endpoint_id": 1,
        "type": "email.bounced",
        "recipient": "ada@example.com",
        "origin": "event",
        "status": "pending",
        "attempts": 1,
        "status_code": 503,
        "error": "busy",
        "created_at": "2026-03-03T08:15:00.000Z",
        "next_attempt_at": "2026-03-03T08:15:30.000Z",
        "finished_at": None,
    }
    assert (delivered.next_attempt_at, delivered.finished_at) == (None, "2026-03-03T08:15:00.000Z")


async def test_a_delivery_is_shown_with_every_attempt(world: World) -> None:
    endpoint = await world.endpoint("https://example.com/hook")
    event_id = await world.event(body=b'{"id":"evt_1"}')
    delivery_id = await world.delivery(event_id, endpoint.id, "delivered", attempts=2)
    await world.attempt(delivery_id, 1, error="the subscriber answered 503", error_kind="status")
    world.clock.advance(5)
    await world.attempt(delivery_id, 2, status_code=200, request_body=b"{}", response_body=b"", response_truncated=True)
    detail = await get_delivery(world.engine, 1, delivery_id)
    assert detail is not None
    assert detail.delivery.id == public_id(DELIVERY, delivery_id)
    first, second = msgspec.json.decode(msgspec.json.encode(detail.attempts))
    assert first == {
        "number": 1,
        "started_at": "2026-03-03T08:15:00.000Z",
        "duration_ms": 12,
        "status_code": 503,
        "error": "the subscriber answered 503",
        "error_kind": "status",
        "timing": {"connect_ms": 3},
        "request": {
            "url": "https://example.com/hook",
            "headers": {"webhook-id": "evt_1"},
            "body": '{"id":"evt_1"}',
        },
        "batch": None,
        "response": {"headers": {"server": "nginx"}, "body": "busy \N{REPLACEMENT CHARACTER}", "truncated": False},
    }
    assert (second["number"], second["started_at"]) == (2, "2026-03-03T08:15:05.000Z")
    assert second["request"]["body"] == "{}"
    assert second["response"] == {"headers": {"server": "nginx"}, "body": "", "truncated": True}


async def test_each_filter_of_receipts_finds_its_own(world: World) -> None:
    prod, test = await world.source("prod"), await world.source("test")
    accepted = public_id(RECEIPT, await world.receipt(prod, "accepted"))
    rejected = public_id(RECEIPT, await world.receipt(prod, "rejected", reason="signature is wrong"))
    quarantined = public_id(RECEIPT, await world.receipt(test, "quarantined"))
    for wanted, found in [
        ({}, [quarantined, rejected, accepted]),
        ({"status": "accepted"}, [accepted]),
        ({"status": "rejected"}, [rejected]),
        ({"status": "duplicate"}, []),
        ({"source": "prod"}, [rejected, accepted]),
        ({"source": "prod", "status": "quarantined"}, []),
        ({"source": "test", "status": "quarantined"}, [quarantined]),
        ({"source": "none"}, []),
    ]:
        assert await _receipts(world, **wanted) == found, wanted


async def test_the_log_remembers_deleted_sources_by_name(world: World) -> None:
    first = await world.receipt(await world.source("prod", "sendgrid"))
    await delete_source(world.engine, world.vault, 1, "prod", world.clock.now())
    second = await world.receipt(await world.source("prod", "resend"))
    assert await _receipts(world, source="prod") == [public_id(RECEIPT, second), public_id(RECEIPT, first)]
    page = await list_receipts(world.engine, 1, ReceiptFilter(), Span(), 10)
    assert [receipt.provider for receipt in page.rows] == ["resend", "sendgrid"]


async def test_a_receipt_is_shown_as_it_arrived(world: World) -> None:
    receipt_id = await world.receipt(
        await world.source("prod"),
        "quarantined",
        reason="1 item",
        problems=b'[{"index": 3, "reason": "no recipient"}]',
        body=b"caf\xe9",
    )
    event_id = await world.event(receipt_id=receipt_id)
    detail = await get_receipt(world.engine, 1, receipt_id)
    assert detail is not None
    shown = msgspec.json.decode(msgspec.json.encode(detail))
    assert shown["receipt"]["status"] == "quarantined"
    assert shown["receipt"]["received_at"] == "2026-03-03T08:15:00.000Z"
    assert shown["request"]["headers"] == {"content-type": "application/json"}
    assert shown["request"]["body"] == "caf\N{REPLACEMENT CHARACTER}"
    assert shown["problems"] == [{"index": 3, "reason": "no recipient"}]
    assert [event["id"] for event in shown["events"]] == [public_id(EVENT, event_id)]


async def test_a_receipt_without_problems_shows_an_empty_list(world: World) -> None:
    detail = await get_receipt(world.engine, 1, await world.receipt(await world.source("prod")))
    assert detail is not None
    assert bytes(detail.problems) == b"[]"


async def test_nothing_of_another_environment_is_shown(world: World, other_world: World) -> None:
    receipt_id = await other_world.receipt(await other_world.source("theirs"), "rejected")
    event_id = await other_world.event(receipt_id=receipt_id)
    endpoint = await other_world.endpoint()
    delivery_id = await other_world.delivery(event_id, endpoint.id, "failed")
    assert await get_event(world.engine, 1, event_id) is None
    assert await get_delivery(world.engine, 1, delivery_id) is None
    assert await get_receipt(world.engine, 1, receipt_id) is None
    for wanted in (
        {},
        {"type": "email.bounced"},
        {"q": "ada"},
        {"q": public_id(EVENT, event_id)},
        {"source": "theirs"},
    ):
        assert await _events(world, **wanted) == ([], None), wanted
    assert await follow_events(world.engine, 1, EventFilter(), 0, first_id_at(2**42), 10) == []
    assert await events_onwards(world.engine, 1, EventFilter(), 0, 10) == ([], None)
    for wanted in ({}, {"status": "failed"}, {"endpoint_id": endpoint.id}):
        assert await _deliveries(world, **wanted) == [], wanted
    for wanted in ({}, {"status": "rejected"}, {"source": "theirs"}):
        assert await _receipts(world, **wanted) == [], wanted
    assert await _receipts(other_world) == [public_id(RECEIPT, receipt_id)]


async def test_open_deliveries_are_counted_by_status(world: World) -> None:
    await world.endpoint()
    await world.endpoint("https://paused.example.com/", active=False)
    event_id = await world.event()
    empty = await count_open(world.engine)
    assert empty.by_status == {"pending": 0, "queued": 0, "sending": 0, "failed": 0, "held": 0}
    assert (empty.oldest_due_at, empty.active_endpoints) == (None, 1)
    first_due = world.clock.now()
    for status in ("pending", "pending", "queued", "sending", "failed", "held", "delivered", "cancelled"):
        await world.delivery(event_id, 1, status)
        world.clock.advance(1)
    counted = await count_open(world.engine)
    assert counted.by_status == {"pending": 2, "queued": 1, "sending": 1, "failed": 1, "held": 1}
    assert counted.oldest_due_at == first_due
