"""The subscriber: a process that answers every POST in one manner and remembers when which event came.

It is told over a pipe: "count" gives the number of arrivals so far, "take" all of them (and forgets them),
"connections_max" how many connections were open at once, "stop" ends.
"""

import asyncio
import gc
import time
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import NamedTuple

import uvloop

from bench.wire import MessageProtocol

OK, BROKEN, HANGING = "ok", "broken", "hanging"
"""The manners: 200, 500, and nothing at all."""
_ANSWERS = {
    OK: b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok",
    BROKEN: b"HTTP/1.1 500 Internal Server Error\r\nContent-Type: text/plain\r\nContent-Length: 6\r\n\r\nbroken",
    HANGING: b"",
}


class Arrival(NamedTuple):
    """One POST: when it came (monotonic clock), the event's own id, the provider's id of the message and the path."""

    at_ns: int
    webhook_id: str
    email_id: str
    target: str = "/hook"


class _Visits:
    """What came, and over how many connections at once."""

    def __init__(self, manner: str) -> None:
        self.answer = _ANSWERS[manner]
        self.arrivals = list[tuple[int, bytes]]()
        self.connections = 0
        self.connections_max = 0


def serve(pipe: Connection, manner: str) -> None:
    """Sends its port through the pipe, then serves until it is told to stop."""
    gc.disable()  # nothing here makes cycles, and a collection would be taken for the gateway's delay
    uvloop.run(_serve(pipe, _Visits(manner)))


async def _serve(pipe: Connection, visits: _Visits) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Subscriber(visits), "127.0.0.1", 0, backlog=1024)
    pipe.send(server.sockets[0].getsockname()[1])
    await asyncio.to_thread(_obey, pipe, visits)
    server.close()


def _obey(pipe: Connection, visits: _Visits) -> None:
    """In a thread of its own, because the pipe blocks; returns at "stop", or when nobody holds the other end."""
    with suppress(EOFError):
        while (command := pipe.recv()) != "stop":
            if command == "count":
                pipe.send(len(visits.arrivals))
            elif command == "connections_max":
                pipe.send(visits.connections_max)
            else:
                pipe.send([_arrival(at_ns, message) for at_ns, message in visits.arrivals])
                visits.arrivals.clear()


class _Subscriber(MessageProtocol):
    def __init__(self, visits: _Visits) -> None:
        super().__init__()
        self._visits = visits

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._visits.connections += 1
        self._visits.connections_max = max(self._visits.connections_max, self._visits.connections)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self._visits.connections -= 1

    def message_received(self, message: bytes) -> None:
        self._visits.arrivals.append((time.monotonic_ns(), message))
        self.transport.write(self._visits.answer)


def _arrival(at_ns: int, message: bytes) -> Arrival:
    return Arrival(
        at_ns,
        webhook_id=_between(message, b"\r\nwebhook-id: ", b"\r\n"),
        email_id=_between(message, b'"email_id":"', b'"'),
        target=_between(message, b" ", b" "),
    )


def _between(message: bytes, before: bytes, after: bytes) -> str:
    _, found, rest = message.partition(before)
    return rest.partition(after)[0].decode() if found else ""
