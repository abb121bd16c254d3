from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from app.store import jobs
from app.store.endpoints import delete_endpoint
from app.store.errors import JobOver, JobsFull
from app.store.jobs import (
    Job,
    Order,
    Step,
    cancel_job,
    fail_job,
    get_job,
    has_room,
    list_jobs,
    prune_jobs,
    release_jobs,
    running_jobs,
    start_job,
    take_step,
)
from app.store.recovery import Owed
from app.store.tables import DeliveryRow, table_of
from app.store.transactions import writing
from app.store.walks import Span, first_number
from tests.store.world import World

pytestmark = pytest.mark.anyio

_delivery = table_of(DeliveryRow)
ONE, OTHER = 1, 2
"""Nodes."""


def _order(world: World, kind: str = "replay", **fields: Any) -> Order:
    until = world.clock.now() + timedelta(hours=1)
    return Order(**{"environment_id": world.environment_id, "kind": kind, "until": until, "per_second": 10.0} | fields)


async def _start(world: World, kind: str = "replay", **fields: Any) -> Job:
    return await start_job(world.engine, world.ids.next(), _order(world, kind, **fields), 5, True, world.clock.now())


async def _take(world: World, job: Job, end: int | None, node: int = ONE, **what: Any) -> Job | None:
    now = world.clock.now()
    step = Step(job=job, node=node, end=end, now=now, lease_until=now + timedelta(seconds=10), **what)
    async with writing(world.engine) as connection:
        return await connection.run_sync(take_step, step)


def _owed(world: World, endpoint_id: int, *event_ids: int) -> list[Owed]:
    return [Owed(world.ids.next(), event_id, endpoint_id) for event_id in event_ids]


async def _statuses(world: World) -> list[str]:
    async with world.engine.connect() as connection:
        return list(await connection.scalars(sa.select(_delivery.c.status).order_by(_delivery.c.id)))


async def test_a_step_makes_its_deliveries_and_moves_the_job_on(world: World) -> None:
    endpoint, paused = await world.endpoint(), await world.endpoint(active=False)
    first, second = await world.event(), await world.event()
    job = await _start(world)
    assert (job.state, job.total, job.done, job.cursor) == ("running", 5, 0, 0)
    owed = [*_owed(world, endpoint.id, first), *_owed(world, paused.id, first)]
    moved = await _take(world, job, end=first, owed=owed)
    assert moved is not None
    assert (moved.state, moved.done, moved.cursor, moved.lease_node) == ("running", 2, first, ONE)
    assert await _statuses(world) == ["pending", "held"]
    ended = await _take(world, moved, end=None, owed=_owed(world, endpoint.id, second))
    assert ended is not None
    assert (ended.state, ended.done, ended.finished_at, ended.lease_node) == ("done", 3, world.clock.now(), None)
    assert ended == await get_job(world.engine, 1, job.id)
    row = await world.row(DeliveryRow, _delivery.c.event_id == second)
    assert (row.origin, row.due_at, row.attempts) == ("replay", world.clock.now(), 0)


async def test_a_step_that_was_looked_up_before_another_one_changes_nothing(world: World) -> None:
    endpoint, event_id = await world.endpoint(), await world.event()
    job = await _start(world)
    assert await _take(world, job, end=event_id, owed=_owed(world, endpoint.id, event_id))
    assert await _take(world, job, end=event_id, owed=_owed(world, endpoint.id, event_id)) is None
    assert await _statuses(world) == ["pending"]


async def test_a_step_that_fails_leaves_the_job_where_it_was(world: World) -> None:
    endpoint, event_id = await world.endpoint(), await world.event()
    job = await _start(world)
    (owed,) = _owed(world, endpoint.id, event_id)
    with pytest.raises(sa.exc.IntegrityError):
        await _take(world, job, end=event_id, owed=[owed, owed])
    assert await get_job(world.engine, 1, job.id) == job
    assert await _statuses(world) == []


async def test_failed_deliveries_are_due_again_and_those_retried_meanwhile_are_not_counted(world: World) -> None:
    endpoint, event_id = await world.endpoint(), await world.event()
    failed = [await world.delivery(event_id, endpoint.id, "failed", attempts=11) for _ in range(2)]
    failed.append(await world.delivery(event_id, endpoint.id, "delivered", attempts=1))
    moved = await _take(world, await _start(world, "recover_failed"), end=None, failed=failed)
    assert moved is not None
    assert moved.done == 2
    assert await _statuses(world) == ["pending", "pending", "delivered"]
    row = await world.row(DeliveryRow, _delivery.c.id == failed[0])
    assert (row.attempts, row.due_at) == (11, world.clock.now())


async def test_what_is_not_missing_any_more_is_not_sent(world: World) -> None:
    endpoint = await world.endpoint()
    first, second = await world.event(), await world.event()
    job = await _start(world, "recover_missing", endpoint_id=endpoint.id)
    owed = _owed(world, endpoint.id, first, second)
    await world.delivery(first, endpoint.id, "delivered")
    moved = await _take(world, job, end=None, owed=owed)
    assert moved is not None
    assert moved.done == 1
    assert await _statuses(world) == ["pending", "delivered"]


async def test_nothing_is_made_for_an_endpoint_that_was_deleted_meanwhile(world: World) -> None:
    endpoint, event_id = await world.endpoint(), await world.event()
    job = await _start(world)
    owed = _owed(world, endpoint.id, event_id)
    await delete_endpoint(world.engine, world.vault, 1, endpoint.id, world.clock.now())
    moved = await _take(world, job, end=None, owed=owed)
    assert moved is not None
    assert (moved.state, moved.done) == ("done", 0)


async def test_nothing_is_made_of_an_event_that_was_removed_meanwhile(world: World) -> None:
    endpoint, event_id = await world.endpoint(), await world.event()
    moved = await _take(world, await _start(world), end=None, owed=_owed(world, endpoint.id, event_id, 7))
    assert moved is not None
    assert (moved.state, moved.done) == ("done", 1)


async def test_old_jobs_are_removed_once_they_have_ended(world: World) -> None:
    running, over = await _start(world), await _start(world)
    await cancel_job(world.engine, 1, over.id, world.clock.now())
    world.clock.advance(days=1)
    young = await _start(world)
    await cancel_job(world.engine, 1, young.id, world.clock.now())
    async with writing(world.engine) as connection:
        assert await connection.run_sync(prune_jobs, first_number(world.clock.now())) == 1
    kept = await list_jobs(world.engine, 1, None, Span(), 50)
    assert [job.id for job in kept.rows] == [young.id, running.id]


async def test_of_two_nodes_only_one_works_on_a_job_until_its_lease_ends(world: World) -> None:
    job = await _start(world)
    assert job.is_open_to(OTHER, world.clock.now())
    mine = await _take(world, job, end=10)
    assert mine is not None
    assert not mine.is_open_to(OTHER, world.clock.now())
    assert await _take(world, mine, end=20, node=OTHER) is None
    assert await _take(world, mine, end=20) is not None
    world.clock.advance(10)
    (running,) = await running_jobs(world.engine)
    assert running.is_open_to(OTHER, world.clock.now())
    taken_over = await _take(world, running, end=30, node=OTHER)
    assert taken_over is not None
    assert await _take(world, taken_over, end=40) is None


@pytest.mark.parametrize("node", [ONE, None])
async def test_a_node_that_ends_lets_others_go_on_at_once(world: World, node: int | None) -> None:
    await _take(world, await _start(world), end=10)
    async with writing(world.engine) as connection:
        await connection.run_sync(release_jobs, node)
    (running,) = await running_jobs(world.engine)
    assert running.is_open_to(OTHER, world.clock.now())


async def test_a_cancelled_job_takes_no_further_step(world: World, other_world: World) -> None:
    job = await _start(world)
    assert await cancel_job(world.engine, 2, job.id, world.clock.now()) is None
    cancelled = await cancel_job(world.engine, 1, job.id, world.clock.now())
    assert cancelled is not None
    assert (cancelled.state, cancelled.finished_at) == ("cancelled", world.clock.now())
    assert await cancel_job(world.engine, 1, job.id, world.clock.now()) == cancelled
    assert await _take(world, job, end=None) is None
    assert await running_jobs(world.engine) == []


async def test_a_job_that_ended_cannot_be_cancelled(world: World) -> None:
    job = await _start(world)
    await _take(world, job, end=None)
    with pytest.raises(JobOver, match="done already"):
        await cancel_job(world.engine, 1, job.id, world.clock.now())


async def test_a_job_that_cannot_go_on_says_why(world: World) -> None:
    job = await _start(world)
    async with writing(world.engine) as connection:
        await connection.run_sync(fail_job, job, "There is no endpoint 1.", world.clock.now())
    failed = await get_job(world.engine, 1, job.id)
    assert failed is not None
    assert (failed.state, failed.error, failed.done) == ("failed", "There is no endpoint 1.", 0)


async def test_an_order_is_kept_as_it_was_given(world: World) -> None:
    since = world.clock.now() - timedelta(days=1)
    order = _order(world, "recover_missing", filters={"type": "email.open"}, endpoint_id=7, since=since)
    job = await start_job(world.engine, world.ids.next(), order, 1 << 40, False, world.clock.now())
    kept = await get_job(world.engine, 1, job.id)
    assert kept == job
    assert {name: getattr(kept, name) for name in Order.__struct_fields__} == {
        name: getattr(order, name) for name in Order.__struct_fields__
    }
    assert (kept.total, kept.total_exact, kept.cursor) == (1 << 40, False, order.start)
    assert await get_job(world.engine, 2, job.id) is None


async def test_jobs_are_listed_newest_first_by_state(world: World, other_world: World) -> None:
    started = [await _start(world) for _ in range(3)]
    await _start(other_world)
    await cancel_job(world.engine, 1, started[1].id, world.clock.now())
    page = await list_jobs(world.engine, 1, None, Span(), 2)
    assert [job.id for job in page.rows] == [started[2].id, started[1].id]
    rest = await list_jobs(world.engine, 1, None, Span(cursor=page.next_cursor), 2)
    assert ([job.id for job in rest.rows], rest.next_cursor) == ([started[0].id], None)
    running = await list_jobs(world.engine, 1, "running", Span(), 50)
    assert [job.id for job in running.rows] == [started[2].id, started[0].id]


async def test_an_environment_runs_only_so_many_jobs(
    world: World, other_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "JOBS_RUNNING_MAX", 1)
    await _start(world)
    with pytest.raises(JobsFull, match="1 jobs are running"):
        await _start(world)
    await _start(other_world)


async def test_there_is_room_while_any_endpoint_of_the_job_has_little_that_is_due(world: World) -> None:
    busy, event_id = await world.endpoint(), await world.event()
    for _ in range(2):
        await world.delivery(event_id, busy.id)
    now, later = world.clock.now(), world.clock.now() + timedelta(hours=1)
    await world.delivery(event_id, busy.id, due_at=later)

    async def room(due_max: int, endpoint_id: int | None = None) -> bool:
        return await has_room(world.engine, _order(world, endpoint_id=endpoint_id), due_max, now)

    assert [await room(2), await room(3), await room(2, busy.id), await room(3, busy.id)] == [False, True, False, True]
    idle = await world.endpoint("https://b.example.com/")
    assert [await room(2), await room(2, busy.id), await room(2, idle.id)] == [True, False, True]


async def test_a_job_without_endpoints_has_room_to_end(world: World) -> None:
    assert await has_room(world.engine, _order(world), 1, world.clock.now())
