"""One process, two workers and three, each with every core of the machine, and generator and sink on the same cores."""

from pathlib import Path

from bench.figures import Figure, Options, beside
from bench.machine import on_every_core
from bench.measures import throughput
from bench.requests import BATCH_ITEMS
from bench.rig import Rig, built
from bench.server import running

KINDS = {"single": "single events", "batches": f"batches of {BATCH_ITEMS}"}


def workers(_rig: Rig, folder: Path, options: Options) -> list[Figure]:
    """One process, two workers and three, nobody pinned: single events and batches of 50, and the memory of each."""
    with on_every_core(), built(pinned=False) as rig:
        alone, *others = (_served_by(rig, folder / str(number), options, number) for number in (1, 2, 3))
    return [*alone, *(figure for several in others for figure in beside(several, alone, "by one process"))]


def _served_by(rig: Rig, folder: Path, options: Options, number: int) -> list[Figure]:
    title = "by one process" if number == 1 else f"by {number} workers"
    with running(folder, None, rig.sink_port, workers=number) as server:
        figures = list[Figure]()
        for kind, events in KINDS.items():
            figures += throughput(rig, server, options, kind, f"{title}, {events}")
        return [*figures, Figure(f"{title}, memory of the largest process", "MiB", [max(server.resident_mib())])]
