"""`python -m bench`: the usual measurements on loopback, in less than three minutes, or others; it stops by itself."""

import argparse
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

from bench import markdown, report
from bench.figures import Figure, Options
from bench.machine import ROOT, describe, load_average
from bench.measures import ON_ONE_SERVER, ratios
from bench.proof import RunBroken
from bench.rig import Rig, built
from bench.scenarios import NAMES, USUAL, WITH_A_FOLDER, explained
from bench.server import ServerBroken, running, use_workers

RESULTS = ROOT / "bench" / "results"
OTHERS = "others"
RUN_SECONDS_MAX, LONG_RUN_SECONDS_MAX = 600, 3_600


def main() -> int:
    """Measures what was asked for; 1 when an event was lost or doubled or the server broke."""
    asked = _arguments()
    options = Options(asked.seconds, asked.runs, asked.events, asked.scale, asked.connections)
    use_workers(asked.workers)
    began_at, load_before, began = datetime.now(UTC), load_average(), time.monotonic()
    RESULTS.mkdir(parents=True, exist_ok=True)
    # Beside the results and not under /tmp, which may lie in memory: there a durable commit would cost nothing.
    with tempfile.TemporaryDirectory(prefix="run-", dir=RESULTS) as folder:
        machine = describe(Path(folder))
        try:
            _end_after(RUN_SECONDS_MAX if set(asked.only) <= set(USUAL) else LONG_RUN_SECONDS_MAX)
            figures = _measure(Path(folder), asked.only, options)
        except (RunBroken, ServerBroken) as broken:
            print(f"bench: {broken}", file=sys.stderr)
            return 1
    run = {
        "began_at": began_at.isoformat(timespec="seconds"),
        "seconds": round(time.monotonic() - began, 1),
        "options": {**options._asdict(), "workers": asked.workers},
        "measured": asked.only,
        "load_average_before": load_before,
    }
    print(report.table(machine, figures, ratios(figures)))
    path = asked.json or RESULTS / f"{began_at:%Y%m%dT%H%M%SZ}.json"
    report.write_json(path, machine, figures, ratios(figures), run)
    print(f"\n{run['seconds']:.0f} s; load average before: {load_before}; JSON: {path}")
    if asked.page:
        command = " ".join(["python -m bench", *_named(sys.argv[1:])])
        how = f"`{command}` at {machine['commit']}, {began_at:%Y-%m-%d}:"
        markdown.write_into(asked.page, machine, figures, ratios(figures), how)
    return 0


def _named(arguments: Sequence[str]) -> Iterator[str]:
    """The arguments but for where the results go."""
    skipping = False
    for argument in arguments:
        if not skipping and argument not in ("--json", "--page"):
            yield argument
        skipping = argument in ("--json", "--page")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description=__doc__,
        epilog=f"What can be measured; without --only the first {len(USUAL)} are:\n\n{explained()}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seconds", type=float, default=4.0, help="about how long a counted run lasts (default 4)")
    parser.add_argument("--runs", type=int, default=3, help="counted runs, after a warm-up (default 3)")
    parser.add_argument("--events", type=int, help="post exactly so many events in every run, whatever --seconds says")
    parser.add_argument("--connections", type=int, default=64, help="on which events are posted at once (default 64)")
    parser.add_argument("--workers", type=int, default=1, help="processes of the server (default 1, kept on one core)")
    parser.add_argument("--scale", type=float, default=1.0, help="multiplies backlogs, logs and long runs (default 1)")
    parser.add_argument(
        "--only",
        nargs="+",
        choices=(*NAMES, OTHERS),
        default=USUAL,
        metavar="NAME",
        help=f"measure these alone, listed below; {OTHERS}: all that the usual run leaves out",
    )
    parser.add_argument("--json", type=Path, metavar="PATH", help="where the JSON goes (default bench/results/)")
    parser.add_argument(
        "--page", type=Path, metavar="PATH", help="a Markdown page whose tables are replaced, docs/performance.md"
    )
    asked = parser.parse_args()
    if OTHERS in asked.only:
        asked.only = [name for name in NAMES if name not in USUAL]
    return asked


def _measure(folder: Path, names: Sequence[str], options: Options) -> list[Figure]:
    figures = list[Figure]()
    with built() as rig:
        if together := [name for name in ON_ONE_SERVER if name in names]:
            figures += _on_one_server(rig, folder / "server", together, options)
        for name, scenario in WITH_A_FOLDER.items():
            if name in names:
                _say(name)
                figures += _of(name, scenario(rig, folder / name, options))
    return figures


def _of(name: str, figures: Sequence[Figure]) -> list[Figure]:
    return [figure._replace(scenario=name) for figure in figures]


def _on_one_server(rig: Rig, folder: Path, names: list[str], options: Options) -> list[Figure]:
    figures = list[Figure]()
    with running(folder, rig.server_core, rig.sink_port) as server:
        for name in names:
            _say(name)
            figures += _of(name, ON_ONE_SERVER[name](rig, server, options))
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
