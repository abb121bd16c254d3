"""How the live stream goes over the wire: as server-sent events, or over a WebSocket.

Server-sent events are those of https://html.spec.whatwg.org/multipage/server-sent-events.html: `id` is what a client
sends back as Last-Event-ID. A line of `id` alone moves it without an event, so that a client whose filter seldom fits
resumes near the end.
"""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Protocol

import msgspec
import structlog
from litestar.exceptions import WebSocketDisconnect
from litestar.types import Receive, Send

from app.store.ids import EVENT, public_id
from app.store.views import LiveEvent
from app.stream import ENDING, REVOKED, SLOW, Dropped, Follower
from app.web.auth import is_still_valid
from app.web.context import ApiConnection, principal_of

MEDIA_TYPE = "text/event-stream"
HEARTBEAT_S = 15.0
TAKE_S = 20.0
"""How long a client may take to read what was sent, before the connection is cut."""
RETRY_MS = 2_000
"""How long a browser waits before it connects again."""

_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-accel-buffering", b"no"),
]
GONE = "gone"
_POLICY, _TRY_AGAIN_LATER, _RESTART = 1008, 1013, 1012
_CLOSE_CODES = {SLOW: _TRY_AGAIN_LATER, ENDING: _RESTART, REVOKED: _POLICY}

log = structlog.get_logger()


class Wire(Protocol):
    """One client's connection."""

    name: str

    async def begin(self, position: int) -> None:
        """The first that the client hears; `position` is the number after which it can resume."""
        ...

    async def write(self, events: Sequence[LiveEvent]) -> None:
        """Some events."""
        ...

    async def beat(self, position: int) -> None:
        """A sign of life."""
        ...

    async def end(self, dropped: Dropped) -> None:
        """The last that the client hears."""
        ...


class EventStreamWire:
    """Server-sent events."""

    name = "sse"

    def __init__(self, send: Send) -> None:
        self._send = send

    async def begin(self, position: int) -> None:
        await self._send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
        await self._write(b"retry: %d\nid: %b\n\n" % (RETRY_MS, _id(position)))

    async def write(self, events: Sequence[LiveEvent]) -> None:
        await self._write(b"".join(map(_frame, events)))

    async def beat(self, position: int) -> None:
        await self._write(b": still here\nid: %b\n\n" % _id(position))

    async def end(self, dropped: Dropped) -> None:
        told = msgspec.json.encode({"reason": dropped.reason, "detail": str(dropped)})
        await self._write(b"event: dropped\ndata: %b\n\n" % told, more=False)

    async def _write(self, body: bytes, *, more: bool = True) -> None:
        await self._send({"type": "http.response.body", "body": body, "more_body": more})


class SocketWire:
    """A WebSocket; its signs of life are the server's own pings."""

    name = "websocket"

    def __init__(self, send: Send) -> None:
        self._send = send

    async def begin(self, position: int) -> None:  # noqa: ARG002 - whoever resumes names an event
        await self._send({"type": "websocket.accept", "subprotocol": None, "headers": []})

    async def write(self, events: Sequence[LiveEvent]) -> None:
        for event in events:
            await self._send({"type": "websocket.send", "text": event.body.decode(), "bytes": None})

    async def beat(self, position: int) -> None:
        pass

    async def end(self, dropped: Dropped) -> None:
        code = _CLOSE_CODES.get(dropped.reason, _TRY_AGAIN_LATER)
        await self._send({"type": "websocket.close", "code": code, "reason": f"{dropped.reason}: {dropped}"})


async def serve(connection: ApiConnection, follower: Follower, wire: Wire, receive: Receive) -> None:
    """Writes what the follower gets, until the client has gone, reads too slowly, or is dropped."""
    began = time.monotonic()
    relaying = asyncio.create_task(_relay(connection, follower, wire))
    going = asyncio.create_task(_until_gone(receive))
    try:
        await asyncio.wait({relaying, going}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        follower.leave()
        await _end(relaying, going)
    reason = GONE if relaying.cancelled() else relaying.result()
    duration_ms = round((time.monotonic() - began) * 1000)
    log.info("stream.ended", wire=wire.name, reason=reason, duration_ms=duration_ms, key=principal_of(connection).name)


async def _relay(connection: ApiConnection, follower: Follower, wire: Wire) -> str:
    """Why it ended."""
    try:
        await wire.begin(follower.position)
        checked = time.monotonic()
        while True:
            events = await follower.events(HEARTBEAT_S)
            async with asyncio.timeout(TAKE_S):
                await (wire.write(events) if events else wire.beat(follower.position))
            if time.monotonic() - checked >= HEARTBEAT_S:
                await _check_key(connection, follower)
                checked = time.monotonic()
    except Dropped as dropped:
        with suppress(TimeoutError):
            async with asyncio.timeout(TAKE_S):
                await wire.end(dropped)
        return dropped.reason
    except TimeoutError:
        follower.drop(SLOW, "The client took nothing any more.")
        return SLOW
    except (OSError, WebSocketDisconnect):
        return GONE


async def _check_key(connection: ApiConnection, follower: Follower) -> None:
    if not await is_still_valid(connection.scope):
        follower.drop(REVOKED, "The API key was revoked.")


async def _until_gone(receive: Receive) -> None:
    """What clients say is not listened to, but for the end."""
    while True:
        message: Any = await receive()
        if message["type"] in ("http.disconnect", "websocket.disconnect"):
            return


async def _end(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


def _frame(event: LiveEvent) -> bytes:
    return b"id: %b\nevent: %b\ndata: %b\n\n" % (_id(event.id), event.type.encode(), event.body)


def _id(number: int) -> bytes:
    return public_id(EVENT, number).encode()
