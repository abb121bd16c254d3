"""What becomes of more than the gateway can take: how much is taken, how the rest is told, and what it costs."""

import time
from pathlib import Path

from bench.figures import Figure, Options, percentile
from bench.generator import Sent
from bench.proof import RunBroken
from bench.requests import email_ids
from bench.rig import POLL_S, Rig
from bench.runs import flood, new_load
from bench.server import GatewayServer, running

TIMES = 3
CONNECTIONS = 1_000
EVENTS_MAX = 40_000
TAKEN, REFUSED = 200, 503


def overload(rig: Rig, folder: Path, options: Options) -> list[Figure]:
    """Single events on 1,000 connections, offered at three times the capacity that was measured just before."""
    with running(folder, rig.server_core, rig.sink_port) as server:
        capacity = Figure(
            "capacity, single events", "events/s", [run.events_per_s for run in flood(rig, server, "single", options)]
        )
        rate_per_s = TIMES * capacity.median
        runs = [_offer(rig, server, rate_per_s, options) for _ in range(options.runs)]
        peak = server.peak_mib()
    answered = [sorted(_times_ms(run, TAKEN)) for run in runs]
    return [
        capacity,
        Figure(f"offered at {TIMES} times the capacity, answered 200", "events/s", [_rate(run, TAKEN) for run in runs]),
        Figure(f"offered at {TIMES} times the capacity, refused", "requests/s", [_rate(run, REFUSED) for run in runs]),
        Figure("POST to 200 under overload, p50", "ms", [percentile(times, 50) for times in answered]),
        Figure("POST to 200 under overload, p99", "ms", [percentile(times, 99) for times in answered]),
        *([] if peak is None else [Figure("resident memory at its peak", "MiB", [peak])]),
    ]


def _offer(rig: Rig, server: GatewayServer, rate_per_s: float, options: Options) -> Sent:
    """One run. Raises RunBroken unless what was answered 200 arrived, and nothing else was."""
    events = options.events or min(EVENTS_MAX, round(rate_per_s * options.seconds))
    load = new_load(server.port, "single", events, options, rate_per_s)._replace(connections=CONNECTIONS)
    before = server.stored()
    rig.generator.ask(load)
    rig.generator.send("go")
    sent: Sent = rig.generator.answer(waits_s=load.timeout_s)
    if sent.failure or set(sent.refused) - {REFUSED}:
        raise RunBroken(f"{load.name}: {sent.failure or f'answers other than 200 and {REFUSED}: {sent.refused}'}")
    deadline = time.monotonic() + load.timeout_s
    while not server.owes_nothing():
        if time.monotonic() > deadline:
            raise RunBroken(f"{load.name}: not everything was sent within {load.timeout_s:g} s")
        time.sleep(POLL_S)
    names = email_ids(load.name, load.events)
    taken = {name for name, status in zip(names, sent.statuses, strict=True) if status == TAKEN}
    arrived = {arrival.email_id for arrival in rig.sink.ask("take")}
    if arrived != taken or server.stored().events - before.events != len(taken):
        raise RunBroken(f"{load.name}: {len(taken)} requests were answered 200, and {len(arrived)} of them arrived")
    return sent


def _times_ms(run: Sent, status: int) -> list[float]:
    spans = zip(run.sent_ns, run.answered_ns, run.statuses, strict=True)
    return [(answered - sent) / 1e6 for sent, answered, answer in spans if answer == status] or [0.0]


def _rate(run: Sent, status: int) -> float:
    return list(run.statuses).count(status) / ((max(run.answered_ns) - min(run.sent_ns)) / 1e9)
