"""The figures as a table on the terminal and as a JSON file."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.figures import Figure, Ratio

NAME_WIDTH_MIN = 62


def table(machine: Mapping[str, str], figures: Sequence[Figure], ratios: Sequence[Ratio]) -> str:
    """Everything a reader needs, in lines of text."""
    width = max(NAME_WIDTH_MIN, *(len(figure.name) for figure in figures))
    lines = [f"{name:<11} {value}" for name, value in machine.items()]
    lines += ["", f"{'':<{width}} {'median':>10}  {'min':>10} .. {'max':<10} unit"]
    lines += [_figure_line(figure, width) for figure in figures]
    if ratios:
        lines += ["", "beside the limit that fits"]
        named = [(f"{ratio.ours}: {ratio.limit}", ratio) for ratio in ratios]
        width = max(len(name) for name, _ in named)
        lines += [f"{name:<{width}} {number(ratio.value):>10}  → {ratio.percent:.0f} %" for name, ratio in named]
    return "\n".join(lines)


def _figure_line(figure: Figure, width: int) -> str:
    spread = f"{number(min(figure.values)):>10} .. {number(max(figure.values)):<10}" if len(figure.values) > 1 else ""
    return f"{figure.name:<{width}} {number(figure.median):>10}  {spread:<24} {figure.unit}"


def number(value: float) -> str:
    """As people read it: no decimals from a hundred on."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2f}"


def write_json(
    path: Path, machine: Mapping[str, str], figures: Sequence[Figure], ratios: Sequence[Ratio], run: Mapping[str, Any]
) -> None:
    """The same for machines; `run` holds the options and when it was."""
    document = {
        "run": dict(run),
        "machine": dict(machine),
        "figures": [
            figure._asdict() | {"median": figure.median, "limit": figure.limit and figure.limit._asdict()}
            for figure in figures
        ],
        "ratios": [ratio._asdict() for ratio in ratios],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
