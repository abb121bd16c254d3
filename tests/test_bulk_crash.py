"""A bulk job survives `kill -9`: everything is sent at least once, and nothing is made twice."""

import asyncio
import contextlib
import json
import sqlite3
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.clock import Clock
from app.store.ids import EVENT, IdSource, public_id
from tests.processes import KEY, Process, free_port, started
from tests.servers import PLAIN, Sink
from tests.servers import sink as serve

pytestmark = pytest.mark.anyio

CALLS_S = 60
PER_SECOND = 10_000
NEVER = 1 << 62


def api(gateway: Process) -> httpx.AsyncClient:
    headers = {"Authorization": f"Bearer {KEY}"}
    return httpx.AsyncClient(base_url=gateway.url, headers=headers, timeout=CALLS_S, verify=PLAIN)


async def endpoint_of(gateway: Process, sink: Sink) -> int:
    async with api(gateway) as http:
        made = await http.post("/api/webhooks/manage", json={"url": sink.url, "events": "delivered"})
        assert made.status_code == 201, made.text
        return made.json()["id"]


def fill(folder: Path, number: int, failed_to: int | None) -> list[str]:
    """So many events in the store, each with a failed delivery if told so: their ids."""
    ids = IdSource(0, Clock().ms)
    events = [ids.next() for _ in range(number)]
    bodies = [json.dumps({"id": public_id(EVENT, event), "type": "email.delivered"}) for event in events]
    with contextlib.closing(sqlite3.connect(folder / "mailweir.db")) as database, database:
        database.executemany(
            "INSERT INTO event (id, environment_id, type, occurred_at, dedup_key, body)"
            " VALUES (?, 1, 'email.delivered', 0, ?, ?)",
            [(event, event.to_bytes(8), body.encode()) for event, body in zip(events, bodies, strict=True)],
        )
        if failed_to is not None:
            database.executemany(
                "INSERT INTO delivery (id, event_id, endpoint_id, origin, status, attempts, due_at)"
                " VALUES (?, ?, ?, 'event', 'failed', 11, 0)",
                [(ids.next(), event, failed_to) for event in events],
            )
    return [public_id(EVENT, event) for event in events]


async def begun(gateway: Process, endpoint_id: int, status: str) -> dict[str, Any]:
    body = {"since": "2020-01-01T00:00:00Z", "status": status, "per_second": PER_SECOND}
    async with api(gateway) as http:
        answer = await http.post(f"/api/webhooks/manage/{endpoint_id}/recover", json=body)
        assert answer.status_code == 202, answer.text
        return answer.json()


async def worked(gateway: Process, job: dict[str, Any], number: int) -> dict[str, Any]:
    """The job, once it has dealt with so many or has ended."""
    async with asyncio.timeout(300), api(gateway) as http:
        while True:
            shown = (await http.get(f"/api/jobs/{job['id']}")).json()
            if shown["done"] >= number or shown["state"] != "running":
                return shown
            await asyncio.sleep(0.05)


async def received(sink: Sink, expected: list[str]) -> None:
    missing, looked_at = set(expected), 0
    async with asyncio.timeout(300):
        while missing:
            await sink.arrived(looked_at + 1, within_s=60)
            missing -= {request.headers["webhook-id"] for request in sink.requests[looked_at:]}
            looked_at = len(sink.requests)


def stored(folder: Path) -> list[tuple[object, ...]]:
    query = "SELECT status, count(*), count(DISTINCT event_id) FROM delivery GROUP BY status"
    with contextlib.closing(sqlite3.connect(folder / "mailweir.db")) as database:
        return database.execute(query).fetchall()


@pytest.mark.parametrize("number", [8_000, pytest.param(100_000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("status", ["failed", "missing"])
async def test_a_recovery_goes_on_after_kill_9_and_sends_everything(tmp_path: Path, status: str, number: int) -> None:
    port = free_port()
    async with serve() as sink:
        gateway = await asyncio.to_thread(started, tmp_path, port, MAILWEIR_WORKERS="2")
        endpoint_id = await endpoint_of(gateway, sink)
        events = fill(tmp_path, number, endpoint_id if status == "failed" else None)
        job = await begun(gateway, endpoint_id, status)
        assert (job["total"], job["total_exact"]) == (number, True)
        for part in (number // 4, number // 2):
            shown = await worked(gateway, job, part)
            assert shown["state"] == "running", "it was too fast to be interrupted"
            await asyncio.to_thread(gateway.kill)
            gateway = await asyncio.to_thread(started, tmp_path, port, MAILWEIR_WORKERS="2")
        try:
            done = await worked(gateway, job, NEVER)
            await received(sink, events)
        finally:
            await asyncio.to_thread(gateway.stop)
    assert (done["state"], done["done"]) == ("done", number)
    assert stored(tmp_path) == [("delivered", number, number)]
