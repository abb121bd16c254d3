"""Everything that can be measured, by name."""

from collections.abc import Callable
from pathlib import Path

from bench.backlog import backlog
from bench.disk import disk
from bench.figures import Figure, Options
from bench.isolation import isolation
from bench.loaded import loaded
from bench.logs import log
from bench.measures import ON_ONE_SERVER, adapters_alone, machine_limits, memory
from bench.overload import overload
from bench.pages import pages
from bench.rig import Rig
from bench.subscribers import fanout, filters
from bench.workers import workers

Scenario = Callable[[Rig, Path, Options], list[Figure]]

USUAL = ("single", "batches", "latency", "memory", "adapters", "limits")
"""What is measured when nothing is named, in less than three minutes."""
WITH_A_FOLDER: dict[str, Scenario] = {
    "memory": memory,
    "adapters": adapters_alone,
    "limits": machine_limits,
    "isolation": isolation,
    "filters": filters,
    "fanout": fanout,
    "loaded": loaded,
    "overload": overload,
    "backlog": backlog,
    "log": log,
    "pages": pages,
    "disk": disk,
    "workers": workers,
}
"""Each has servers of its own."""
NAMES = (*ON_ONE_SERVER, *WITH_A_FOLDER)


def explained() -> str:
    """A line for each, those of the usual run first."""
    listed = [*USUAL, *(name for name in NAMES if name not in USUAL)]
    return "\n".join(f"  {name:<11} {_first_line(name)}" for name in listed)


def _first_line(name: str) -> str:
    described = ON_ONE_SERVER.get(name) or WITH_A_FOLDER[name]
    return (described.__doc__ or "").partition("\n")[0]
