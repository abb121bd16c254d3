"""Latency while the gateway has something to do: at shares of what it can do at most."""

from pathlib import Path

from bench.figures import Figure, Limit, Options
from bench.measures import part_limits
from bench.rig import Rig
from bench.runs import ANSWER_TO_ARRIVAL, POST_TO_ANSWER, flood, spaced, span_figures
from bench.server import running

SHARES = (10, 50, 80)


def loaded(rig: Rig, folder: Path, options: Options) -> list[Figure]:
    """Single events, evenly spaced, at 10 %, 50 % and 80 % of the capacity that was measured just before."""
    commit_ms = 1000 / part_limits(rig, folder, options, "sqlite_commits_1")["sqlite_commits_1"]
    limit = Limit("a durable commit of one row", commit_ms)
    with running(folder, rig.server_core, rig.sink_port) as server:
        capacity = Figure(
            "capacity, single events", "events/s", [run.events_per_s for run in flood(rig, server, "single", options)]
        )
        figures = [capacity]
        for share in SHARES:
            runs = spaced(rig, server, capacity.median * share / 100, options)
            title = f"at {share} % of capacity"
            figures += [
                *(figure._replace(limit=limit) for figure in span_figures(title, runs, POST_TO_ANSWER)),
                *span_figures(title, runs, ANSWER_TO_ARRIVAL),
            ]
    return figures
