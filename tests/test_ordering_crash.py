"""The order of one recipient's events outlives `kill -9`, and so does whoever queues."""

import asyncio
import itertools
from collections import defaultdict
from pathlib import Path

import httpx
import pytest

from adapters.catalog import Catalog
from app.clock import Clock
from tests.processes import Process, client, free_port, started
from tests.servers import PLAIN, Answer, Received
from tests.servers import sink as serve

pytestmark = pytest.mark.anyio

SIGNING = {"signing_secret": "key-of-the-crash-test"}
RECIPIENTS, EVENTS = 5, 200
BROKEN_EVERY = 10


def register(gateway: Process, url: str) -> None:
    with client(gateway) as http:
        source = {"name": "mailgun", "provider": "mailgun", "secrets": SIGNING}
        assert http.post("/api/sources", json=source).status_code == 201
        endpoint = {"url": url, "events": "delivered", "ordering": "recipient", "retry_schedule_s": [1] * 10}
        assert http.post("/api/webhooks/manage", json=endpoint).status_code == 201


async def post_all(url: str) -> None:
    adapter, numbers = Catalog.load(None).get("mailgun"), itertools.count()
    async with httpx.AsyncClient(timeout=10, verify=PLAIN) as http:
        for number in range(EVENTS):
            request = adapter.sample_request(
                ["delivered"],
                signing=SIGNING,
                url=f"{url}/api/webhooks/mailgun",
                at=Clock().ms() / 1000,
                recipient=f"{number % RECIPIENTS}@example.com",
                unique=lambda: f"{next(numbers):06d}",
            )
            answer = await http.post(request.url, content=request.body, headers=dict(request.headers))
            assert answer.status_code == 200


def first_seen(requests: list[Received]) -> dict[str, list[str]]:
    """By recipient, the ids of the events in the order in which they came for the first time."""
    seen = defaultdict[str, dict[str, None]](dict)
    for request in requests:
        seen[request.json()["data"]["recipient"]].setdefault(request.headers["webhook-id"])
    return {recipient: list(ids) for recipient, ids in seen.items()}


async def test_kill_9_changes_no_order_and_forgets_nobody_who_queues(tmp_path: Path) -> None:
    numbers = itertools.count(1)
    async with serve() as sink:
        sink.decide = lambda _request: Answer(500 if next(numbers) % BROKEN_EVERY == 0 else 200, delay_s=0.005)
        port = free_port()
        gateway = await asyncio.to_thread(started, tmp_path, port, MAILWEIR_WORKERS="2")
        await asyncio.to_thread(register, gateway, sink.url)
        await post_all(gateway.url)
        for moment in (EVENTS // 3, EVENTS // 2):
            await sink.arrived(moment, within_s=60)
            gateway.kill()
            gateway = await asyncio.to_thread(started, tmp_path, port, MAILWEIR_WORKERS="2")
        try:
            async with asyncio.timeout(120):
                while sum(map(len, first_seen(sink.requests).values())) < EVENTS:
                    await asyncio.sleep(0.1)
        finally:
            await asyncio.to_thread(gateway.stop)
    for ids in first_seen(sink.requests).values():
        assert ids == sorted(ids)
        assert len(ids) == EVENTS // RECIPIENTS
