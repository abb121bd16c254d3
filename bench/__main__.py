"""`python -m bench`: everything in one run, on loopback, in less than three minutes; it stops by itself."""

import argparse
import signal
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

from bench import report
from bench.machine import ROOT, describe, load_average
from bench.measures import MEASURES, Figure, Options, adapters_alone, machine_limits, memory, ratios
from bench.proof import RunBroken
from bench.rig import Rig, built
from bench.server import ServerBroken, running

RESULTS = ROOT / "bench" / "results"
ADAPTERS, LIMITS = "adapters", "limits"
RUN_SECONDS_MAX = 600


def main() -> int:
    """Measures what was asked for; 1 when an event was lost or doubled or the server broke."""
    asked = _arguments()
    options = Options(asked.seconds, asked.runs, asked.events)
    began_at, load_before, began = datetime.now(UTC), load_average(), time.monotonic()
    RESULTS.mkdir(parents=True, exist_ok=True)
    # Beside the results and not under /tmp, which may lie in memory: there a durable commit would cost nothing.
    with tempfile.TemporaryDirectory(prefix="run-", dir=RESULTS) as folder:
        machine = describe(Path(folder))
        try:
            _end_after(RUN_SECONDS_MAX)
            figures = _measure(Path(folder), asked.only, options)
        except (RunBroken, ServerBroken) as broken:
            print(f"bench: {broken}", file=sys.stderr)
            return 1
    run = {
        "began_at": began_at.isoformat(timespec="seconds"),
        "seconds": round(time.monotonic() - began, 1),
        "options": options._asdict(),
        "load_average_before": load_before,
    }
    print(report.table(machine, figures, ratios(figures)))
    path = asked.json or RESULTS / f"{began_at:%Y%m%dT%H%M%SZ}.json"
    report.write_json(path, machine, figures, ratios(figures), run)
    print(f"\n{run['seconds']:.0f} s; load average before: {load_before}; JSON: {path}")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--seconds", type=float, default=4.0, help="about how long a counted run lasts (default 4)")
    parser.add_argument("--runs", type=int, default=3, help="counted runs, after a warm-up (default 3)")
    parser.add_argument("--events", type=int, help="post exactly so many events in every run, whatever --seconds says")
    parser.add_argument("--only", choices=[*MEASURES, ADAPTERS, LIMITS], help="measure this alone")
    parser.add_argument("--json", type=Path, metavar="PATH", help="where the JSON goes (default bench/results/)")
    return parser.parse_args()


def _measure(folder: Path, only: str | None, options: Options) -> list[Figure]:
    figures = list[Figure]()
    with built() as rig:
        wanted = [name for name in MEASURES if only in (None, name) and name != "memory"]
        if wanted:
            figures += _on_one_server(rig, folder / "server", wanted, options)
        if only in (None, "memory"):
            with running(folder / "memory", rig.server_core, rig.sink_port) as server:
                _say("memory")
                figures += memory(rig, server, options)
        if only in (None, ADAPTERS):
            _say(ADAPTERS)
            figures += adapters_alone(rig, options)
        if only in (None, LIMITS):
            _say(LIMITS)
            figures += machine_limits(rig, folder, options)
    return figures


def _on_one_server(rig: Rig, folder: Path, names: list[str], options: Options) -> list[Figure]:
    figures = list[Figure]()
    with running(folder, rig.server_core, rig.sink_port) as server:
        for name in names:
            _say(name)
            figures += MEASURES[name](rig, server, options)
    return figures


def _end_after(seconds: int) -> None:
    """The last resort: no run is worth more time, whatever hangs. Being told to end leaves nothing behind either."""

    def too_late(_signal: int, _frame: FrameType | None) -> None:
        raise RunBroken(f"not finished within {seconds} s")

    def told_to_end(_signal: int, _frame: FrameType | None) -> None:
        sys.exit("bench: told to end")  # on the way out the server is stopped and its folder removed

    signal.signal(signal.SIGTERM, told_to_end)
    signal.signal(signal.SIGALRM, too_late)
    signal.alarm(seconds)


def _say(name: str) -> None:
    print(f"measuring {name} ...", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
