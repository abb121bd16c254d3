"""What a measurement is asked for, and what it gives: figures, and the limits they are read against."""

import statistics
from collections.abc import Iterable, Sequence
from typing import NamedTuple


class Options(NamedTuple):
    """How long and how often: each counted run is sized to last about `seconds`, or posts exactly `events`."""

    seconds: float
    runs: int
    events: int | None = None
    scale: float = 1.0
    """What backlogs, logs and long runs are multiplied by."""
    connections: int = 64
    """On which as many requests are under way at once."""

    def scaled(self, number: int) -> int:
        """So many, or what the scale leaves of them."""
        return max(1, round(number * self.scale))


class Limit(NamedTuple):
    """What a figure is to be read against, in the figure's unit."""

    name: str
    value: float


class Figure(NamedTuple):
    """One line of the report."""

    name: str
    unit: str
    values: Sequence[float]
    """One per counted run."""
    limit: Limit | None = None
    scenario: str = ""
    """By which it was measured."""

    @property
    def median(self) -> float:
        return statistics.median(self.values)


class Ratio(NamedTuple):
    """One of our figures beside the limit it is measured by."""

    ours: str
    limit: str
    value: float
    """The limit's."""
    percent: float


def own_ratios(figures: Iterable[Figure]) -> list[Ratio]:
    """Of the figures that name their limit themselves; a share of nothing, or of less, says nothing."""
    return [
        Ratio(figure.name, figure.limit.name, figure.limit.value, 100 * figure.median / figure.limit.value)
        for figure in figures
        if figure.limit is not None and figure.limit.value > 0
    ]


def beside(figures: Sequence[Figure], limits: Sequence[Figure], title: str) -> list[Figure]:
    """The figures, each to be read against the one in its place among `limits`, which is called `title`."""
    return [figure._replace(limit=Limit(title, limit.median)) for figure, limit in zip(figures, limits, strict=True)]


def percentile(values: Iterable[float], percent: int) -> float:
    """The smallest value that `percent` of a hundred values do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]
