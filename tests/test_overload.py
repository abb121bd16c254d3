"""Far more than the gateway can take: memory stays bounded, the refused are told so promptly, the rest is delivered."""

import asyncio
import contextlib
import json
import re
import sqlite3
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.processes import Process, client, running
from tests.servers import Sink
from tests.servers import sink as serve

pytestmark = pytest.mark.anyio

NOON = "2026-03-03T12:00:00Z"
POSTERS, LARGE_POSTERS, SLOW_POSTERS = 200, 8, 8
PADDING = b"x" * 5_000_000
MIB = 1024 * 1024
EMAIL_ID = re.compile(rb'"email_id":"(m[0-9]+)"')
SETTINGS = {
    "MAILWEIR_INBOUND_WAITING_BYTES_MAX": str(32 * MIB),
    "MAILWEIR_HANDED_OVER_BYTES_MAX": str(16 * MIB),
    "MAILWEIR_INBOUND_WAIT_S_MAX": "0.5",
    "MAILWEIR_COMMIT_TIMEOUT_S": "60",
    "MAILWEIR_SENDING_MAX": "16",
}
GROWTH_MIB_MAX = 250
"""What is allowed to requests and deliveries, four times over: as bytes, parsed, as rows, and in sockets."""


class Crowd:
    """Posts events until it is told to stop, and notes what was answered."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.taken = set[str]()
        self.refused = Counter[tuple[str, int, bool]]()
        """By source, status and whether the answer says when to come again."""
        self.stopped = False
        self._numbers = iter(range(10**9))

    async def post_on(self, source: str, padding: bytes = b"") -> None:
        """One request after the other, on one connection as long as the gateway keeps it."""
        while not self.stopped:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                while not self.stopped:
                    await self._post(source, padding, reader, writer)
            writer.close()

    async def _post(
        self, source: str, padding: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        email_id = f"m{next(self._numbers)}"
        writer.write(request(source, email_id, padding))
        await writer.drain()
        status, comes_again = await answered(reader)
        if status != 200:
            self.refused[source, status, comes_again] += 1
            await asyncio.sleep(0.05)
        elif source == "own":  # what is posted to the other is none of its provider's events
            self.taken.add(email_id)

    async def upload_slowly(self) -> None:
        """Almost all of a large body, and then nothing."""
        _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        with contextlib.suppress(ConnectionError):
            writer.write(request("own", "slow", PADDING)[:-1000])
            await writer.drain()
        while not self.stopped:
            await asyncio.sleep(0.05)
        writer.transport.abort()


def request(source: str, email_id: str, padding: bytes) -> bytes:
    event = {"type": "email.delivered", "email_id": email_id, "recipient": "a@b.example", "timestamp": NOON}
    body = json.dumps(event | {"metadata": {"padding": ""}}).encode()[:-3] + padding + b'"}}'
    head = f"POST /api/webhooks/{source} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json"
    return f"{head}\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body


async def answered(reader: asyncio.StreamReader) -> tuple[int, bool]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    headers = dict(line.split(": ", 1) for line in head.splitlines()[1:] if line)
    await reader.readexactly(int(headers["content-length"]))
    return int(head.split()[1]), int(headers.get("retry-after", "0")) > 0


def register(gateway: Process, sink: Sink) -> None:
    with client(gateway) as http:
        for name, provider in (("own", "generic"), ("brevo", "brevo")):
            source = {"name": name, "provider": provider, "verification": "none"}
            assert http.post("/api/sources", json=source).status_code == 201
        assert http.post("/api/webhooks/manage", json={"url": sink.url, "events": "*"}).status_code == 201


def memory_mib(gateway: Process, kind: str) -> float:
    lines = Path(f"/proc/{gateway.process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{kind}:"))


async def all_arrive(sink: Sink, expected: set[str]) -> None:
    missing, looked_at = set(expected), 0
    async with asyncio.timeout(60):
        while missing:
            await sink.arrived(looked_at + 1, within_s=60)
            new = sink.requests[looked_at:]
            looked_at += len(new)
            missing -= {found[1].decode() for request in new if (found := EMAIL_ID.search(request.body))}


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    with contextlib.closing(sqlite3.connect(folder / "mailweir.db", isolation_level=None, timeout=30)) as database:
        database.execute("BEGIN IMMEDIATE")
        yield
        database.execute("ROLLBACK")


@contextlib.asynccontextmanager
async def posting(crowd: Crowd) -> AsyncIterator[None]:
    posters = [
        *(crowd.post_on("own") for _ in range(POSTERS)),
        *(crowd.post_on("brevo") for _ in range(2)),
        *(crowd.post_on("own", PADDING) for _ in range(LARGE_POSTERS)),
        *(crowd.upload_slowly() for _ in range(SLOW_POSTERS)),
    ]
    async with asyncio.TaskGroup() as group:
        for poster in posters:
            group.create_task(poster)
        yield
        crowd.stopped = True


async def until(crowd: Crowd, *refused: tuple[str, int]) -> None:
    async with asyncio.timeout(20):
        while not {key[:2] for key in crowd.refused} >= set(refused):
            await asyncio.sleep(0.02)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the peak of a process's memory in /proc")
async def test_of_far_too_much_what_is_taken_is_delivered_and_the_rest_refused_within_bounded_memory(
    tmp_path: Path,
) -> None:
    async with serve() as sink:
        with running(tmp_path, **SETTINGS) as gateway:
            await asyncio.to_thread(register, gateway, sink)
            before_mib = memory_mib(gateway, "VmRSS")
            crowd = Crowd(int(gateway.url.rpartition(":")[2]))
            async with posting(crowd):
                await sink.arrived(50, within_s=20)
                with locked(tmp_path):  # it is told while the store stands still, and not when its patience ends
                    await until(crowd, ("own", 503), ("brevo", 429))
            grown_mib = memory_mib(gateway, "VmHWM") - before_mib
            await all_arrive(sink, crowd.taken)
    assert {key[1:] for key in crowd.refused} == {(503, True), (429, True)}
    assert grown_mib < GROWTH_MIB_MAX
