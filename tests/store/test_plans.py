"""How SQLite goes about the queries of the log: along an index, or backwards along the primary key, never sorting."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import event

from app.store.endpoints import delete_endpoint, enable_endpoint
from app.store.ids import EVENT, public_id
from app.store.jobs import Job, Order, Step, has_room, list_jobs, running_jobs, start_job, take_step
from app.store.log import (
    DeliveryFilter,
    EventFilter,
    FailedFilter,
    Missing,
    Reach,
    ReceiptFilter,
    Span,
    count_between,
    count_open,
    events_after,
    events_forwards,
    events_numbered,
    events_onwards,
    failed_forwards,
    get_event,
    get_receipt,
    ids_between,
    list_deliveries,
    list_events,
    list_receipts,
    newest_event,
    recent_attempts,
    timelines,
)
from app.store.moves import move
from app.store.recovery import Owed
from app.store.settling import settle_changed, settle_endpoints
from app.store.stats import counts_by_bucket, counts_by_subject, last_heard, read_queue, read_queues
from app.store.tables import DELIVERY_STATUSES, RECEIPT_STATUSES
from app.store.transactions import writing
from tests.store.world import World

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)]

BACKWARDS = {"event": "SCAN event", "delivery": "SCAN delivery", "receipt": "SCAN receipt"}


@pytest.fixture
async def plans(world: World) -> Callable[[Awaitable[Any]], Awaitable[list[str]]]:
    """Runs a query and tells the steps of the plans of all its statements."""
    await world.source("prod")
    statements = list[tuple[str, Any]]()

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        statements.append((statement, parameters))

    async def explain(query: Awaitable[Any]) -> list[str]:
        event.listen(world.engine.sync_engine, "before_cursor_execute", note)
        await query
        event.remove(world.engine.sync_engine, "before_cursor_execute", note)
        steps = list[str]()
        async with world.engine.connect() as connection:
            for statement, parameters in statements:
                plan = await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
                steps += [row.detail for row in plan]
        statements.clear()
        return [step for step in steps if not step.startswith(("SCAN environment", "SEARCH environment"))]

    return explain


def _assert_no_sorting(steps: list[str]) -> None:
    assert [step for step in steps if "TEMP B-TREE" in step or "MATERIALIZE" in step] == []


def _assert_along(steps: list[str], index: str) -> None:
    """Every walk of the log begins with `index`, and no other log is walked."""
    _assert_no_sorting(steps)
    assert any(index in step for step in steps), steps
    assert [step for step in steps if step in BACKWARDS.values()] == [], steps


def _assert_backwards(steps: list[str], table: str) -> None:
    """Along the primary key of one log; what else is looked at is looked up."""
    _assert_no_sorting(steps)
    walked = [step for step in steps if step.startswith((f"SCAN {table}", f"SEARCH {table} USING INTEGER PRIMARY KEY"))]
    assert walked, steps
    assert [step for step in steps if step.startswith("SCAN") and not step.startswith(f"SCAN {table}")] == [], steps


@pytest.mark.parametrize(
    ("wanted", "index"),
    [
        ({"type": "email.opened"}, "ix_event_type (type=?"),
        ({"recipient": "ada@example.com"}, "ix_event_recipient (recipient=?"),
        ({"email_id": "msg_1"}, "ix_event_email (email_id=?"),
    ],
)
@pytest.mark.parametrize("cursor", [None, 1 << 40])
async def test_events_are_found_along_the_index_of_their_filter(
    world: World, plans: Any, wanted: dict[str, str], index: str, cursor: int | None
) -> None:
    steps = await plans(list_events(world.engine, 1, EventFilter(**wanted), Span(cursor=cursor), 50))
    _assert_along(steps, index)


async def test_the_public_id_of_an_event_leads_to_its_row(world: World, plans: Any) -> None:
    steps = await plans(list_events(world.engine, 1, EventFilter(q=public_id(EVENT, 1 << 40)), Span(), 50))
    assert "SEARCH event USING INTEGER PRIMARY KEY (rowid=?)" in steps
    assert "SCAN event" not in steps


@pytest.mark.parametrize(
    "wanted", [{}, {"q": "ada"}, {"provider": "resend"}, {"source": "prod"}, {"type": "email.delivered"}]
)
@pytest.mark.parametrize("cursor", [None, 1 << 40])
async def test_other_events_are_read_backwards(
    world: World, plans: Any, wanted: dict[str, str], cursor: int | None
) -> None:
    span = Span(since=world.clock.now(), cursor=cursor)
    _assert_backwards(await plans(list_events(world.engine, 1, EventFilter(**wanted), span, 50)), "event")


@pytest.mark.parametrize("wanted", [{}, {"q": "ada"}, {"type": "email.open"}, {"recipient": "ada@example.com"}])
async def test_a_follower_reads_forwards_without_sorting(world: World, plans: Any, wanted: dict[str, str]) -> None:
    steps = await plans(events_onwards(world.engine, 1, EventFilter(**wanted), 1 << 40, 50))
    _assert_no_sorting(steps)
    assert [step for step in steps if step == "SCAN event"] == []


@pytest.mark.parametrize(
    ("subject", "indexes"),
    [
        (timelines.message(1, "msg_1"), {"ix_event_email", "ix_event_message"}),
        (timelines.address(1, "ada@example.com"), {"ix_event_recipient"}),
    ],
)
async def test_a_timeline_is_found_along_the_indexes_of_its_subject(
    world: World, plans: Any, subject: timelines.Subject, indexes: set[str]
) -> None:
    await world.event(message_id="msg_2")
    steps = [
        *await plans(timelines.read_timeline(world.engine, subject, 1 << 62, 1)),
        *await plans(timelines.read_facts(world.engine, subject, ["email.bounced"])),
        *await plans(timelines.read_delivered(world.engine, subject)),
    ]
    assert [step for step in steps if step in ("SCAN event", "SCAN delivery", "SCAN source")] == [], steps
    used = {
        index
        for index in ("ix_event_email", "ix_event_message", "ix_event_recipient", "ix_event_type")
        if index in str(steps)
    }
    assert used == indexes


async def test_the_end_of_the_log_is_read_along_its_numbers(world: World, plans: Any) -> None:
    steps = [
        *await plans(newest_event(world.engine)),
        *await plans(events_after(world.engine, 1 << 40, 50)),
        *await plans(events_numbered(world.engine, [1, 2])),
        *await plans(count_between(world.engine, 1, 2)),
        *await plans(ids_between(world.engine, 1, 2)),
    ]
    _assert_no_sorting(steps)
    assert [step for step in steps if step.startswith("SCAN")] == [], steps


@pytest.mark.parametrize(
    ("wanted", "index"),
    [
        ({"endpoint_id": 1}, "ix_delivery_endpoint (endpoint_id=?"),
        ({"endpoint_id": 1, "status": "delivered"}, "ix_delivery_endpoint (endpoint_id=?"),
        ({"status": "failed"}, "ix_delivery_odd (status=?"),
        ({"status": "held"}, "ix_delivery_odd (status=?"),
        ({"status": "cancelled"}, "ix_delivery_odd (status=?"),
        ({"status": "failed", "type": "email.open"}, "ix_delivery_odd (status=?"),
    ],
)
@pytest.mark.parametrize("cursor", [None, 1 << 40])
async def test_deliveries_are_found_along_the_index_of_their_filter(
    world: World, plans: Any, wanted: dict[str, Any], index: str, cursor: int | None
) -> None:
    steps = await plans(list_deliveries(world.engine, 1, DeliveryFilter(**wanted), Span(cursor=cursor), 50))
    _assert_along(steps, index)


@pytest.mark.parametrize(
    "wanted", [{}, {"status": "delivered"}, {"status": "pending"}, {"status_code": 500}, {"type": "email.open"}]
)
@pytest.mark.parametrize("cursor", [None, 1 << 40])
async def test_other_deliveries_are_read_backwards(
    world: World, plans: Any, wanted: dict[str, Any], cursor: int | None
) -> None:
    steps = await plans(list_deliveries(world.engine, 1, DeliveryFilter(**wanted), Span(cursor=cursor), 50))
    _assert_backwards(steps, "delivery")


@pytest.mark.parametrize(
    ("wanted", "index"),
    [
        ({"source": "prod"}, "ix_receipt_source (source_id=?"),
        ({"source": "prod", "status": "accepted"}, "ix_receipt_source (source_id=?"),
        *(({"status": status}, "ix_receipt_odd (status=?") for status in RECEIPT_STATUSES if status != "accepted"),
    ],
)
async def test_receipts_are_found_along_the_index_of_their_filter(
    world: World, plans: Any, wanted: dict[str, str], index: str
) -> None:
    steps = await plans(list_receipts(world.engine, 1, ReceiptFilter(**wanted), Span(), 50))
    _assert_along([step for step in steps if step != "SCAN source"], index)


@pytest.mark.parametrize("wanted", [{}, {"status": "accepted"}])
async def test_other_receipts_are_read_backwards(world: World, plans: Any, wanted: dict[str, str]) -> None:
    _assert_backwards(await plans(list_receipts(world.engine, 1, ReceiptFilter(**wanted), Span(), 50)), "receipt")


async def test_one_event_or_receipt_is_shown_without_walking_any_log(world: World, plans: Any) -> None:
    receipt_id = await world.receipt(1)
    event_id = await world.event(receipt_id=receipt_id)
    steps = [*await plans(get_event(world.engine, 1, event_id)), *await plans(get_receipt(world.engine, 1, receipt_id))]
    assert [step for step in steps if step.startswith("SCAN")] == []


async def test_open_deliveries_are_counted_in_partial_indexes(world: World, plans: Any) -> None:
    steps = [step for step in await plans(count_open(world.engine)) if "delivery" in step]
    assert [step for step in steps if "USING" not in step] == []
    assert len(steps) == 6


@pytest.mark.parametrize("status", [status for status in DELIVERY_STATUSES if status != "delivered"])
async def test_deliveries_of_a_status_move_without_a_scan(world: World, plans: Any, status: str) -> None:
    target = {"failed": "pending", "held": "pending", "pending": "held", "sending": "failed", "queued": "pending"}.get(
        status
    )
    if target is None:
        return

    async def run() -> None:
        async with writing(world.engine) as connection:
            await move(connection, status, target, world.clock.now(), sa.true(), 10)

    assert [step for step in await plans(run()) if step == "SCAN delivery"] == []


async def test_misfits_are_found_in_partial_indexes(world: World, plans: Any) -> None:
    now = world.clock.now()
    _assert_partial(await plans(settle_endpoints(world.engine, now)))
    _assert_partial(await plans(settle_changed(world.engine, now, now)))


async def test_the_deliveries_of_a_changed_endpoint_are_found_in_partial_indexes(world: World, plans: Any) -> None:
    await world.endpoint()
    event_id = await world.event()
    for status in DELIVERY_STATUSES:
        await world.delivery(event_id, 1, status)
    now = world.clock.now()
    _assert_partial(await plans(world.pause(1)))
    _assert_partial(await plans(enable_endpoint(world.engine, 1, 1, now)))
    _assert_partial(await plans(delete_endpoint(world.engine, world.vault, 1, 1, now)))


def _assert_partial(steps: list[str]) -> None:
    """Open deliveries are found in the indexes of such, and changed by their numbers."""
    allowed = (
        "ix_delivery_due",
        "ix_delivery_held",
        "ix_delivery_lease",
        "ix_delivery_queued",
        "INTEGER PRIMARY KEY (rowid=?)",
    )
    steps = [step for step in steps if "delivery" in step]
    assert steps
    assert [step for step in steps if not any(index in step for index in allowed)] == []


@pytest.mark.parametrize(
    ("wanted", "missing", "index"),
    [
        ({}, None, "INTEGER PRIMARY KEY (rowid>? AND rowid<?)"),
        ({"source": "prod", "q": "ada"}, None, "INTEGER PRIMARY KEY (rowid>? AND rowid<?)"),
        ({}, Missing(1, {"email.open", "email.click"}), "INTEGER PRIMARY KEY (rowid>? AND rowid<?)"),
        ({"type": "email.open"}, None, "ix_event_type (type=? AND rowid>? AND rowid<?)"),
        ({"recipient": "ada@example.com"}, None, "ix_event_recipient (recipient=? AND rowid>? AND rowid<?)"),
        ({"email_id": "msg_1"}, None, "ix_event_email (email_id=? AND rowid>? AND rowid<?)"),
    ],
)
async def test_events_are_read_forwards_within_an_index_range(
    world: World, plans: Any, wanted: dict[str, str], missing: Missing | None, index: str
) -> None:
    steps = await plans(events_forwards(world.engine, 1, EventFilter(**wanted), Reach(1, 1 << 60, 50), missing))
    _assert_no_sorting(steps)
    assert [step for step in steps if step.startswith(("SCAN", "SEARCH event")) and index not in step] == []


@pytest.mark.parametrize("endpoint_id", [1, None])
@pytest.mark.parametrize("wanted", [{}, {"status_code": 500}, {"type": "email.open"}])
async def test_failed_deliveries_are_read_forwards_along_their_index(
    world: World, plans: Any, wanted: dict[str, Any], endpoint_id: int | None
) -> None:
    steps = await plans(failed_forwards(world.engine, 1, endpoint_id, FailedFilter(**wanted), Reach(1, 1 << 60, 50)))
    _assert_no_sorting([step for step in steps if "LIST SUBQUERY" not in step])
    walked = [step for step in steps if "delivery" in step]
    assert walked
    assert [step for step in walked if "ix_delivery_odd (status=? AND rowid>? AND rowid<?)" not in step] == []


@pytest.mark.parametrize("kind", ["replay", "recover_failed", "recover_missing"])
async def test_a_step_of_a_job_touches_the_rows_it_names_alone(world: World, plans: Any, kind: str) -> None:
    endpoint, event_id = await world.endpoint(), await world.event()
    failed = [await world.delivery(event_id, endpoint.id, "failed")] if kind == "recover_failed" else []
    owed = [] if failed else [Owed(world.ids.next(), await world.event(), endpoint.id)]
    job = await _job(world, kind)
    step = Step(
        job=job, node=1, owed=owed, failed=failed, end=None, now=world.clock.now(), lease_until=world.clock.now()
    )

    async def take() -> None:
        async with writing(world.engine) as connection:
            await connection.run_sync(take_step, step)

    steps = await plans(take())
    assert [step for step in steps if step.startswith("SCAN")] == []


async def test_jobs_and_the_room_for_them_are_found_in_indexes(world: World, plans: Any) -> None:
    job = await _job(world, "replay")
    steps = await plans(running_jobs(world.engine))
    assert steps == ["SCAN bulk_job USING INDEX ix_bulk_job_running"]
    _assert_along(await plans(list_jobs(world.engine, 1, None, Span(), 50)), "ix_bulk_job_environment")
    steps = [step for step in await plans(has_room(world.engine, job, 5, world.clock.now())) if "delivery" in step]
    assert steps
    assert [step for step in steps if "ix_delivery_due (endpoint_id=? AND due_at<?)" not in step] == []


async def _job(world: World, kind: str) -> Job:
    until = world.clock.now() + timedelta(hours=1)
    order = Order(environment_id=1, kind=kind, until=until, per_second=1.0)
    return await start_job(world.engine, world.ids.next(), order, 1, True, world.clock.now())


async def test_counts_are_read_along_the_primary_key_of_each_subject(
    world: World, plans: Callable[[Awaitable[Any]], Awaitable[list[str]]]
) -> None:
    for steps in (
        await plans(counts_by_bucket(world.engine, 1, "source", 0, 9, 3)),
        await plans(counts_by_bucket(world.engine, 1, "endpoint", 0, 9, 3, 5)),
        await plans(counts_by_subject(world.engine, 1, "endpoint", 0, 9)),
    ):
        for table, moment in (("rollup", "minute"), ("rollup_hour", "hour")):
            [step] = [step for step in steps if step.startswith(f"SEARCH {table} ")]
            assert f"(environment_id=? AND kind=? AND subject_id=? AND {moment}>? AND {moment}<?)" in step


async def test_when_a_source_was_heard_is_looked_up_from_the_end(
    world: World, plans: Callable[[Awaitable[Any]], Awaitable[list[str]]]
) -> None:
    steps = await plans(last_heard(world.engine, 1))
    _assert_no_sorting(steps)
    for table in ("rollup", "rollup_hour"):
        [step] = [step for step in steps if step.startswith(f"SEARCH {table} ")]
        assert "(environment_id=? AND kind=? AND subject_id=?)" in step


async def test_a_queue_is_counted_along_the_index_of_its_status(
    world: World, plans: Callable[[Awaitable[Any]], Awaitable[list[str]]]
) -> None:
    steps = await plans(read_queue(world.engine, 1))
    for index in ("ix_delivery_due", "ix_delivery_lease", "ix_delivery_held"):
        assert any(index in step for step in steps), steps


async def test_the_history_and_the_queues_of_endpoints_are_found_in_indexes(world: World, plans: Any) -> None:
    endpoint, event_id = await world.endpoint(), await world.event()
    await world.attempt(await world.delivery(event_id, endpoint.id), 1)
    history = [step for step in await plans(recent_attempts(world.engine, endpoint.id, 10)) if "TEMP" not in step]
    assert [step for step in history if "ix_delivery_endpoint" in step]
    assert [step for step in history if "ix_delivery_due" in step]
    assert [step for step in history if step.startswith("SCAN")] == []
    queues = await plans(read_queues(world.engine, 1, 10))
    counted = [step for step in queues if "delivery" in step]
    for index in ("ix_delivery_due", "ix_delivery_held", "ix_delivery_lease", "ix_delivery_queued"):
        assert [step for step in counted if index in step], counted
    assert [step for step in counted if step.startswith("SCAN delivery") and "USING" not in step] == []
