"""The figures as tables in a Markdown page, each in its place: what was not measured this time stays as it was.

A place is what stands between `<!-- figures of NAME -->` and `<!-- end of NAME -->`; NAME is one of `python -m bench
--help`, "machine", or "ratios" for our figures beside the machine's limits.
"""

import re
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path

from bench.figures import Figure, Ratio
from bench.report import number


class PlaceMissing(Exception):
    """The page has no place for what was measured."""


def write_into(
    page: Path, machine: Mapping[str, str], figures: Sequence[Figure], ratios: Sequence[Ratio], how: str
) -> None:
    """Puts each table into its place; `how` says when it was measured and by which command. Raises PlaceMissing."""
    text = page.read_text()
    places = {name: _table(list(found), how) for name, found in groupby(figures, key=lambda figure: figure.scenario)}
    if beside := [ratio for ratio in ratios if ratio.ours not in {figure.name for figure in figures}]:
        places["ratios"] = _ratios(beside)
    for name, table in {"machine": _machine(machine), **places}.items():
        text = _put(text, name, table)
    page.write_text(text)


def _put(text: str, name: str, table: str) -> str:
    place = re.compile(rf"(<!-- figures of {name} -->\n).*?(<!-- end of {name} -->)", re.DOTALL)
    if not place.search(text):
        raise PlaceMissing(f"the page has no `<!-- figures of {name} -->` with its `<!-- end of {name} -->`")
    return place.sub(lambda found: f"{found[1]}{table}{found[2]}", text)


def _machine(machine: Mapping[str, str]) -> str:
    return _rows(("the machine", ""), [(name, value) for name, value in machine.items() if name != "commit"])


def _table(figures: Sequence[Figure], how: str) -> str:
    head = ["", "median", "min to max", "unit"]
    with_limits = any(figure.limit for figure in figures)
    rows = [_row(figure, with_limits=with_limits) for figure in figures]
    return f"{how}\n\n" + _rows([*head, "beside", "of it"] if with_limits else head, rows)


def _row(figure: Figure, *, with_limits: bool) -> list[str]:
    spread = f"{number(min(figure.values))} to {number(max(figure.values))}" if len(figure.values) > 1 else ""
    row = [figure.name, number(figure.median), spread, figure.unit]
    if not with_limits:
        return row
    if (limit := figure.limit) is None:
        return [*row, "", ""]
    share = f"{100 * figure.median / limit.value:.0f} %" if limit.value > 0 else ""
    return [*row, f"{limit.name}: {number(limit.value)}", share]


def _ratios(ratios: Sequence[Ratio]) -> str:
    rows = [[ratio.ours, f"{ratio.limit}: {number(ratio.value)}", f"{ratio.percent:.0f} %"] for ratio in ratios]
    return _rows(("ours", "the limit, events/s", "ours is"), rows)


def _rows(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    marks = ["---:" if title in ("median", "of it", "ours is") else "---" for title in head]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in [head, marks, *rows])
