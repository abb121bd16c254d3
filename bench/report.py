"""The figures as a table on the terminal and as a JSON file."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.measures import Figure, Ratio


def table(machine: Mapping[str, str], figures: Sequence[Figure], ratios: Sequence[Ratio]) -> str:
    """Everything a reader needs, in lines of text."""
    lines = [f"{name:<11} {value}" for name, value in machine.items()]
    lines += ["", f"{'':<62} {'median':>10}  {'min':>10} .. {'max':<10} unit"]
    lines += [_figure_line(figure) for figure in figures]
    if ratios:
        lines += ["", "beside the limit that fits"]
        lines += [
            f"{f'{ratio.ours}: {ratio.limit}':<62} {_number(ratio.limit_per_s):>10}  → {ratio.percent:.0f} %"
            for ratio in ratios
        ]
    return "\n".join(lines)


def _figure_line(figure: Figure) -> str:
    spread = f"{_number(min(figure.values)):>10} .. {_number(max(figure.values)):<10}" if len(figure.values) > 1 else ""
    return f"{figure.name:<62} {_number(figure.median):>10}  {spread:<24} {figure.unit}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2f}"


def write_json(
    path: Path, machine: Mapping[str, str], figures: Sequence[Figure], ratios: Sequence[Ratio], run: Mapping[str, Any]
) -> None:
    """The same for machines; `run` holds the options and when it was."""
    document = {
        "run": dict(run),
        "machine": dict(machine),
        "figures": [figure._asdict() | {"median": figure.median} for figure in figures],
        "ratios": [ratio._asdict() for ratio in ratios],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
