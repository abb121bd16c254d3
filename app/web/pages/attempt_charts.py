"""Attempts as small SVGs: where the time of one went, and how the last ones to an endpoint ended."""

from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup

from app.outcome import Timing
from app.web.pages.charts import svg

STAGES = (("dns", "DNS"), ("connect", "connect"), ("tls", "TLS"), ("wait", "wait"), ("read", "read"))
BAR_WIDTH, BAR_HEIGHT, MARK_SEEN = 240, 12, 1.5
STRIP_HEIGHT, MARK_WIDTH, MARK_PLACE = 28, 6, 8


class Mark(NamedTuple):
    """One attempt of a strip; `label` says all of it."""

    delivered: bool
    label: str


def stages_of(timing: Timing) -> list[tuple[str, float]]:
    """What the time went into, in its order: ("DNS", 1.25), in milliseconds; without what did not happen."""
    times = [(name, getattr(timing, f"{field}_ms")) for field, name in STAGES]
    return [(name, spent) for name, spent in times if spent is not None]


def timing_bar(timing: Timing, longest_ms: float) -> Markup:
    """The stages beside each other; the bar is as wide as the picture where it took `longest_ms`."""
    scale, left = BAR_WIDTH / max(longest_ms, timing.total_ms, 1.0), 0.0
    drawn = [Markup('<rect class="rest" x="0" y="5" width="{:.1f}" height="2"/>').format(timing.total_ms * scale)]
    for field, name in STAGES:
        spent = getattr(timing, f"{field}_ms")
        if spent is None:
            continue
        wide = max(spent * scale, MARK_SEEN)
        drawn.append(
            Markup('<rect class="{}" x="{:.1f}" y="0" width="{:.1f}" height="{}"><title>{} {}</title></rect>').format(
                field, min(left, BAR_WIDTH - wide), wide, BAR_HEIGHT, name, milliseconds(spent)
            )
        )
        left += spent * scale
    return svg("timing", BAR_WIDTH, BAR_HEIGHT, timing_words(timing), Markup("").join(drawn))


def timing_words(timing: Timing) -> str:
    """ "DNS 1 ms, connect 2 ms, wait 31 ms"."""
    return ", ".join(f"{name} {milliseconds(spent)}" for name, spent in stages_of(timing)) or "no connection"


def attempt_strip(marks: Sequence[Mark]) -> Markup:
    """A mark for each attempt, the newest at the right: low where it was delivered, of full height where it failed."""
    drawn = [_mark(mark, at * MARK_PLACE) for at, mark in enumerate(marks)]
    failed = sum(not mark.delivered for mark in marks)
    label = f"The last {len(marks)} attempts: {len(marks) - failed} delivered, {failed} failed"
    return svg("strip", max(len(marks), 1) * MARK_PLACE, STRIP_HEIGHT, label, Markup("").join(drawn))


def milliseconds(spent: float) -> str:
    """A time to be read: 0.4 ms, 31 ms, 2.5 s, 5.1 min."""
    if spent < 1:
        return f"{spent:.1f} ms"
    if spent < 1_000:
        return f"{spent:.0f} ms"
    return f"{spent / 1_000:.1f} s" if spent < 60_000 else f"{spent / 60_000:.1f} min"


def _mark(mark: Mark, left: int) -> Markup:
    tall = STRIP_HEIGHT / 2 if mark.delivered else STRIP_HEIGHT
    return Markup('<rect class="{}" x="{}" y="{:.0f}" width="{}" height="{:.0f}"><title>{}</title></rect>').format(
        "good" if mark.delivered else "bad", left, STRIP_HEIGHT - tall, MARK_WIDTH, tall, mark.label
    )
