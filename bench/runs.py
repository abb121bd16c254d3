"""Loads of one kind, posted again and again: as fast as the gateway takes them, or evenly spaced."""

from collections.abc import Callable, Iterable, Sequence
from itertools import count

from bench.figures import Figure, Options, percentile
from bench.generator import Load
from bench.rig import Rig, Run, post
from bench.server import GatewayServer

WARM_UP_EVENTS = 2_000
RUN_EVENTS_MAX = 60_000
WHOLE_BATCHES = 500
"""The sizes of runs are multiples of it where they can be, so that every batch is full."""
TIMEOUT_S, TIMEOUT_EVENTS_PER_S = 30.0, 200

_run_numbers = count(1)


def new_load(port: int, kind: str, events: int, options: Options, rate_per_s: float | None = None) -> Load:
    """A load with a name of its own; it may take as long as a gateway that does 200 events a second."""
    timeout_s = TIMEOUT_S + 6 * options.seconds + events / TIMEOUT_EVENTS_PER_S
    name = f"{kind}-{next(_run_numbers)}"
    return Load(name, kind, events, port, options.connections, timeout_s=timeout_s, rate_per_s=rate_per_s)


def sized(events: float) -> int:
    """A whole number of batches."""
    return max(1, min(RUN_EVENTS_MAX, round(events)) // WHOLE_BATCHES) * WHOLE_BATCHES


def post_events(rig: Rig, server: GatewayServer, kind: str, events: int, options: Options) -> Run:
    """One run of so many events, as fast as they are taken. Raises RunBroken."""
    return post(rig, server, new_load(server.port, kind, events, options))


def flood(rig: Rig, server: GatewayServer, kind: str, options: Options) -> list[Run]:
    """The counted runs, as fast as they are taken, after a warm-up that they are sized by."""
    warm_up = post_events(rig, server, kind, options.events or WARM_UP_EVENTS, options)
    events = options.events or sized(warm_up.events_per_s * options.seconds)
    return [post_events(rig, server, kind, events, options) for _ in range(options.runs)]


def spaced(rig: Rig, server: GatewayServer, rate_per_s: float, options: Options) -> list[Run]:
    """The counted runs of single events, evenly spaced, after a warm-up of a second."""
    events = options.events or round(rate_per_s * options.seconds)
    sizes = [min(events, round(rate_per_s)), *[events] * options.runs]
    loads = (new_load(server.port, "single", max(1, size), options, rate_per_s) for size in sizes)
    _warm_up, *runs = [post(rig, server, load) for load in loads]
    return runs


def processor_figures(title: str, runs: Sequence[Run]) -> list[Figure]:
    """What the runs cost; a server's core not in full use means that something else was waited for."""
    measured = [(run, run.server_cpu_s) for run in runs if run.server_cpu_s is not None]
    server = [
        Figure(f"{title}, server's core in use", "%", [100 * cpu_s / run.seconds for run, cpu_s in measured]),
        Figure(f"{title}, processor time per event", "µs", [1e6 * cpu_s / run.events for run, cpu_s in measured]),
    ]
    generator = [100 * run.generator_cpu_s / run.seconds for run in runs]
    return [*(server if measured else []), Figure(f"{title}, generator's share of its core", "%", generator)]


POST_TO_ARRIVAL, ANSWER_TO_ARRIVAL, POST_TO_ANSWER = "POST to arrival", "200 to arrival", "POST to 200"
_SPANS: dict[str, Callable[[Run], Iterable[float]]] = {
    POST_TO_ARRIVAL: lambda run: _spans_ms(run.sent.sent_ns, run.arrived_ns),
    ANSWER_TO_ARRIVAL: lambda run: _spans_ms(run.sent.answered_ns, run.arrived_ns),
    POST_TO_ANSWER: lambda run: _spans_ms(run.sent.sent_ns, run.sent.answered_ns),
}


def span_figures(title: str, runs: Sequence[Run], *spans: str) -> list[Figure]:
    """The 50th and 99th percentile of each of the spans, or of all three."""
    return [
        Figure(f"{title}, {span}, p{percent}", "ms", [percentile(_SPANS[span](run), percent) for run in runs])
        for span in spans or _SPANS
        for percent in (50, 99)
    ]


def _spans_ms(since_ns: Iterable[int], until_ns: Iterable[int]) -> list[float]:
    return [(until - since) / 1e6 for since, until in zip(since_ns, until_ns, strict=True)]
