"""The four measurements and the machine's limits; each gives figures with their unit, one value per counted run."""

import socket
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

from bench import limits, readings
from bench.generator import Load
from bench.proof import RunBroken
from bench.requests import BATCH_ITEMS
from bench.rig import Rig, Run, Worker, bare_server, flood_bare, post
from bench.server import GatewayServer, free_port

CONNECTIONS = 64
LOW_RATE_PER_S = 100.0
WARM_UP_EVENTS = 2_000
RUN_EVENTS_MAX = 60_000
MEMORY_EVENTS, MEMORY_STEPS = 100_000, 4
SINGLE_SHARE = 5
SETTLE_S = 1.0
LIMIT_SECONDS_MAX = 2.0
BARE_START_TIMEOUT_S = 10.0

_run_numbers = count(1)


class Options(NamedTuple):
    """How long and how often: each counted run is sized to last about `seconds`, or posts exactly `events`."""

    seconds: float
    runs: int
    events: int | None = None


class Figure(NamedTuple):
    """One line of the report."""

    name: str
    unit: str
    values: Sequence[float]
    """One per counted run."""

    @property
    def median(self) -> float:
        return statistics.median(self.values)


def single(rig: Rig, server: GatewayServer, options: Options) -> list[Figure]:
    """One event a request (Mailgun)."""
    return _throughput(rig, server, options, "single", "single events")


def batches(rig: Rig, server: GatewayServer, options: Options) -> list[Figure]:
    """Fifty events a request (SendGrid)."""
    return _throughput(rig, server, options, "batches", f"batches of {BATCH_ITEMS}")


def _throughput(rig: Rig, server: GatewayServer, options: Options, kind: str, title: str) -> list[Figure]:
    warm_up = post(rig, server, _load(server, kind, options.events or WARM_UP_EVENTS, options))
    events = options.events or _sized(warm_up.events_per_s * options.seconds)
    runs = [post(rig, server, _load(server, kind, events, options)) for _ in range(options.runs)]
    return [
        Figure(f"{title}, delivered and recorded", "events/s", [run.events_per_s for run in runs]),
        Figure(f"{title}, accepted", "events/s", [run.accepted_per_s for run in runs]),
        *_processor_figures(title, runs),
    ]


def _processor_figures(title: str, runs: Sequence[Run]) -> list[Figure]:
    """What the runs cost; a server's core not in full use means that something else was waited for."""
    measured = [(run, run.server_cpu_s) for run in runs if run.server_cpu_s is not None]
    server = [
        Figure(f"{title}, server's core in use", "%", [100 * cpu_s / run.seconds for run, cpu_s in measured]),
        Figure(f"{title}, processor time per event", "µs", [1e6 * cpu_s / run.events for run, cpu_s in measured]),
    ]
    generator = [100 * run.generator_cpu_s / run.seconds for run in runs]
    return [*(server if measured else []), Figure(f"{title}, generator's share of its core", "%", generator)]


def latency(rig: Rig, server: GatewayServer, options: Options) -> list[Figure]:
    """Single events, evenly spaced at a low rate: how long after the POST, and after the 200, the sink has each."""
    events = options.events or round(LOW_RATE_PER_S * options.seconds)
    sizes = [min(events, round(LOW_RATE_PER_S)), *[events] * options.runs]
    _warm_up, *runs = [post(rig, server, _load(server, "single", size, options, LOW_RATE_PER_S)) for size in sizes]
    spans: dict[str, Callable[[Run], Iterable[float]]] = {
        "POST to arrival": lambda run: _spans_ms(run.sent.sent_ns, run.arrived_ns),
        "200 to arrival": lambda run: _spans_ms(run.sent.answered_ns, run.arrived_ns),
        "POST to 200": lambda run: _spans_ms(run.sent.sent_ns, run.sent.answered_ns),
    }
    return [
        Figure(
            f"{LOW_RATE_PER_S:g} events/s, {title}, p{percent}", "ms", [percentile(of(run), percent) for run in runs]
        )
        for title, of in spans.items()
        for percent in (50, 99)
    ]


def _spans_ms(since_ns: Iterable[int], until_ns: Iterable[int]) -> list[float]:
    return [(until - since) / 1e6 for since, until in zip(since_ns, until_ns, strict=True)]


def percentile(values: Iterable[float], percent: int) -> float:
    """The smallest value that `percent` of a hundred values do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]


def memory(rig: Rig, server: GatewayServer, options: Options) -> list[Figure]:
    """A server of its own: resident memory after a warm-up of a tenth, and after each quarter of the events."""
    events = options.events or MEMORY_EVENTS
    first = _resident_after(rig, server, options, events // 10)
    step = events // MEMORY_STEPS
    growths = [_resident_after(rig, server, options, step) - first for _ in range(MEMORY_STEPS)]
    return [
        Figure("resident memory after warm-up", "MiB", [first]),
        *(Figure(f"growth after {step * (n + 1):,} events", "MiB", [growth]) for n, growth in enumerate(growths)),
    ]


def _resident_after(rig: Rig, server: GatewayServer, options: Options, events: int) -> float:
    """MiB, after so many events, a fifth of them single and the others in batches."""
    singles = events // SINGLE_SHARE
    for kind, number in (("single", singles), ("batches", events - singles)):
        post(rig, server, _load(server, kind, number, options))
    time.sleep(min(SETTLE_S, options.seconds))
    resident_kib = server.resident_kib()
    if resident_kib is None:
        raise RunBroken("this system has no /proc to read the server's memory from")
    return resident_kib / 1024


def adapters_alone(rig: Rig, options: Options) -> list[Figure]:
    """Verified, decoded and normalized, without HTTP and store, on the server's core."""
    worker = Worker(readings.measure, rig.server_core, options.runs)
    try:
        measured: dict[str, list[float]] = worker.answer()
    finally:
        worker.end()
    return [
        Figure("all mappings compiled at the start", "s", measured["compile_s"]),
        Figure(
            f"SendGrid, {readings.BATCH} events verified and normalized",
            "events/s",
            [readings.BATCH / seconds for seconds in measured["batch_s"]],
        ),
        Figure("Mailgun, one request verified and normalized", "µs", [1e6 * each for each in measured["single_s"]]),
    ]


def machine_limits(rig: Rig, folder: Path, options: Options) -> list[Figure]:
    """The parts of the work alone, on the server's core."""
    seconds = min(options.seconds, LIMIT_SECONDS_MAX)
    bare = [_bare_posts(rig, options, seconds) for _ in range(options.runs)]
    worker = Worker(limits.measure, rig.server_core, folder, rig.sink_port, seconds)
    try:
        measured: dict[str, float] = worker.answer()
    finally:
        worker.end()
        rig.sink.ask("take")
    return [
        Figure(BARE_POSTS, "requests/s", [posts for posts, _ in bare]),
        Figure("bare ASGI POST, generator's share of its core", "%", [100 * share for _, share in bare]),
        *(Figure(_LIMIT_TITLES[name], unit, [measured[name]]) for name, unit in _LIMIT_UNITS.items()),
    ]


BARE_POSTS = "bare ASGI POST under uvicorn"
OUTBOUND_POSTS = "bare POST to the sink"
SQLITE_500 = "SQLite, 4 rows per event, 500 events a commit"
_LIMIT_TITLES = {
    "outbound_posts": OUTBOUND_POSTS,
    "sqlite_rows_500": SQLITE_500,
    "sqlite_rows_50": "SQLite, 4 rows per event, 50 events a commit",
    "sqlite_commits_1": "SQLite, commits of one row",
    "hmac_1kb": "HMAC-SHA256 of 1 kB",
    "json_events": "JSON encoding of a unified event",
}
_LIMIT_UNITS = {
    "outbound_posts": "requests/s",
    "sqlite_rows_500": "events/s",
    "sqlite_rows_50": "events/s",
    "sqlite_commits_1": "commits/s",
    "hmac_1kb": "/s",
    "json_events": "/s",
}


def _bare_posts(rig: Rig, options: Options, seconds: float) -> tuple[float, float]:
    port = free_port()
    with bare_server(limits.serve_bare, port, rig.server_core):
        _wait_for_port(port)
        rate, _ = flood_bare(rig, _bare_load(port, options.events or WARM_UP_EVENTS))
        return flood_bare(rig, _bare_load(port, options.events or _sized(rate * seconds)))


def _bare_load(port: int, events: int) -> Load:
    return Load(f"bare-{next(_run_numbers)}", "single", events, port, CONNECTIONS, timeout_s=30.0)


def _wait_for_port(port: int) -> None:
    deadline = time.monotonic() + BARE_START_TIMEOUT_S
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RunBroken(f"the bare server did not start within {BARE_START_TIMEOUT_S:g} s")


def _load(server: GatewayServer, kind: str, events: int, options: Options, rate_per_s: float | None = None) -> Load:
    timeout_s = 30.0 + 6 * options.seconds
    name = f"{kind}-{next(_run_numbers)}"
    return Load(name, kind, events, server.port, CONNECTIONS, timeout_s=timeout_s, rate_per_s=rate_per_s)


def _sized(events: float) -> int:
    """A whole number of batches."""
    return max(1, min(RUN_EVENTS_MAX, round(events)) // BATCH_ITEMS) * BATCH_ITEMS


class Ratio(NamedTuple):
    """One of our figures beside the limit it is measured by."""

    ours: str
    limit: str
    limit_per_s: float
    percent: float


def ratios(figures: Sequence[Figure]) -> list[Ratio]:
    """Ours against each limit that fits, where both were measured.

    "all of it in turn" adds up what one core needs for one event when it takes the request in, stores four rows and
    posts the event on, each at its limit.
    """
    by_name = {figure.name: figure.median for figure in figures}
    if not {BARE_POSTS, OUTBOUND_POSTS, SQLITE_500} <= by_name.keys():
        return []
    requests, posts, rows = (by_name[name] for name in (BARE_POSTS, OUTBOUND_POSTS, SQLITE_500))
    fitting: dict[str, dict[str, float]] = {
        "single events": {BARE_POSTS: requests, "all of it in turn": 1 / (1 / requests + 1 / posts + 1 / rows)},
        f"batches of {BATCH_ITEMS}": {
            SQLITE_500: rows,
            "all of it in turn": 1 / (1 / (BATCH_ITEMS * requests) + 1 / posts + 1 / rows),
        },
    }
    return [
        Ratio(ours, limit, per_s, 100 * by_name[f"{ours}, delivered and recorded"] / per_s)
        for ours, by_limit in fitting.items()
        if f"{ours}, delivered and recorded" in by_name
        for limit, per_s in by_limit.items()
    ]


MEASURES: dict[str, Any] = {"single": single, "batches": batches, "latency": latency, "memory": memory}
