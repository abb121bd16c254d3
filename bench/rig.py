"""Generator and sink as processes beside the server, one load posted through it, and the proof that all of it came."""

import multiprocessing
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

from bench import generator, sink
from bench.generator import Load, Sent
from bench.machine import cores, on_core
from bench.proof import RunBroken, arrival_times, check_answers
from bench.server import GatewayServer

STOP_TIMEOUT_S = 5.0
ANSWER_TIMEOUT_S = 60.0
POLL_S, FINAL_POLL_S = 0.02, 0.002

_processes = multiprocessing.get_context("spawn")


class Worker:
    """A process at the other end of a pipe."""

    def __init__(self, work: Callable[..., None], core: int | None, *arguments: Any, waits_s: float = ANSWER_TIMEOUT_S):
        self._waits_s = waits_s
        self._pipe, theirs = _processes.Pipe()
        self._process = _processes.Process(target=work, args=(theirs, *arguments), daemon=True)
        with on_core(core):
            self._process.start()
        theirs.close()

    def send(self, message: Any) -> None:
        """Puts a message into the pipe."""
        self._pipe.send(message)

    def answer(self, waits_s: float | None = None) -> Any:
        """The next message out of the pipe. Raises RunBroken when none comes."""
        if not self._pipe.poll(self._waits_s if waits_s is None else waits_s):
            raise RunBroken(f"{self._process.name} said nothing for {waits_s or self._waits_s:g} s")
        try:
            return self._pipe.recv()
        except EOFError as ended:
            raise RunBroken(f"{self._process.name} ended before it answered") from ended

    @property
    def has_answered(self) -> bool:
        """True when `answer` would return at once."""
        return self._pipe.poll()

    def ask(self, message: Any) -> Any:
        """Sends and waits for the answer."""
        self.send(message)
        return self.answer()

    def end(self) -> None:
        """Waits for it a little, then ends it."""
        self._process.join(STOP_TIMEOUT_S)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self._pipe.close()


def told_by(worker: Worker) -> Any:
    """The one message of a worker that then ends."""
    try:
        return worker.answer()
    finally:
        worker.end()


class Rig(NamedTuple):
    """What stands around the server, and which cores they have."""

    sink: Worker
    generator: Worker
    sink_port: int
    client_core: int | None
    server_core: int | None


@contextmanager
def built(*, pinned: bool = True) -> Iterator[Rig]:
    """Generator and sink, running and pinned beside each other; the caller's process joins them on their core."""
    client_core, server_core = (cores() if pinned else None) or (None, None)
    with on_core(client_core):
        subscriber = Worker(sink.serve, client_core, sink.OK)
        provider = Worker(generator.post_loads, client_core)
        try:
            yield Rig(subscriber, provider, subscriber.answer(), client_core, server_core)
        finally:
            _stop(subscriber, "stop")
            _stop(provider, None)


class OtherSink(NamedTuple):
    """A subscriber beside the one that counts."""

    worker: Worker
    port: int

    def connections_max(self) -> int:
        """The most connections that were open to it at once."""
        return self.worker.ask("connections_max")


@contextmanager
def other_sink(rig: Rig, manner: str) -> Iterator[OtherSink]:
    """A subscriber that behaves in one of the sink's manners."""
    worker = Worker(sink.serve, rig.client_core, manner)
    try:
        yield OtherSink(worker, worker.answer())
    finally:
        _stop(worker, "stop")


def _stop(worker: Worker, message: Any) -> None:
    with suppress(OSError):
        worker.send(message)
    worker.end()


class Run(NamedTuple):
    """One load, posted, delivered and recorded."""

    events: int
    began_ns: int
    accepted_ns: int
    """When the last request was answered."""
    recorded_ns: int
    """When nothing was owed any more."""
    server_cpu_s: float | None
    generator_cpu_s: float
    sent: Sent
    arrived_ns: Sequence[int]
    """Of each event, in the order of sending."""

    @property
    def seconds(self) -> float:
        """From the first byte sent to the last attempt recorded."""
        return (self.recorded_ns - self.began_ns) / 1e9

    @property
    def events_per_s(self) -> float:
        return self.events / self.seconds

    @property
    def accepted_per_s(self) -> float:
        return self.events / ((self.accepted_ns - self.began_ns) / 1e9)


def post(rig: Rig, server: GatewayServer, load: Load) -> Run:
    """Posts one load and waits until every event of it is delivered and recorded. Raises RunBroken.

    It counts what the server owes the endpoints that `subscribe` has made; an event has arrived when all have it.
    """
    copies = len(server.counted)
    before, cpu_before = server.stored(), server.cpu_s()
    rig.generator.ask(load)
    rig.generator.send("go")
    recorded_ns = _wait_until_recorded(rig, server, load, copies)
    cpu_after = server.cpu_s()
    sent: Sent = rig.generator.answer()
    arrived_ns = arrival_times(load, sent, rig.sink.ask("take"), before, server.stored(), copies)
    return Run(
        events=load.events,
        began_ns=min(sent.sent_ns),
        accepted_ns=max(sent.answered_ns),
        recorded_ns=recorded_ns,
        server_cpu_s=None if cpu_before is None or cpu_after is None else cpu_after - cpu_before,
        generator_cpu_s=sent.cpu_s,
        sent=sent,
        arrived_ns=arrived_ns,
    )


def _wait_until_recorded(rig: Rig, server: GatewayServer, load: Load, copies: int) -> int:
    """The moment at which all events have come and the store owes nothing. Gives up when it takes too long.

    The sink is asked seldom while the load runs; the database only at the end, so that asking costs next to nothing.
    """
    deadline = time.monotonic() + load.timeout_s
    while not (rig.generator.has_answered and rig.sink.ask("count") >= load.events * copies):
        _check_time(rig, server, load, deadline)
        time.sleep(POLL_S)
    while not server.owes_nothing():
        _check_time(rig, server, load, deadline)
        time.sleep(FINAL_POLL_S)
    return time.monotonic_ns()


def _check_time(rig: Rig, server: GatewayServer, load: Load, deadline: float) -> None:
    if time.monotonic() > deadline:
        count = rig.sink.ask("count")
        answers = "every request" if rig.generator.has_answered else "not every request"
        raise RunBroken(
            f"{load.name}: of {load.events} events {count} POSTs arrived within {load.timeout_s:g} s;"
            f" {answers} was answered; in the store over all runs: {server.stored()}\n{server.last_log_lines()}"
        )


def flood_bare(rig: Rig, load: Load) -> tuple[float, float]:
    """Requests a second that a server without a gateway takes, and the share of its core the generator used."""
    rig.generator.ask(load)
    sent: Sent = rig.generator.ask("go")
    check_answers(load, sent)
    seconds = (max(sent.answered_ns) - min(sent.sent_ns)) / 1e9
    return load.events / seconds, sent.cpu_s / seconds


@contextmanager
def bare_server(serve: Callable[[int], None], port: int, core: int | None) -> Iterator[None]:
    """Runs `serve(port)` in a process of its own while the caller measures it."""
    process = _processes.Process(target=serve, args=(port,), daemon=True)
    with on_core(core):
        process.start()
    try:
        yield
    finally:
        process.terminate()
        process.join(STOP_TIMEOUT_S)
