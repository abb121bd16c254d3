"""What may happen to a running gateway: killed at each step of a delivery, its database locked, full or gone.

Whatever it is, what was acknowledged is delivered, nothing is acknowledged that is not stored, and the gateway comes
back by itself.
"""

import asyncio
import contextlib
import itertools
import json
import resource
import sqlite3
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.processes import KEY, Process, client, free_port, started
from tests.servers import PLAIN, Answer, Received, Sink
from tests.servers import sink as serve

pytestmark = pytest.mark.anyio

RETRY_WAIT_S = 1
NOON = "2026-03-03T12:00:00Z"


class Station:
    """A gateway on a port that it comes back to, and what it has acknowledged."""

    def __init__(self, folder: Path, settings: dict[str, str]) -> None:
        self.folder = folder
        self.port = free_port()
        self.settings = settings
        self.acknowledged = set[str]()
        self._numbers = itertools.count(1)
        self.gateway: Process

    async def start(self) -> None:
        self.gateway = await asyncio.to_thread(started, self.folder, self.port, **self.settings)

    async def register(self, sink: Sink) -> None:
        def post() -> None:
            with client(self.gateway) as http:
                source = {"name": "own", "provider": "generic", "verification": "none"}
                assert http.post("/api/sources", json=source).status_code == 201
                endpoint = {"url": sink.url, "events": "*", "retry_schedule_s": [RETRY_WAIT_S] * 10}
                assert http.post("/api/webhooks/manage", json=endpoint).status_code == 201

        await asyncio.to_thread(post)

    async def post(self) -> int:
        """Posts one event; the status of the answer."""
        email_id = f"m{next(self._numbers)}"
        event = {"type": "email.delivered", "email_id": email_id, "recipient": "a@b.example", "timestamp": NOON}
        async with httpx.AsyncClient(timeout=30, verify=PLAIN) as http:
            answer = await http.post(f"{self.gateway.url}/api/webhooks/own", json=event)
        if answer.status_code == 200:
            self.acknowledged.add(email_id)
        else:
            assert answer.status_code == 503
            assert int(answer.headers["retry-after"]) > 0
        return answer.status_code

    async def answers(self, status: int) -> None:
        """Posts until one is answered so."""
        async with asyncio.timeout(60):
            while await self.post() != status:
                await asyncio.sleep(0.1)

    async def kill_and_start(self) -> None:
        self.gateway.kill()
        await self.start()

    async def all_arrive(self, sink: Sink) -> None:
        async with asyncio.timeout(60):
            while not self.acknowledged <= arrived(sink):
                await asyncio.sleep(0.05)

    def deliveries(self) -> list[tuple[str, int]]:
        """Status and attempts of each."""
        with contextlib.closing(sqlite3.connect(self.folder / "mailweir.db")) as database:
            return database.execute("SELECT status, attempts FROM delivery ORDER BY id").fetchall()

    async def are(self, *expected: tuple[str, int]) -> None:
        async with asyncio.timeout(20):
            while self.deliveries() != [*expected]:
                await asyncio.sleep(0.02)


def arrived(sink: Sink) -> set[str]:
    return {request.json()["data"]["email_id"] for request in sink.requests}


def ids(requests: list[Received]) -> set[str]:
    return {request.headers["webhook-id"] for request in requests}


@pytest.fixture
async def station(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Station]:
    station = Station(tmp_path, {"MAILWEIR_WORKERS": getattr(request, "param", "1")})
    await station.start()
    try:
        yield station
    finally:
        await asyncio.to_thread(station.gateway.stop)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Nobody else can write to the database."""
    with contextlib.closing(sqlite3.connect(folder / "mailweir.db", isolation_level=None, timeout=30)) as database:
        database.execute("BEGIN IMMEDIATE")
        yield
        database.execute("ROLLBACK")


by_one_and_by_two = pytest.mark.parametrize("station", ["1", "2"], indirect=True)
by_two = pytest.mark.parametrize("station", ["2"], indirect=True)
"""Where one process takes the same way through the store."""

# Killed at each step of a delivery.


async def test_killed_before_the_commit_it_has_acknowledged_nothing_and_kept_nothing(station: Station) -> None:
    async with serve() as sink:
        await station.register(sink)
        with locked(station.folder):
            unanswered = asyncio.create_task(station.post())
            await asyncio.sleep(0.3)
            assert not unanswered.done()
            station.gateway.kill()
        with pytest.raises(httpx.TransportError):
            await unanswered
        assert station.deliveries() == []
        await station.start()
        assert await station.post() == 200
        await station.all_arrive(sink)
        assert len(sink.requests) == 1


async def test_killed_right_after_the_200(station: Station) -> None:
    async with serve(Answer(delay_s=0.2)) as sink:
        await station.register(sink)
        assert await station.post() == 200
        await station.kill_and_start()
        await station.all_arrive(sink)
        assert len(ids(sink.requests)) == 1


@by_one_and_by_two
async def test_killed_while_the_subscriber_works_on_it(station: Station) -> None:
    async with serve(Answer(then="hang"), Answer()) as sink:
        await station.register(sink)
        await station.post()
        await sink.arrived(1)
        await station.kill_and_start()
        await sink.arrived(2)
        await station.are(("delivered", 1))
        assert len(ids(sink.requests)) == 1


@by_one_and_by_two
async def test_killed_between_the_answer_and_its_commit(station: Station) -> None:
    async with serve(Answer(delay_s=0.3)) as sink:
        await station.register(sink)
        await station.post()
        await sink.arrived(1)
        with locked(station.folder):
            await asyncio.sleep(0.8)  # the answer is there, and nobody can write it down
            station.gateway.kill()
        assert station.deliveries() == [("sending", 0)]
        await station.start()
        await sink.arrived(2)
        await station.are(("delivered", 1))
        assert len(ids(sink.requests)) == 1


async def test_killed_after_the_commit(station: Station) -> None:
    async with serve() as sink:
        await station.register(sink)
        await station.post()
        await station.are(("delivered", 1))
        await station.kill_and_start()
        await asyncio.sleep(0.5)
        assert len(sink.requests) == 1


@by_two
async def test_killed_while_a_retry_waits_and_in_its_middle(station: Station) -> None:
    async with serve(Answer(500), Answer(then="hang"), Answer()) as sink:
        await station.register(sink)
        await station.post()
        await station.are(("pending", 1))
        await station.kill_and_start()
        await sink.arrived(2)
        await station.kill_and_start()
        await sink.arrived(3)
        await station.are(("delivered", 2))
        assert [request.headers["x-webhook-attempt"] for request in sink.requests] == ["1", "2", "2"]


# The database in trouble.


@by_two
async def test_a_database_that_is_locked_is_waited_for(station: Station) -> None:
    async with serve(Answer(delay_s=0.3)) as sink:
        await station.register(sink)
        await station.post()
        await sink.arrived(1)
        with locked(station.folder):
            assert await station.post() == 503
            async with httpx.AsyncClient(base_url=station.gateway.url, timeout=30, verify=PLAIN) as http:
                assert (await http.get("/health")).status_code == 200
                assert (await http.get("/ready")).status_code == 503
        await station.answers(200)
        await station.all_arrive(sink)
        await station.are(("delivered", 1), ("delivered", 1))
        assert len(sink.requests) == 2, "an attempt that was made during the lock was forgotten"


@by_one_and_by_two
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits the files of a process that runs")
async def test_a_disk_that_is_full_is_waited_for(station: Station) -> None:
    async with serve(Answer(delay_s=0.5)) as sink:
        await station.register(sink)
        await station.post()
        await sink.arrived(1)
        pids = [station.gateway.process.pid, *station.gateway.workers()]
        written = (station.folder / "mailweir.db-wal").stat().st_size
        _, hard = resource.prlimit(pids[0], resource.RLIMIT_FSIZE)
        for pid in pids:
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (written + 4096, hard))
        await station.answers(503)
        await asyncio.sleep(0.5)
        assert station.gateway.process.poll() is None
        assert [station.gateway.process.pid, *station.gateway.workers()] == pids
        for pid in pids:
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard, hard))
        await station.answers(200)
        await station.all_arrive(sink)
        await station.kill_and_start()
        await station.all_arrive(sink)


async def test_a_postgresql_that_goes_away_is_waited_for(tmp_path: Path, own_postgres: Any) -> None:
    station = Station(tmp_path, {"MAILWEIR_DATABASE_URL": own_postgres.get_uri(driver="asyncpg")})
    await station.start()
    try:
        async with serve() as sink:
            await station.register(sink)
            assert await station.post() == 200
            await asyncio.to_thread(own_postgres.stop)
            await station.answers(503)
            async with httpx.AsyncClient(base_url=station.gateway.url, timeout=30, verify=PLAIN) as http:
                assert (await http.get("/health")).status_code == 200
                assert (await http.get("/ready")).status_code == 503
            await asyncio.to_thread(own_postgres.start)
            await station.answers(200)
            await station.all_arrive(sink)
            async with httpx.AsyncClient(headers={"Authorization": f"Bearer {KEY}"}, timeout=30, verify=PLAIN) as http:
                events = await http.get(f"{station.gateway.url}/api/events", params={"limit": 200})
            assert len(json.loads(events.content)["data"]) == len(station.acknowledged)
    finally:
        await asyncio.to_thread(station.gateway.stop)
