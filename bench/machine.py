"""The machine: which core does what, and what it says of itself."""

import os
import platform
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

PACKAGES = (
    "aiosqlite",
    "cryptography",
    "httptools",
    "litestar",
    "msgspec",
    "sqlalchemy",
    "uvicorn",
    "uvloop",
)
ROOT = Path(__file__).resolve().parent.parent
_USABLE = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set[int]()
"""The cores that there are before anybody is pinned."""


def cores() -> tuple[int, int] | None:
    """(core of generator and sink, core of the server), or None where there is one core or no pinning."""
    if not hasattr(os, "sched_getaffinity"):
        return None
    usable = sorted(os.sched_getaffinity(0))
    return (usable[0], usable[1]) if len(usable) > 1 else None


@contextmanager
def on_every_core() -> Iterator[None]:
    """What is started inside runs where the system puts it."""
    if not _USABLE:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, _USABLE)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def on_core(core: int | None) -> Iterator[None]:
    """What is started inside runs on that core alone, its threads too."""
    if core is None:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def describe(folder: Path) -> dict[str, str]:
    """What a reader needs to judge the figures; `folder` is where the database of the runs lies."""
    pinned = cores()
    return {
        "cpu": _cpu_model(),
        "cores": str(os.cpu_count()),
        "pinned": f"server on core {pinned[1]}, generator and sink on core {pinned[0]}" if pinned else "not pinned",
        "kernel": f"{platform.system()} {platform.release()}",
        "filesystem": _filesystem(folder),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "packages": ", ".join(f"{name} {version(name)}" for name in PACKAGES),
        "commit": _commit(),
    }


def load_average() -> float | None:
    """How many processes wanted to run in the last minute, to tell whether others disturbed the runs."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def _cpu_model() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _filesystem(folder: Path) -> str:
    """The type of the file system that `folder` lies on: on tmpfs a durable commit costs nothing."""
    mounts = Path("/proc/mounts")
    if not mounts.exists():
        return "unknown"
    rows = [line.split(" ") for line in mounts.read_text().splitlines()]
    holding = [row for row in rows if folder.resolve().is_relative_to(row[1])]
    return max(holding, key=lambda row: len(row[1]))[2] if holding else "unknown"


def _commit() -> str:
    try:
        asked = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return asked.stdout.strip()
