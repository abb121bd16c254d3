"""Small charts as SVG, drawn by the server; colours come from the style sheet by class.

A chart says in words what it shows: `label` is read out, and each bar has a title with its numbers.
"""

from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup, escape

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
    drawn = f'<polygon class="area" points="{area}"/><polyline class="line" points="{line}"/>'
    return svg("spark", width, height, label, Markup(drawn))  # noqa: S704 - numbers


def stacked_bars(
    bars: Sequence[Bar], names: Sequence[str], label: str, *, width: int = 720, height: int = 140
) -> Markup:
    """Bars from left to right, each a stack of parts from below; a part has the class of its name."""
    top = max((sum(bar.parts) for bar in bars), default=0) or 1
    place = width / max(len(bars), 1)
    drawn = "".join(_stack(bar, names, at * place, place, height, height / top) for at, bar in enumerate(bars))
    return svg("bars", width, height, label, Markup(drawn))  # noqa: S704 - _stack escapes what is said


def _stack(bar: Bar, names: Sequence[str], left: float, place: float, height: float, scale: float) -> str:
    """Put together by hand: there may be hundreds of them in a page."""
    said = ", ".join(f"{name} {part:g}" for name, part in zip(names, bar.parts, strict=True))
    at, wide = f"{left + place * BAR_GAP / 2:.1f}", f"{place * (1 - BAR_GAP):.1f}"
    parts, bottom = list[str](), height
    for name, part in zip(names, bar.parts, strict=True):
        tall = part * scale
        bottom -= tall
        if part:
            parts.append(f'<rect class="{name}" x="{at}" y="{bottom:.1f}" width="{wide}" height="{tall:.1f}"/>')
    return f"<g><title>{escape(f'{bar.label}: {said}')}</title>{''.join(parts)}</g>"


_SVG = Markup(
    '<svg class="chart {}" viewBox="0 0 {} {}" preserveAspectRatio="none" role="img" aria-label="{}">{}</svg>'
)


def svg(kind: str, width: int, height: int, label: str, drawn: Markup) -> Markup:
    """A picture of that kind, as wide as the style sheet says; `label` is read out in place of it."""
    return _SVG.format(kind, width, height, label, drawn)
