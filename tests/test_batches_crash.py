"""What went in batches outlives `kill -9` as everything else does."""

import asyncio
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.processes import Process, client, free_port, started
from tests.servers import Answer, Received, Sink
from tests.servers import sink as serve
from tests.test_crash import SIGNING, Posting, native_requests, stored

pytestmark = pytest.mark.anyio

REQUESTS = 400


def register(gateway: Process, sink: Sink) -> None:
    with client(gateway) as http:
        source = {"name": "mailgun", "provider": "mailgun", "secrets": SIGNING}
        assert http.post("/api/sources", json=source).status_code == 201
        batches = {"delivery": "batch", "batch_max_events": 20, "batch_max_wait_ms": 100}
        endpoint = {"url": sink.url, "events": "delivered"} | batches
        assert http.post("/api/webhooks/manage", json=endpoint).status_code == 201


def event_ids(requests: Iterable[Received]) -> set[str]:
    return {event["data"]["provider"]["event_id"] for request in requests for event in request.json()}


async def test_nothing_that_waits_for_a_batch_is_lost_by_kill_9(tmp_path: Path) -> None:
    async with serve(Answer(200, delay_s=0.05)) as sink:
        port = free_port()
        gateway = await asyncio.to_thread(started, tmp_path, port)
        posting = Posting(dict(list(native_requests(gateway.url).items())[:REQUESTS]))
        await asyncio.to_thread(register, gateway, sink)
        posts = asyncio.create_task(posting.all())
        await posting.answers(REQUESTS // 2)
        gateway.kill()
        await posts
        gateway = await asyncio.to_thread(started, tmp_path, port)
        try:
            await posting.all()
            assert len(posting.answered) == REQUESTS
            async with asyncio.timeout(60):
                while event_ids(sink.requests) != posting.answered:
                    await asyncio.sleep(0.05)
        finally:
            await asyncio.to_thread(gateway.stop)
    assert stored(tmp_path, "SELECT status, count(*) FROM delivery GROUP BY status") == [("delivered", REQUESTS)]
    assert len(sink.requests) < REQUESTS
