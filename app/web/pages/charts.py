"""Small charts as SVG, drawn by the server; colours come from the style sheet by class.

A chart says in words what it shows: `label` is read out, and each bar has a title with its numbers.
"""

from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup

BAR_GAP = 0.2
"""Of a bar's place, what stays free."""


class Bar(NamedTuple):
    """One bar of a stack: what it is of, and its parts in the order of the names."""

    label: str
    parts: Sequence[float]


def sparkline(values: Sequence[float], label: str, *, width: int = 120, height: int = 28) -> Markup:
    """A line through the values, from left to right, above an area; flat at the bottom when there is nothing."""
    top = max(values, default=0) or 1
    step = width / max(len(values) - 1, 1)
    points = [f"{at * step:.1f},{height - 1 - value / top * (height - 2):.1f}" for at, value in enumerate(values)]
    line = " ".join(points)
    area = f"0,{height} {line} {width},{height}" if points else ""
    drawn = Markup('<polygon class="area" points="{}"/><polyline class="line" points="{}"/>').format(area, line)
    return svg("spark", width, height, label, drawn)


def stacked_bars(
    bars: Sequence[Bar], names: Sequence[str], label: str, *, width: int = 720, height: int = 140
) -> Markup:
    """Bars from left to right, each a stack of parts from below; a part has the class of its name."""
    top = max((sum(bar.parts) for bar in bars), default=0) or 1
    place = width / max(len(bars), 1)
    drawn = [_stack(bar, names, at * place, place, height, height / top) for at, bar in enumerate(bars)]
    return svg("bars", width, height, label, Markup("").join(drawn))


def _stack(bar: Bar, names: Sequence[str], left: float, place: float, height: float, scale: float) -> Markup:
    said = ", ".join(f"{name} {part:g}" for name, part in zip(names, bar.parts, strict=True))
    parts, bottom = list[Markup](), height
    for name, part in zip(names, bar.parts, strict=True):
        tall = part * scale
        bottom -= tall
        if part:
            place_of_part = f"{left + place * BAR_GAP / 2:.1f}", f"{bottom:.1f}", f"{place * (1 - BAR_GAP):.1f}"
            parts.append(
                Markup('<rect class="{}" x="{}" y="{}" width="{}" height="{}"/>').format(
                    name, *place_of_part, f"{tall:.1f}"
                )
            )
    return Markup("<g><title>{}: {}</title>{}</g>").format(bar.label, said, Markup("").join(parts))


_SVG = Markup(
    '<svg class="chart {}" viewBox="0 0 {} {}" preserveAspectRatio="none" role="img" aria-label="{}">{}</svg>'
)


def svg(kind: str, width: int, height: int, label: str, drawn: Markup) -> Markup:
    """A picture of that kind, as wide as the style sheet says; `label` is read out in place of it."""
    return _SVG.format(kind, width, height, label, drawn)
