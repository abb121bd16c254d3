"""The providers: a process that posts requests built beforehand, and notes when each was sent and answered.

Over a pipe it gets a Load, builds the requests, says "ready", waits for "go" and sends back what it Sent; None ends it.
"""

import asyncio
import gc
import time
from array import array
from collections.abc import Callable, Sequence
from functools import partial
from multiprocessing.connection import Connection
from typing import NamedTuple

import uvloop

from bench.requests import LARGE_BATCH_ITEMS, mailgun_requests, sendgrid_requests
from bench.wire import MessageProtocol, WireError, status_of

KINDS: dict[str, Callable[[str, int], list[bytes]]] = {
    "single": mailgun_requests,
    "batches": sendgrid_requests,
    "batches500": partial(sendgrid_requests, items=LARGE_BATCH_ITEMS),
}


class Load(NamedTuple):
    """What to post: `events` of one kind on `connections` with one request in flight on each.

    With `rate_per_s` the requests start evenly spaced, whether or not the earlier ones are answered; without, each
    connection posts as soon as its last request is answered.
    """

    name: str
    kind: str
    events: int
    port: int
    connections: int
    timeout_s: float
    rate_per_s: float | None = None


class Sent(NamedTuple):
    """When each request was written and answered (monotonic nanoseconds), in the order of the requests."""

    sent_ns: Sequence[int]
    answered_ns: Sequence[int]
    refused: dict[int, int]
    """How often each status other than 200 was answered."""
    failure: str | None
    cpu_s: float
    statuses: Sequence[int] = ()
    """What each was answered, in the same order."""


def post_loads(pipe: Connection) -> None:
    """Serves loads until it is told to end."""
    while (load := pipe.recv()) is not None:
        requests = KINDS[load.kind](load.name, load.events)
        gc.collect()
        gc.disable()  # a collection would be taken for the gateway's delay
        pipe.send("ready")
        pipe.recv()
        cpu_before = time.process_time()
        run = uvloop.run(_post_all(load, requests))
        failure = run.failure and str(run.failure)
        pipe.send(
            Sent(run.sent_ns, run.answered_ns, run.refused, failure, time.process_time() - cpu_before, run.statuses)
        )
        gc.enable()


async def _post_all(load: Load, requests: Sequence[bytes]) -> "_Run":
    loop = asyncio.get_running_loop()
    run = _Run(requests)
    made = [
        await loop.create_connection(lambda: _Provider(run), "127.0.0.1", load.port) for _ in range(load.connections)
    ]
    providers = [provider for _, provider in made]
    try:
        async with asyncio.timeout(load.timeout_s):
            if load.rate_per_s is None:
                for provider in providers:
                    provider.post_next()
            else:
                await _post_spaced(run, providers, load.rate_per_s)
            await run.finished.wait()
    except TimeoutError:
        run.failure = WireError(f"{run.unanswered} requests were not answered within {load.timeout_s:g} s")
    for provider in providers:
        provider.transport.abort()
    return run


async def _post_spaced(run: "_Run", providers: Sequence["_Provider"], rate_per_s: float) -> None:
    idle = run.idle = asyncio.Queue()
    for provider in providers:
        idle.put_nowait(provider)
    began = time.monotonic()
    for number in range(run.unanswered):
        await asyncio.sleep(max(0.0, began + number / rate_per_s - time.monotonic()))
        (await idle.get()).post_next()


class _Run:
    """The requests of one load and what became of them."""

    def __init__(self, requests: Sequence[bytes]) -> None:
        self.requests = requests
        self.sent_ns = array("q", bytes(8 * len(requests)))
        self.answered_ns = array("q", bytes(8 * len(requests)))
        self.statuses = array("h", bytes(2 * len(requests)))
        self.refused: dict[int, int] = {}
        self.failure: Exception | None = None
        self.finished = asyncio.Event()
        self.next = 0
        self.unanswered = len(requests)
        self.idle: asyncio.Queue[_Provider] | None = None

    def fail(self, error: Exception) -> None:
        self.failure = self.failure or error
        self.finished.set()


class _Provider(MessageProtocol):
    """One connection, one request in flight."""

    def __init__(self, run: _Run) -> None:
        super().__init__()
        self._run = run
        self._index = -1

    def post_next(self) -> None:
        """Posts the next request, if there is one."""
        run = self._run
        if run.next < len(run.requests):
            self._index = run.next
            run.next += 1
            run.sent_ns[self._index] = time.monotonic_ns()
            self.transport.write(run.requests[self._index])

    def message_received(self, message: bytes) -> None:
        run = self._run
        run.answered_ns[self._index] = time.monotonic_ns()
        status = run.statuses[self._index] = status_of(message)
        if status != 200:
            run.refused[status] = run.refused.get(status, 0) + 1
        run.unanswered -= 1
        if run.unanswered == 0:
            run.finished.set()
        elif run.idle is None:
            self.post_next()
        else:
            run.idle.put_nowait(self)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._run.unanswered:
            self._run.fail(exc or WireError("the server closed a connection"))
