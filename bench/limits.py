"""What the machine can do at most: each part of the gateway's work alone, on the core that the server has.

The parts are written as the gateway would write them if it had nothing else to do: the same libraries and durability,
rows and bodies of the same size; no verification, no state, no second index.
"""

import asyncio
import hashlib
import hmac
import time
from collections.abc import Awaitable, Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import msgspec
import sqlalchemy as sa
import uvicorn
import uvloop
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from adapters.events import Delivery, Event, EventData, Provider
from bench.wire import MessageProtocol

POSTS_IN_FLIGHT = 32
RECEIPT_BODY_BYTES, EVENT_BODY_BYTES = 1_200, 800
_ANSWER = b'{"received": true}'

_tables = sa.MetaData()


def _table(name: str, *blobs: str) -> sa.Table:
    columns = [sa.Column(blob, sa.LargeBinary) for blob in blobs]
    return sa.Table(
        name, _tables, sa.Column("id", sa.Integer, primary_key=True), sa.Column("status", sa.Text), *columns
    )


# One row in each table is what one event leaves behind in the gateway.
_ROWS: dict[sa.Table, dict[str, Any]] = {
    _table("receipt", "headers", "body"): {"headers": b"h" * 200, "body": b"b" * RECEIPT_BODY_BYTES},
    _table("event", "dedup_key", "body"): {"dedup_key": b"k" * 16, "body": b"b" * EVENT_BODY_BYTES},
    _table("delivery"): {},
    _table("attempt", "timing", "request", "response"): {
        "timing": b"t" * 100,
        "request": b"r" * 400,
        "response": b"ok",
    },
}


async def bare_app(scope: Any, receive: Any, send: Any) -> None:
    """The least ASGI application that reads a POST and answers what the gateway answers."""
    if scope["type"] != "http":
        return
    while (await receive()).get("more_body"):
        pass
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(_ANSWER))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": _ANSWER})


def serve_bare(port: int) -> None:
    """Serves `bare_app` the way the gateway is served, until the process is ended."""
    uvicorn.run(
        bare_app,
        host="127.0.0.1",
        port=port,
        loop="uvloop",
        http="httptools",
        lifespan="off",
        log_level="error",
        access_log=False,
    )


def measure(pipe: Connection, folder: Path, sink_port: int, seconds: float, names: Sequence[str]) -> None:
    """Sends some of the limits that need no generator, in operations per second, each measured for about `seconds`."""
    pipe.send(uvloop.run(_measure(folder, sink_port, seconds, names)))


async def _measure(folder: Path, sink_port: int, seconds: float, names: Sequence[str]) -> dict[str, float]:
    parts: dict[str, Callable[[], Awaitable[float]]] = {
        "outbound_posts": lambda: _outbound_posts(sink_port, seconds),
        "sqlite_rows_500": lambda: _sqlite(folder / "limit-500.db", 500, seconds),
        "sqlite_rows_50": lambda: _sqlite(folder / "limit-50.db", 50, seconds),
        "sqlite_commits_1": lambda: _one_row_commits(folder / "limit-1.db", seconds),
        "hmac_1kb": lambda: _rate(_hmac_1kb(), seconds / 2),
        "json_events": lambda: _rate(_encode_event(), seconds / 2),
    }
    return {name: await parts[name]() for name in names}


class _Poster(MessageProtocol):
    """Posts the same bytes again and again on one connection until the time is over."""

    def __init__(self, ends_at: float) -> None:
        super().__init__()
        self.posted = 0
        self.ended = asyncio.get_running_loop().create_future()
        self._ends_at = ends_at

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.transport.write(_POST)

    def message_received(self, _message: bytes) -> None:
        """The answer; the next post goes out."""
        self.posted += 1
        if time.monotonic() < self._ends_at:
            self.transport.write(_POST)
        else:
            self.transport.close()
            self.ended.set_result(None)


_POST = b"POST /hook HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (
    EVENT_BODY_BYTES,
    b"b" * EVENT_BODY_BYTES,
)


async def _outbound_posts(sink_port: int, seconds: float) -> float:
    """Sockets alone: POSTs of an event's size on kept connections, as many as the gateway has for one endpoint."""
    loop = asyncio.get_running_loop()
    began = time.monotonic()
    opening = (
        loop.create_connection(lambda: _Poster(began + seconds), "127.0.0.1", sink_port) for _ in range(POSTS_IN_FLIGHT)
    )
    posters = [poster for _, poster in await asyncio.gather(*opening)]
    await asyncio.gather(*(poster.ended for poster in posters))
    return sum(poster.posted for poster in posters) / (time.monotonic() - began)


async def _sqlite(path: Path, batch: int, seconds: float) -> float:
    """Sets of four rows a second, `batch` sets in one durable commit."""
    engine = await _open(path)
    stored = 0
    began = time.monotonic()
    while (elapsed := time.monotonic() - began) < seconds or stored == 0:
        async with engine.begin() as connection:
            for table, row in _ROWS.items():
                rows = [{"id": stored + number, "status": "delivered", **row} for number in range(batch)]
                await connection.execute(sa.insert(table), rows)
        stored += batch
    await engine.dispose()
    return stored / elapsed


async def _one_row_commits(path: Path, seconds: float) -> float:
    engine = await _open(path)
    table, row = next(iter(_ROWS.items()))
    stored = 0
    began = time.monotonic()
    while (elapsed := time.monotonic() - began) < seconds or stored == 0:
        async with engine.begin() as connection:
            await connection.execute(sa.insert(table), {"id": stored, "status": "accepted", **row})
        stored += 1
    await engine.dispose()
    return stored / elapsed


async def _open(path: Path) -> AsyncEngine:
    engine = create_async_engine(f"sqlite+aiosqlite:///{path}")
    event.listen(engine.sync_engine, "connect", _durable)
    async with engine.begin() as connection:
        await connection.run_sync(_tables.create_all)
    return engine


def _durable(connection: Any, _entry: Any) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.close()


def _hmac_1kb() -> Callable[[], object]:
    message = b"m" * 1024
    keyed = hmac.new(b"k" * 32, digestmod=hashlib.sha256)

    def sign() -> bytes:
        mac = keyed.copy()
        mac.update(message)
        return mac.digest()

    return sign


def _encode_event() -> Callable[[], object]:
    encode = msgspec.json.Encoder().encode
    unified = sample_event()
    return lambda: encode(unified)


def sample_event() -> Event:
    """A unified event of the usual size."""
    data = EventData(
        email_id="20260303081500.1.ABCDEF@shop.example.com",
        message_id="20260303081500.1.ABCDEF@shop.example.com",
        recipient="ada@example.net",
        provider=Provider(
            name="mailgun", source="prod", event_id="evt-1", event_type="delivered", stream="example.com"
        ),
        received_at="2026-03-03T08:15:00.000Z",
        subject="Your order 1042 is on its way",
        from_="Shop <orders@shop.example.com>",
        to=["ada@example.net"],
        tags=["order", "shipping"],
        metadata={"order": "1042", "customer": "77123"},
        delivery=Delivery(smtp_code=250, diagnostic="OK"),
    )
    return Event(
        id="evt_01KMT5W3K000001",
        type="email.delivered",
        timestamp="2026-03-03T08:15:00.000Z",
        org_id="org_01KMT5W3K000001",
        env_id="env_01KMT5W3K000001",
        data=data,
    )


async def _rate(operation: Callable[[], object], seconds: float) -> float:
    done = 0
    began = time.perf_counter()
    while (elapsed := time.perf_counter() - began) < seconds or done == 0:
        for _ in range(1_000):
            operation()
        done += 1_000
    return done / elapsed
