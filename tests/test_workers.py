"""Several workers beside each other: one sends, the others take requests in, and any of them may die at any moment.

The gateway looks for work every ten minutes only: what arrives before that was told from one worker to another.
"""

import asyncio
import contextlib
import itertools
import json
import os
import re
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.cli.supervisor import RESTART_WAITS_S, Worker
from app.place import DELIVERY, INBOUND
from app.store.engine import parse_url
from app.store.locks import sqlite_file
from tests.processes import KEY, Process, client, is_alive, running, started, wait_until_gone
from tests.servers import PLAIN, Answer, Received, Sink
from tests.servers import sink as serve

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells which processes are whose"),
]

WORKERS = 3
LOOKS_EVERY_S = "600"
WITHIN_S = 60
NOON = "2026-03-03T12:00:00Z"
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    settings = {"MAILWEIR_WORKERS": str(WORKERS), "MAILWEIR_POLL_INTERVAL_S": LOOKS_EVERY_S}
    with running(tmp_path_factory.mktemp("gateway"), **settings) as process:
        with client(process) as http:
            source = {"name": "own", "provider": "generic", "verification": "none"}
            assert http.post("/api/sources", json=source).status_code == 201
        yield process


@contextlib.asynccontextmanager
async def subscribed(gateway: Process, *answers: Answer, **others: Any) -> AsyncIterator[Sink]:
    """A subscriber that gets every event while the block lasts."""
    async with serve(*answers) as sink, api(gateway) as http:
        endpoint = {"url": sink.url, "events": "*", "retry_schedule_s": [1] * 10, **others}
        made = await http.post("/api/webhooks/manage", json=endpoint)
        assert made.status_code == 201, made.text
        yield sink
        assert (await http.delete(f"/api/webhooks/manage/{made.json()['id']}")).status_code == 204


def api(gateway: Process) -> httpx.AsyncClient:
    headers = {"Authorization": f"Bearer {KEY}"}
    return httpx.AsyncClient(base_url=gateway.url, headers=headers, timeout=WITHIN_S, verify=PLAIN)


async def post(gateway: Process, number: int = 1, *, at_once: int = 8) -> set[str]:
    """Posts so many events, each over a connection of its own, until it is acknowledged; the ids of their messages."""
    waiting = iter([f"m{next(_numbers)}" for _ in range(number)])
    acknowledged = set[str]()

    async def post_some() -> None:
        for email_id in waiting:
            event = {"type": "email.delivered", "email_id": email_id, "recipient": "a@b.example", "timestamp": NOON}
            while email_id not in acknowledged:
                with contextlib.suppress(httpx.TransportError):
                    async with api(gateway) as http:
                        answer = await http.post("/api/webhooks/own", json=event)
                    if answer.status_code == 200:
                        acknowledged.add(email_id)

    await asyncio.gather(*(post_some() for _ in range(at_once)))
    return acknowledged


def arrived(requests: list[Received]) -> set[str]:
    return {request.json()["data"]["email_id"] for request in requests}


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(WITHIN_S):
        while not await holds():
            await asyncio.sleep(0.02)


async def all_arrive(sink: Sink, expected: set[str]) -> None:
    async with asyncio.timeout(WITHIN_S):
        while not expected <= arrived(sink.requests):
            await asyncio.sleep(0.02)


def roles(gateway: Process) -> dict[int, str]:
    """What each worker does, by the number of its process."""
    found = dict[int, str]()
    for pid in gateway.workers():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if role := re.search(r'"role":"(\w+)"', Path(f"/proc/{pid}/cmdline").read_text()):
                found[pid] = role[1]
    return found


async def kill_one(gateway: Process, role: str) -> None:
    os.kill(next(pid for pid, its in roles(gateway).items() if its == role), signal.SIGKILL)


def stored(gateway: Process, query: str) -> list[tuple[Any, ...]]:
    with contextlib.closing(sqlite3.connect(gateway.folder / "mailweir.db", timeout=30)) as database:
        return database.execute(query).fetchall()


async def samples(gateway: Process) -> dict[str, float]:
    """What /metrics tells, of whichever worker is met."""
    async with api(gateway) as http:
        lines = (await http.get("/metrics")).text.splitlines()
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if line[0] != "#")}


async def test_what_one_worker_commits_another_sends_at_once(gateway: Process) -> None:
    assert sorted(roles(gateway).values()) == [DELIVERY, INBOUND, INBOUND]
    async with subscribed(gateway) as sink:
        await all_arrive(sink, await post(gateway, 40))
        assert len(sink.requests) == 40


async def test_metrics_are_summed_over_all_workers(gateway: Process) -> None:
    async with subscribed(gateway) as sink:
        before = await samples(gateway)
        await all_arrive(sink, await post(gateway, 60))

        async def all_counted() -> bool:
            now = await samples(gateway)
            return all(
                now.get(name, 0) - before.get(name, 0) == 60
                for name in (
                    'mailweir_receipts_total{provider="generic",status="accepted"}',
                    'mailweir_deliveries_total{outcome="delivered"}',
                    "mailweir_attempt_duration_seconds_count",
                )
            )

        await until(all_counted)
        now = await samples(gateway)
        assert now['mailweir_workers{role="delivery"}'] == 1
        assert now['mailweir_workers{role="inbound"}'] == 2
        assert now["mailweir_active_endpoints"] == 1


async def test_limits_of_an_endpoint_hold_over_all_workers(gateway: Process) -> None:
    async with subscribed(gateway, Answer(delay_s=0.02), max_in_flight=2) as sink:
        await all_arrive(sink, await post(gateway, 40))
        assert sink.open_max == 2


async def test_whoever_follows_the_stream_sees_what_any_worker_commits(gateway: Process) -> None:
    async with contextlib.AsyncExitStack() as closing:
        streams = list[AsyncIterator[str]]()
        for _ in range(6):
            http = await closing.enter_async_context(api(gateway))
            answer = await closing.enter_async_context(http.stream("GET", "/api/stream"))
            assert answer.status_code == 200
            streams.append(answer.aiter_lines())
        posted = await post(gateway, 20)
        async with asyncio.timeout(WITHIN_S):
            for lines in streams:
                missing = set(posted)
                while missing:
                    line = await anext(lines)
                    if line.startswith("data:"):
                        missing.discard(json.loads(line.removeprefix("data:"))["data"]["email_id"])


async def test_a_key_that_one_worker_revokes_counts_at_none(gateway: Process) -> None:
    async with api(gateway) as http:
        made = (await http.post("/api/keys", json={"name": "short-lived", "role": "read"})).json()

    async def statuses() -> set[int]:
        found = set[int]()
        for _ in range(20):
            async with api(gateway) as http:
                answer = await http.get("/api/events", headers={"Authorization": f"Bearer {made['key']}"})
                found.add(answer.status_code)
        return found

    assert await statuses() == {200}
    async with api(gateway) as http:
        assert (await http.delete(f"/api/keys/{made['id']}")).status_code == 204
    assert await statuses() == {401}


async def test_posts_with_one_idempotency_key_are_one_post_whoever_gets_them(gateway: Process) -> None:
    new = {"url": "http://127.0.0.1:9/hook", "events": "open", "active": False}

    async def create() -> dict[str, Any]:
        async with api(gateway) as http:
            return (await http.post("/api/webhooks/manage", json=new, headers={"Idempotency-Key": "one"})).json()

    made = await asyncio.gather(*(create() for _ in range(12)))
    assert [one for one in made if one != made[0]] == []
    async with api(gateway) as http:
        assert len((await http.get("/api/webhooks/manage")).json()["webhooks"]) == 1
        assert (await http.delete(f"/api/webhooks/manage/{made[0]['id']}")).status_code == 204


async def test_the_work_of_a_killed_inbound_worker_is_taken_up_by_the_others(gateway: Process) -> None:
    async with subscribed(gateway) as sink:
        posting = asyncio.create_task(post(gateway, 200))
        await sink.arrived(50, within_s=WITHIN_S)
        await kill_one(gateway, INBOUND)
        await all_arrive(sink, await posting)
        await until_complete(gateway)
        await all_arrive(sink, await post(gateway, 20))
    assert stored(gateway, "SELECT count(*) - count(DISTINCT dedup_key) FROM event") == [(0,)]


async def test_a_killed_delivery_worker_gives_its_leases_to_the_one_after_it(gateway: Process) -> None:
    async with subscribed(gateway, Answer(delay_s=0.2)) as sink:
        posted = await post(gateway, 200)
        await sink.arrived(20, within_s=WITHIN_S)
        await kill_one(gateway, DELIVERY)
        posted |= await post(gateway, 20)  # meanwhile too
        await all_arrive(sink, posted)
        await until_complete(gateway)

        async def all_settled() -> bool:
            last = "SELECT DISTINCT status FROM delivery WHERE endpoint_id = (SELECT max(id) FROM endpoint)"
            return stored(gateway, last) == [("delivered",)]

        await until(all_settled)
    assert stored(gateway, "SELECT count(*) - count(DISTINCT event_id) FROM delivery") == [(0,)]
    assert (await samples(gateway))['mailweir_worker_restarts_total{role="delivery"}'] == 1
    lines = [json.loads(line) for line in (gateway.folder / "serve.log").read_text().splitlines() if line[0] == "{"]
    opened = [(line["worker"], line["deliveries_resumed"] > 0) for line in lines if line["event"] == "store.opened"]
    assert opened == [("delivery 0", False), ("delivery 0", True)]


async def until_complete(gateway: Process) -> None:
    """Returns when every worker works again."""

    async def complete() -> bool:
        try:
            now = await samples(gateway)
        except httpx.TransportError:
            return False
        return (now.get('mailweir_workers{role="delivery"}'), now.get('mailweir_workers{role="inbound"}')) == (1, 2)

    await until(complete)


async def test_nobody_outlives_the_one_that_started_them(tmp_path: Path) -> None:
    gateway = await asyncio.to_thread(started, tmp_path, MAILWEIR_WORKERS="2")
    pids = gateway.workers()
    assert len(pids) == 2
    await asyncio.to_thread(gateway.kill)
    assert not any(map(is_alive, pids))
    port = int(gateway.url.rpartition(":")[2])
    gateway = await asyncio.to_thread(started, tmp_path, port, MAILWEIR_WORKERS="2")
    pids = gateway.workers()
    gateway.process.send_signal(signal.SIGINT)
    assert await asyncio.to_thread(gateway.process.wait, WITHIN_S) == 0
    await asyncio.to_thread(wait_until_gone, pids)
    gateway.log.close()
    assert "Traceback" not in (tmp_path / "serve.log").read_text()


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_leases_are_taken_over_on_postgresql_as_well(tmp_path: Path, database_url: str) -> None:
    settings = {"MAILWEIR_WORKERS": "2", "MAILWEIR_POLL_INTERVAL_S": LOOKS_EVERY_S}
    settings["MAILWEIR_DATABASE_URL"] = database_url
    gateway = await asyncio.to_thread(started, tmp_path, **settings)
    try:
        async with api(gateway) as http:
            source = {"name": "own", "provider": "generic", "verification": "none"}
            assert (await http.post("/api/sources", json=source)).status_code == 201
        async with subscribed(gateway, *[Answer(then="hang")] * 3, Answer()) as sink:
            posted = await post(gateway, 3)
            await sink.arrived(3, within_s=WITHIN_S)
            await kill_one(gateway, DELIVERY)
            await sink.arrived(6, within_s=WITHIN_S)
            assert arrived(sink.requests[3:]) == posted
    finally:
        await asyncio.to_thread(gateway.stop)


def test_a_worker_that_dies_again_and_again_is_waited_with_longer_each_time() -> None:
    worker = Worker(INBOUND, 1)
    assert [worker.mourn() for _ in range(len(RESTART_WAITS_S) + 1)] == [*RESTART_WAITS_S, RESTART_WAITS_S[-1]]
    assert worker.restarts == len(RESTART_WAITS_S) + 1
    worker.ears.close()
    worker.mouth.close()


@pytest.mark.parametrize(
    "url",
    [
        "sqlite+aiosqlite:///data/mailweir.db",
        "sqlite+aiosqlite:////var/lib/mailweir.db",
        "sqlite+aiosqlite:///a%20b/c.db?cache=shared",
    ],
)
def test_the_lock_is_on_the_file_that_the_engine_opens(url: str) -> None:
    assert sqlite_file(url) == Path(parse_url(url).database or "")


def test_another_database_has_no_file_to_lock() -> None:
    assert sqlite_file("postgresql+asyncpg://user:password@host/name") is None
