"""The subscriber: a process that answers every POST with 200 and remembers when which event came.

It is told over a pipe: "count" gives the number of arrivals so far, "take" all of them (and forgets them), "stop" ends.
"""

import asyncio
import gc
import time
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import NamedTuple

import uvloop

from bench.wire import MessageProtocol

_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok"


class Arrival(NamedTuple):
    """One POST: when it came (monotonic clock), the event's own id and the provider's id of the message."""

    at_ns: int
    webhook_id: str
    email_id: str


def serve(pipe: Connection) -> None:
    """Sends its port through the pipe, then serves until it is told to stop."""
    gc.disable()  # nothing here makes cycles, and a collection would be taken for the gateway's delay
    uvloop.run(_serve(pipe))


async def _serve(pipe: Connection) -> None:
    loop = asyncio.get_running_loop()
    arrivals = list[tuple[int, bytes]]()
    server = await loop.create_server(lambda: _Subscriber(arrivals), "127.0.0.1", 0, backlog=1024)
    pipe.send(server.sockets[0].getsockname()[1])
    await asyncio.to_thread(_obey, pipe, arrivals)
    server.close()


def _obey(pipe: Connection, arrivals: list[tuple[int, bytes]]) -> None:
    """In a thread of its own, because the pipe blocks; returns at "stop", or when nobody holds the other end."""
    with suppress(EOFError):
        while (command := pipe.recv()) != "stop":
            if command == "count":
                pipe.send(len(arrivals))
            else:
                pipe.send([_arrival(at_ns, message) for at_ns, message in arrivals])
                arrivals.clear()


class _Subscriber(MessageProtocol):
    def __init__(self, arrivals: list[tuple[int, bytes]]) -> None:
        super().__init__()
        self._arrivals = arrivals

    def message_received(self, message: bytes) -> None:
        self._arrivals.append((time.monotonic_ns(), message))
        self.transport.write(_ANSWER)


def _arrival(at_ns: int, message: bytes) -> Arrival:
    return Arrival(at_ns, _between(message, b"\r\nwebhook-id: ", b"\r\n"), _between(message, b'"email_id":"', b'"'))


def _between(message: bytes, before: bytes, after: bytes) -> str:
    _, found, rest = message.partition(before)
    return rest.partition(after)[0].decode() if found else ""
