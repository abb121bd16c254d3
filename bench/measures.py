"""The measurements of every run, and the machine's limits; each gives figures with their unit."""

import socket
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from bench import limits, readings
from bench.figures import Figure, Options, Ratio, own_ratios
from bench.proof import RunBroken
from bench.requests import BATCH_ITEMS, LARGE_BATCH_ITEMS
from bench.rig import Rig, Worker, bare_server, flood_bare, told_by
from bench.runs import WARM_UP_EVENTS, flood, new_load, post_events, processor_figures, sized, spaced, span_figures
from bench.server import GatewayServer, free_port, running

LOW_RATE_PER_S = 100.0
MEMORY_EVENTS, MEMORY_STEPS = 100_000, 4
SINGLE_SHARE = 5
SETTLE_S = 1.0
LIMIT_SECONDS_MAX = 2.0
BARE_START_TIMEOUT_S = 10.0


def single(rig: Rig, server: GatewayServer, options: Options) -> list[Figure]:
    """One event a request (Mailgun)."""
    return throughput(rig, server, options, "single", "single events")


def batches(rig: Rig, server: GatewayServer, options: Options) -> list[Figure]:
    """Fifty events a request (SendGrid)."""
    return throughput(rig, server, options, "batches", f"batches of {BATCH_ITEMS}")


def batches500(rig: Rig, server: GatewayServer, options: Options) -> list[Figure]:
    """Five hundred events a request (SendGrid)."""
    return throughput(rig, server, options, "batches500", f"batches of {LARGE_BATCH_ITEMS}")


def throughput(rig: Rig, server: GatewayServer, options: Options, kind: str, title: str) -> list[Figure]:
    """As many events of a kind as it takes, to their end."""
    runs = flood(rig, server, kind, options)
    return [
        Figure(f"{title}, delivered and recorded", "events/s", [run.events_per_s for run in runs]),
        Figure(f"{title}, accepted", "events/s", [run.accepted_per_s for run in runs]),
        *processor_figures(title, runs),
    ]


def latency(rig: Rig, server: GatewayServer, options: Options) -> list[Figure]:
    """Single events, evenly spaced at a low rate: how long after the POST, and after the 200, the sink has each."""
    return span_figures(f"{LOW_RATE_PER_S:g} events/s", spaced(rig, server, LOW_RATE_PER_S, options))


def memory(rig: Rig, folder: Path, options: Options) -> list[Figure]:
    """Resident memory after a warm-up of a tenth, and after each quarter of 100,000 events."""
    events = options.events or MEMORY_EVENTS
    step = events // MEMORY_STEPS
    with running(folder, rig.server_core, rig.sink_port) as server:
        first = _resident_after(rig, server, options, events // 10)
        growths = [_resident_after(rig, server, options, step) - first for _ in range(MEMORY_STEPS)]
    return [
        Figure("resident memory after warm-up", "MiB", [first]),
        *(Figure(f"growth after {step * (n + 1):,} events", "MiB", [growth]) for n, growth in enumerate(growths)),
    ]


def _resident_after(rig: Rig, server: GatewayServer, options: Options, events: int) -> float:
    """MiB, after so many events, a fifth of them single and the others in batches."""
    singles = events // SINGLE_SHARE
    for kind, number in (("single", singles), ("batches", events - singles)):
        post_events(rig, server, kind, number, options)
    time.sleep(min(SETTLE_S, options.seconds))
    return resident_mib(server)


def resident_mib(server: GatewayServer) -> float:
    """The memory of the server's processes together. Raises RunBroken where it cannot be told."""
    if not (resident := server.resident_mib()):
        raise RunBroken("this system has no /proc to read the server's memory from")
    return sum(resident)


def adapters_alone(rig: Rig, _folder: Path, options: Options) -> list[Figure]:
    """Verified, decoded and normalized, without HTTP and store, on the server's core."""
    measured: dict[str, list[float]] = told_by(Worker(readings.measure, rig.server_core, options.runs))
    return [
        Figure("all mappings compiled", "s", measured["compile_s"]),
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
    measured = part_limits(rig, folder, options, *_LIMIT_UNITS)
    return [
        Figure(BARE_POSTS, "requests/s", [posts for posts, _ in bare]),
        Figure("bare ASGI POST, generator's share of its core", "%", [100 * share for _, share in bare]),
        *(Figure(_LIMIT_TITLES[name], unit, [measured[name]]) for name, unit in _LIMIT_UNITS.items()),
    ]


def part_limits(rig: Rig, folder: Path, options: Options, *names: str) -> dict[str, float]:
    """Some of the parts alone, in operations a second."""
    folder.mkdir(parents=True, exist_ok=True)
    seconds = min(options.seconds, LIMIT_SECONDS_MAX)
    worker = Worker(limits.measure, rig.server_core, folder, rig.sink_port, seconds, names)
    try:
        return told_by(worker)
    finally:
        rig.sink.ask("take")


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
        rate, _ = flood_bare(rig, new_load(port, "single", options.events or WARM_UP_EVENTS, options))
        return flood_bare(rig, new_load(port, "single", options.events or sized(rate * seconds), options))


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


def ratios(figures: Sequence[Figure]) -> list[Ratio]:
    """Ours against each limit that fits, where both were measured, and against those that figures name themselves.

    "all of it in turn" adds up what one core needs for one event when it takes the request in, stores four rows and
    posts the event on, each at its limit.
    """
    by_name = {figure.name: figure.median for figure in figures}
    if not {BARE_POSTS, OUTBOUND_POSTS, SQLITE_500} <= by_name.keys():
        return own_ratios(figures)
    requests, posts, rows = (by_name[name] for name in (BARE_POSTS, OUTBOUND_POSTS, SQLITE_500))
    fitting: dict[str, dict[str, float]] = {
        "single events": {BARE_POSTS: requests, "all of it in turn": 1 / (1 / requests + 1 / posts + 1 / rows)}
    }
    for items in (BATCH_ITEMS, LARGE_BATCH_ITEMS):
        in_turn = 1 / (1 / (items * requests) + 1 / posts + 1 / rows)
        fitting[f"batches of {items}"] = {SQLITE_500: rows, "all of it in turn": in_turn}
    beside_the_machine = [
        Ratio(ours, limit, per_s, 100 * by_name[f"{ours}, delivered and recorded"] / per_s)
        for ours, by_limit in fitting.items()
        if f"{ours}, delivered and recorded" in by_name
        for limit, per_s in by_limit.items()
    ]
    return [*beside_the_machine, *own_ratios(figures)]


ON_ONE_SERVER: dict[str, Callable[[Rig, GatewayServer, Options], list[Figure]]] = {
    "single": single,
    "batches": batches,
    "latency": latency,
    "batches500": batches500,
}
"""By name; those that are wanted share a server, in this order."""
