"""What was answered 200 survives `kill -9`: it is delivered at least once, and stored once."""

import asyncio
import contextlib
import itertools
import json
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path

import httpx
import pytest

from adapters.catalog import Catalog
from adapters.request import NativeRequest
from app.clock import Clock
from tests.processes import Process, client, free_port, started
from tests.servers import PLAIN, Received, Sink
from tests.servers import sink as serve

pytestmark = pytest.mark.anyio

REQUESTS = 2_000
SIGNING = {"signing_secret": "key-of-the-crash-test"}


def native_requests(url: str) -> dict[str, NativeRequest]:
    """Signed Mailgun requests by the id of their event."""
    adapter = Catalog.load(None).get("mailgun")
    numbers = itertools.count()
    requests = [
        adapter.sample_request(
            ["delivered"],
            signing=SIGNING,
            url=f"{url}/api/webhooks/mailgun",
            at=Clock().ms() / 1000,
            recipient="ada@example.com",
            unique=lambda: f"{next(numbers):06d}",
        )
        for _ in range(REQUESTS)
    ]
    return {json.loads(request.body)["event-data"]["id"]: request for request in requests}


def register(gateway: Process, sink: Sink) -> None:
    with client(gateway) as http:
        source = {"name": "mailgun", "provider": "mailgun", "secrets": SIGNING}
        assert http.post("/api/sources", json=source).status_code == 201
        endpoint = {"url": sink.url, "events": "delivered"}
        assert http.post("/api/webhooks/manage", json=endpoint).status_code == 201


class Posting:
    """Posts requests and notes in `answered` which were answered 200; what the crash cuts off is not."""

    def __init__(self, requests: dict[str, NativeRequest]) -> None:
        self.requests = requests
        self.answered = set[str]()
        self._enough = asyncio.Event()
        self._moment = 0

    async def all(self, *, at_once: int = 16) -> None:
        waiting = iter(self.requests.items())
        async with httpx.AsyncClient(timeout=10, verify=PLAIN) as http:
            await asyncio.gather(*(self._next(http, waiting) for _ in range(at_once)))

    async def answers(self, moment: int) -> None:
        """Returns in the middle of the posting, when so many requests are answered."""
        self._moment = moment
        self._enough.clear()
        async with asyncio.timeout(60):
            await self._enough.wait()

    async def _next(self, http: httpx.AsyncClient, waiting: Iterator[tuple[str, NativeRequest]]) -> None:
        for event_id, request in waiting:
            with contextlib.suppress(httpx.TransportError):
                answer = await http.post(request.url, content=request.body, headers=dict(request.headers))
                if answer.status_code == 200:
                    self.answered.add(event_id)
            if len(self.answered) >= self._moment:
                self._enough.set()


def event_ids(requests: Iterable[Received]) -> set[str]:
    return {request.json()["data"]["provider"]["event_id"] for request in requests}


async def until_all_arrived(sink: Sink, expected: set[str]) -> None:
    missing, looked_at = set(expected), 0
    async with asyncio.timeout(60):
        while missing:
            await sink.arrived(looked_at + 1, within_s=60)
            missing -= event_ids(sink.requests[looked_at:])
            looked_at = len(sink.requests)


def stored(folder: Path, query: str) -> list[tuple[object, ...]]:
    with contextlib.closing(sqlite3.connect(folder / "mailweir.db")) as database:
        return database.execute(query).fetchall()


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_nothing_acknowledged_is_lost_by_kill_9_and_nothing_is_stored_twice(tmp_path: Path, workers: str) -> None:
    async with serve() as sink:
        port = free_port()
        gateway = await asyncio.to_thread(started, tmp_path, port, MAILWEIR_WORKERS=workers)
        posting = Posting(native_requests(gateway.url))
        await asyncio.to_thread(register, gateway, sink)
        for moment in (REQUESTS // 4, REQUESTS // 2):
            round_of_posts = asyncio.create_task(posting.all())
            await posting.answers(moment)
            gateway.kill()
            await round_of_posts
            gateway = await asyncio.to_thread(started, tmp_path, port, MAILWEIR_WORKERS=workers)
        try:
            assert 0 < len(posting.answered) < REQUESTS, "the crashes came too early or too late to show anything"
            await until_all_arrived(sink, posting.answered)
            await posting.all()  # what a provider does with requests that nobody answered
            assert len(posting.answered) == REQUESTS
            await until_all_arrived(sink, posting.answered)
        finally:
            await asyncio.to_thread(gateway.stop)
    assert stored(tmp_path, "SELECT count(*), count(DISTINCT dedup_key) FROM event") == [(REQUESTS, REQUESTS)]
    assert stored(tmp_path, "SELECT status, count(*) FROM delivery GROUP BY status") == [("delivered", REQUESTS)]
    assert stored(tmp_path, "SELECT count(*) FROM (SELECT event_id FROM delivery GROUP BY event_id)") == [(REQUESTS,)]
    assert event_ids(sink.requests) == set(posting.requests)
