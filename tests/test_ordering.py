"""One recipient's events in the order of their arrival: through failures, pauses and restarts, and beside others."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from adapters.notices import Notice
from app.drafting import Drafts
from app.gateway import Gateway
from app.store.arrivals import Arrival
from app.store.endpoints import EndpointChange, change_endpoint, delete_endpoint, drop_held, enable_endpoint
from app.store.errors import NotResendable
from app.store.jobs import Order
from app.store.order import line_of
from app.store.recovery import replay, retry
from app.store.tables import REPLAY, DeliveryRow, EventRow, table_of
from app.store.transactions import writing
from tests.conftest import FrozenClock
from tests.gateways import ENVIRONMENT, Account, add_account, add_endpoint, opened, settings_for
from tests.servers import Answer, Received, Sink
from tests.servers import sink as serve

pytestmark = pytest.mark.anyio

DELIVERY, EVENTS = table_of(DeliveryRow), table_of(EventRow)
ADA, BOB, CYD = "ada@example.com", "bob@example.com", "cyd@example.com"
OK, BROKEN, HANG = Answer(200), Answer(500), Answer(then="hang")


@pytest.fixture
async def gateway(database_url: str, tmp_path: Path, clock: FrozenClock) -> AsyncIterator[Gateway]:
    async with opened(settings_for(database_url, tmp_path), clock) as gateway:
        yield gateway


class Subscriber:
    """Answers each recipient's events in its own way; 200 where nothing else was said."""

    def __init__(self, sink: Sink) -> None:
        self.sink = sink
        self.answers: dict[str, Answer] = {}
        sink.decide = lambda request: self.answers.get(recipient_of(request), OK)

    def ids(self, recipient: str) -> list[str]:
        return [request.headers["webhook-id"] for request in self.sink.requests if recipient_of(request) == recipient]

    async def until(self, recipient: str, count: int) -> list[str]:
        async with asyncio.timeout(15):
            while len(self.ids(recipient)) < count:
                await asyncio.sleep(0.01)
        return self.ids(recipient)


def recipient_of(request: Received) -> str:
    return request.json()["data"].get("recipient") or ""


@pytest.fixture
async def subscriber() -> AsyncIterator[Subscriber]:
    async with serve() as sink:
        yield Subscriber(sink)


async def rows(gateway: Gateway, column: sa.Column[Any] = DELIVERY.c.status) -> list[Any]:
    """The statuses of all deliveries, or what else they have, in the order of their events."""
    async with gateway.engine.connect() as connection:
        return list(await connection.scalars(sa.select(column).order_by(DELIVERY.c.id)))


async def until_rows(gateway: Gateway, *statuses: str) -> None:
    async with asyncio.timeout(15):
        while await rows(gateway) != list(statuses):
            await asyncio.sleep(0.01)


async def until_attempted(gateway: Gateway, count: int) -> None:
    """Until the outcomes of so many attempts of one delivery are stored, and with them when the next is due."""
    async with asyncio.timeout(15):
        while count not in await rows(gateway, DELIVERY.c.attempts):
            await asyncio.sleep(0.01)


async def post(account: Account, recipient: str, count: int) -> None:
    for _ in range(count):
        assert (await account.post("opened", recipient=recipient)).status == 200


async def change(gateway: Gateway, endpoint_id: int, **fields: object) -> None:
    """As a request to the API does it."""
    changed = EndpointChange(**fields)  # pyright: ignore[reportArgumentType]
    await change_endpoint(
        gateway.engine, gateway.vault, ENVIRONMENT, endpoint_id, changed, gateway.clock.now(), gateway.registry.reload
    )
    gateway.sender.bell.ring()


async def test_a_failed_event_holds_up_its_recipient_and_nobody_else(
    gateway: Gateway, subscriber: Subscriber, clock: FrozenClock
) -> None:
    account = await add_account(gateway, "mailgun")
    await add_endpoint(gateway, subscriber.sink.url, ordering="recipient")
    subscriber.answers[ADA] = BROKEN
    await post(account, ADA, 3)
    await post(account, BOB, 3)
    assert len(set(await subscriber.until(BOB, 3))) == 3
    await until_rows(gateway, "pending", "queued", "queued", *["delivered"] * 3)
    clock.advance(6)
    await until_attempted(gateway, 2)
    subscriber.answers.clear()
    clock.advance(40)
    arrived = await subscriber.until(ADA, 5)
    assert arrived[:3] == [arrived[0]] * 3
    assert arrived[2:] == sorted(set(arrived))
    await until_rows(gateway, *["delivered"] * 6)


async def test_the_next_one_goes_when_one_has_failed_for_good(gateway: Gateway, subscriber: Subscriber) -> None:
    account = await add_account(gateway, "mailgun")
    await add_endpoint(gateway, subscriber.sink.url, ordering="recipient", retry_schedule_s=[])
    subscriber.answers[ADA] = BROKEN
    await post(account, ADA, 3)
    assert len(set(await subscriber.until(ADA, 3))) == 3
    await until_rows(gateway, *["failed"] * 3)


async def test_one_event_of_a_recipient_is_in_flight_however_many_came_in_one_commit(
    gateway: Gateway, subscriber: Subscriber
) -> None:
    account = await add_account(gateway, "mailgun")
    await add_endpoint(gateway, subscriber.sink.url, ordering="recipient", timeout_s=60)
    subscriber.answers = dict.fromkeys((ADA, BOB), HANG)
    await asyncio.gather(*(account.post("opened", recipient=who) for who in (ADA, BOB, ADA.upper(), CYD) * 5))
    await subscriber.until(CYD, 5)
    assert (len(subscriber.ids(ADA)) + len(subscriber.ids(ADA.upper())), len(subscriber.ids(BOB))) == (1, 1)


async def test_a_long_line_arrives_in_its_order(gateway: Gateway, subscriber: Subscriber) -> None:
    account = await add_account(gateway, "mailgun")
    await add_endpoint(gateway, subscriber.sink.url, ordering="recipient")
    await asyncio.gather(*(account.post("opened", recipient=who) for who in (ADA, BOB, CYD) * 20))
    for who in (ADA, BOB, CYD):
        arrived = await subscriber.until(who, 20)
        assert arrived == sorted(set(arrived))


async def test_an_endpoint_that_asks_for_no_order_is_sent_everything_at_once(
    gateway: Gateway, subscriber: Subscriber
) -> None:
    account = await add_account(gateway, "mailgun")
    await add_endpoint(gateway, subscriber.sink.url, timeout_s=60)
    subscriber.answers[ADA] = HANG
    await post(account, ADA, 3)
    assert len(set(await subscriber.until(ADA, 3))) == 3


async def test_events_about_nobody_wait_for_nobody(gateway: Gateway, subscriber: Subscriber) -> None:
    await add_endpoint(gateway, subscriber.sink.url, events="endpoint.failing", ordering="recipient", timeout_s=60)
    subscriber.answers[""] = HANG
    drafts = Drafts(gateway.registry, gateway.ids.next)
    for _ in range(3):
        notice = Notice(summary="it fails", since="2026-03-03T08:15:00.000Z", numbers={})
        news = drafts.notice(ENVIRONMENT, "endpoint.failing", notice, gateway.clock.ms())
        await gateway.ledger.take_in(Arrival(None, [news]))
    await subscriber.until("", 3)


async def test_a_test_event_is_sent_at_once_whoever_is_kept_back(gateway: Gateway, subscriber: Subscriber) -> None:
    account = await add_account(gateway, "mailgun")
    endpoint_id, _ = await add_endpoint(gateway, subscriber.sink.url, ordering="recipient", timeout_s=60)
    subscriber.answers["test@example.com"] = HANG
    await post(account, "test@example.com", 2)
    await subscriber.until("test@example.com", 1)
    for _ in range(2):
        await gateway.ingest.send_test(ENVIRONMENT, endpoint_id)
    assert len(set(await subscriber.until("test@example.com", 3))) == 3


async def test_a_restart_goes_on_where_it_was(
    database_url: str, tmp_path: Path, clock: FrozenClock, subscriber: Subscriber
) -> None:
    settings = settings_for(database_url, tmp_path)
    async with opened(settings, clock) as gateway:
        account = await add_account(gateway, "mailgun")
        await add_endpoint(gateway, subscriber.sink.url, ordering="recipient")
        subscriber.answers[ADA] = BROKEN
        await post(account, ADA, 4)
        await until_rows(gateway, "pending", *["queued"] * 3)
    subscriber.answers.clear()
    clock.advance(60)
    async with opened(settings, clock) as gateway:
        arrived = await subscriber.until(ADA, 5)
        assert arrived[1:] == sorted(set(arrived))
        await until_rows(gateway, *["delivered"] * 4)


async def test_of_a_paused_endpoint_the_first_is_held_and_the_others_stay_queued(
    gateway: Gateway, subscriber: Subscriber
) -> None:
    account = await add_account(gateway, "mailgun")
    endpoint_id, _ = await add_endpoint(gateway, subscriber.sink.url, ordering="recipient")
    await change(gateway, endpoint_id, active=False)
    await post(account, ADA, 3)
    await post(account, BOB, 1)
    assert await rows(gateway) == ["held", "queued", "queued", "held"]
    await enable_endpoint(gateway.engine, ENVIRONMENT, endpoint_id, gateway.clock.now(), gateway.registry.reload)
    gateway.sender.bell.ring()
    arrived = await subscriber.until(ADA, 3)
    assert arrived == sorted(set(arrived))
    await until_rows(gateway, *["delivered"] * 4)


async def test_dropping_what_is_held_cancels_what_is_queued_behind_it(gateway: Gateway, subscriber: Subscriber) -> None:
    account = await add_account(gateway, "mailgun")
    endpoint_id, _ = await add_endpoint(gateway, subscriber.sink.url, ordering="recipient")
    await change(gateway, endpoint_id, active=False)
    await post(account, ADA, 3)
    assert await drop_held(gateway.engine, ENVIRONMENT, endpoint_id, gateway.clock.now()) == 3
    assert await rows(gateway) == ["cancelled"] * 3


async def test_a_deleted_endpoint_leaves_nothing_queued(gateway: Gateway, subscriber: Subscriber) -> None:
    account = await add_account(gateway, "mailgun")
    endpoint_id, _ = await add_endpoint(gateway, subscriber.sink.url, ordering="recipient")
    subscriber.answers[ADA] = BROKEN
    await post(account, ADA, 3)
    await until_rows(gateway, "pending", "queued", "queued")
    await delete_endpoint(gateway.engine, gateway.vault, ENVIRONMENT, endpoint_id, gateway.clock.now())
    assert await rows(gateway) == ["cancelled"] * 3


async def test_one_that_is_held_for_its_transform_blocks_its_recipient_until_it_is_mended(
    gateway: Gateway, subscriber: Subscriber
) -> None:
    account = await add_account(gateway, "mailgun")
    transform = "type == 'email.click' && unheard_of || @"
    endpoint_id, _ = await add_endpoint(gateway, subscriber.sink.url, ordering="recipient", transform="missing")
    await post(account, ADA, 2)
    await until_rows(gateway, "held", "queued")
    await change(gateway, endpoint_id, transform=transform)
    arrived = await subscriber.until(ADA, 2)
    assert arrived == sorted(set(arrived))


async def test_who_asks_for_no_order_any_more_gets_what_is_queued_at_once(
    gateway: Gateway, subscriber: Subscriber
) -> None:
    account = await add_account(gateway, "mailgun")
    endpoint_id, _ = await add_endpoint(gateway, subscriber.sink.url, ordering="recipient", timeout_s=60)
    subscriber.answers[ADA] = HANG
    await post(account, ADA, 3)
    await subscriber.until(ADA, 1)
    subscriber.answers.clear()
    await change(gateway, endpoint_id, ordering="none")
    await subscriber.until(ADA, 3)
    await until_rows(gateway, "sending", "delivered", "delivered")


async def test_what_is_sent_again_queues_behind_what_waits(
    gateway: Gateway, subscriber: Subscriber, clock: FrozenClock
) -> None:
    account = await add_account(gateway, "mailgun")
    endpoint_id, _ = await add_endpoint(gateway, subscriber.sink.url, ordering="recipient")
    await post(account, ADA, 1)
    await until_rows(gateway, "delivered")
    subscriber.answers[ADA] = BROKEN
    await post(account, ADA, 2)
    await until_rows(gateway, "delivered", "pending", "queued")
    async with gateway.engine.connect() as connection:
        ids = list(await connection.scalars(sa.select(DELIVERY.c.id).order_by(DELIVERY.c.id)))
        event_id = await connection.scalar(sa.select(DELIVERY.c.event_id).where(DELIVERY.c.id == ids[0]))
    assert event_id is not None
    async with writing(gateway.engine) as connection:
        assert await retry(connection, ENVIRONMENT, ids[0], clock.now())
        await replay(connection, ENVIRONMENT, event_id, [endpoint_id], gateway.ids, clock.now())
        with pytest.raises(NotResendable, match="waits for an earlier one"):
            await retry(connection, ENVIRONMENT, ids[2], clock.now())
    assert await rows(gateway) == ["queued", "pending", "queued", "queued"]
    subscriber.answers.clear()
    clock.advance(6)
    await until_rows(gateway, *["delivered"] * 4)


async def test_a_job_replays_in_order(gateway: Gateway, subscriber: Subscriber, clock: FrozenClock) -> None:
    account = await add_account(gateway, "mailgun")
    for _ in range(10):
        await post(account, ADA, 1)
        await post(account, BOB, 1)
        clock.advance(1)
    endpoint_id, _ = await add_endpoint(gateway, subscriber.sink.url, ordering="recipient")
    order = Order(
        environment_id=ENVIRONMENT, kind=REPLAY, endpoint_id=endpoint_id, until=clock.now(), per_second=1_000.0
    )
    await gateway.bulk.order(order)
    for who in (ADA, BOB):
        arrived = await subscriber.until(who, 10)
        assert arrived == sorted(set(arrived))


async def test_who_is_forgotten_leaves_no_mark_in_the_line(gateway: Gateway, subscriber: Subscriber) -> None:
    account = await add_account(gateway, "mailgun")
    await add_endpoint(gateway, subscriber.sink.url, ordering="recipient")
    subscriber.answers[ADA] = BROKEN
    await post(account, ADA, 3)
    await until_rows(gateway, "pending", "queued", "queued")
    walked = await gateway.forgetting.walk(ENVIRONMENT, ADA)
    assert (walked.after, walked.forgotten.deliveries) == (None, 3)
    assert await rows(gateway) == ["cancelled"] * 3
    async with gateway.engine.connect() as connection:
        assert set(await connection.scalars(sa.select(DELIVERY.c.order_key))) == {None}


async def test_a_line_that_nobody_leads_is_found_and_goes_on(
    gateway: Gateway, subscriber: Subscriber, clock: FrozenClock
) -> None:
    account = await add_account(gateway, "mailgun")
    await add_endpoint(gateway, subscriber.sink.url, ordering="recipient")
    subscriber.answers[ADA] = BROKEN
    await post(account, ADA, 3)
    await until_rows(gateway, "pending", "queued", "queued")
    async with writing(gateway.engine) as connection:  # what two nodes can come to that do not see each other
        await connection.execute(sa.update(DELIVERY).where(DELIVERY.c.status == "pending").values(status="cancelled"))
    subscriber.answers.clear()
    await post(account, ADA, 1)
    assert await rows(gateway) == ["cancelled", "queued", "queued", "queued"]
    clock.advance(31)
    arrived = (await subscriber.until(ADA, 4))[1:]
    assert arrived == sorted(set(arrived))


async def test_ten_thousand_queued_behind_one_recipient_are_nobodys_concern(
    gateway: Gateway, subscriber: Subscriber
) -> None:
    account = await add_account(gateway, "mailgun")
    endpoint_id, _ = await add_endpoint(gateway, subscriber.sink.url, ordering="recipient", retry_schedule_s=[3600])
    subscriber.answers[ADA] = BROKEN
    await post(account, ADA, 1)
    await until_rows(gateway, "pending")
    line = line_of(endpoint_id, ADA)
    assert line is not None
    async with writing(gateway.engine) as connection:
        event_id = await connection.scalar(sa.select(EVENTS.c.id))
        queued = {"event_id": event_id, "endpoint_id": endpoint_id, "status": "queued", "order_key": line[1]}
        at = {"due_at": gateway.clock.now(), "attempts": 0, "origin": "event"}
        await connection.execute(sa.insert(DELIVERY), [queued | at | {"id": gateway.ids.next()} for _ in range(10_000)])
    await asyncio.gather(*(account.post("opened", recipient=f"{number}@example.com") for number in range(50)))
    await subscriber.sink.arrived(51)
    by_status: defaultdict[str, int] = defaultdict(int)
    async with asyncio.timeout(10):
        while by_status["delivered"] < 50:
            by_status.clear()
            for status in await rows(gateway):
                by_status[status] += 1
    assert by_status == {"pending": 1, "queued": 10_000, "delivered": 50}
