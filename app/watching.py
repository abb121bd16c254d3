"""What alert rules watch, and how what was counted is judged: the value, and the sentence that says so."""

from collections.abc import Callable
from typing import NamedTuple

import msgspec

from app.figures import endpoint_figures, source_figures
from app.store.rollups import ENDPOINT, SOURCE
from app.store.stats import Counts

CLEARED_SHARE = 0.8
"""An alert ends when the value falls below this part of the threshold, so that it does not come and go at the edge."""


SILENCE, BACKLOG = "source_silent", "backlog_age"
"""The kinds that are about a length of time, and not about what was counted in a window."""


class Limits(msgspec.Struct, frozen=True):
    """The numbers of a rule."""

    threshold: float
    window_s: int
    min_count: int


class Observed(msgspec.Struct, frozen=True):
    """What there is to judge of one source or endpoint."""

    counts: Counts = {}
    """Of the window."""
    due_for_s: float = 0
    """How long the oldest due delivery has waited."""
    silent_for_s: float | None = None
    """None where nothing was ever heard."""
    usual_pause_s: float | None = None
    """At this hour; None where there is no habit yet."""
    active_times: int = 0
    """The minutes and hours that the habit was learnt from."""


class Judgement(msgspec.Struct, frozen=True):
    """What follows; when it neither `fires` nor `clears`, an alert stays as it is."""

    fires: bool
    clears: bool
    summary: str
    numbers: dict[str, float | int]

    @property
    def value(self) -> float | None:
        """What was compared with the threshold."""
        return self.numbers.get("value")


class Kind(NamedTuple):
    """Something that can be watched: of sources or endpoints, with the numbers of a rule that says nothing else."""

    of: str
    limits: Limits
    threshold_max: float
    rule: str
    """The rule as a sentence, with places for whom it is about and for its numbers."""
    judge: Callable[[Observed, Limits, str], Judgement]
    """Judges what was observed of one, who is called so."""


def span(seconds: float) -> str:
    """A length of time for people: "90 s", "15 min", "2 h", "3 days"."""
    for unit, length in (("days", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length or (seconds == length and unit != "days"):
            return f"{seconds / length:.3g} {unit}"
    return f"{seconds:.3g} s"


def percent(share: float) -> str:
    """A share for people: "6.4 %"."""
    return f"{share * 100:.3g} %"


def _rate(what: str, base: str, verb: str, rate: float | None, count: int, limits: Limits, whom: str) -> Judgement:
    numbers: dict[str, float | int] = {"threshold": limits.threshold, "count": count, "window_s": limits.window_s}
    if rate is None:
        nothing = f"There were no {what} {base} {whom} in the last {span(limits.window_s)}."
        return Judgement(fires=False, clears=True, summary=nothing, numbers=numbers)
    summary = (
        f"Of {count} {what} {base} {whom} in the last {span(limits.window_s)}, {percent(rate)} {verb}; "
        f"the threshold is {percent(limits.threshold)}."
    )
    return Judgement(
        fires=count >= limits.min_count and rate >= limits.threshold,
        clears=rate < CLEARED_SHARE * limits.threshold,
        summary=summary,
        numbers={"value": rate, **numbers},
    )


def _failure_rate(observed: Observed, limits: Limits, whom: str) -> Judgement:
    figures = endpoint_figures(observed.counts)
    failed = None if figures.success_rate is None else round(1 - figures.success_rate, 6)
    return _rate("attempts", "at", "failed", failed, sum(figures.attempts.values()), limits, whom)


def _bounce_rate(observed: Observed, limits: Limits, whom: str) -> Judgement:
    figures = source_figures(observed.counts)
    return _rate("messages", "of", "bounced", figures.bounce_rate, figures.messages, limits, whom)


def _complaint_rate(observed: Observed, limits: Limits, whom: str) -> Judgement:
    figures = source_figures(observed.counts)
    return _rate("messages", "of", "were complained of", figures.complaint_rate, figures.messages, limits, whom)


def _number(status: str, what: str) -> Callable[[Observed, Limits, str], Judgement]:
    """Judges how many receipts there were of that status."""

    def judge(observed: Observed, limits: Limits, whom: str) -> Judgement:
        count = observed.counts.get(f"receipt.{status}", 0)
        return Judgement(
            fires=count >= limits.threshold,
            clears=count < CLEARED_SHARE * limits.threshold,
            summary=f"{count} requests to {whom} in the last {span(limits.window_s)} {what}; "
            f"the threshold is {limits.threshold:g}.",
            numbers={"value": count, "threshold": limits.threshold, "window_s": limits.window_s},
        )

    return judge


def _backlog_age(observed: Observed, limits: Limits, whom: str) -> Judgement:
    age = round(observed.due_for_s)
    waits = f"The oldest due delivery to {whom} has waited for {span(age)}; the threshold is {span(limits.threshold)}."
    return Judgement(
        fires=age >= limits.threshold,
        clears=age < CLEARED_SHARE * limits.threshold,
        summary=waits if age else f"Nothing that is due to {whom} waits any more.",
        numbers={"value": age, "threshold": limits.threshold},
    )


def _source_silent(observed: Observed, limits: Limits, whom: str) -> Judgement:
    silent, pause = round(observed.silent_for_s or 0), observed.usual_pause_s
    allowed = max(limits.window_s, limits.threshold * (pause or 0))
    speaks = observed.silent_for_s is not None and silent < limits.window_s
    habit = f"it usually pauses for {span(pause)} at most" if pause else "it usually does not pause"
    return Judgement(
        fires=pause is not None and observed.active_times >= limits.min_count and silent >= allowed,
        clears=speaks,
        summary=f"{whom} sends again." if speaks else f"Nothing has come from {whom} for {span(silent)}; {habit}.",
        numbers={"value": silent, "threshold": round(allowed), "habit_s": round(pause or 0)},
    )


KINDS: dict[str, Kind] = {
    "failure_rate": Kind(
        of=ENDPOINT,
        limits=Limits(0.5, 900, 20),
        threshold_max=1,
        rule="Of at least {min_count} attempts at {whom} within {window}, {percent} or more fail.",
        judge=_failure_rate,
    ),
    BACKLOG: Kind(
        of=ENDPOINT,
        limits=Limits(900, 60, 1),
        threshold_max=604_800,
        rule="A delivery to {whom} has been due for {span}.",
        judge=_backlog_age,
    ),
    "bounce_rate": Kind(
        of=SOURCE,
        limits=Limits(0.05, 86_400, 200),
        threshold_max=1,
        rule="Of at least {min_count} messages of {whom} within {window}, {percent} or more bounce.",
        judge=_bounce_rate,
    ),
    "complaint_rate": Kind(
        of=SOURCE,
        limits=Limits(0.001, 86_400, 2_000),
        threshold_max=1,
        rule="Of at least {min_count} messages of {whom} within {window}, {percent} or more are complained of.",
        judge=_complaint_rate,
    ),
    "rejected": Kind(
        of=SOURCE,
        limits=Limits(20, 900, 1),
        threshold_max=1_000_000,
        rule="{number} or more requests to {whom} within {window} do not verify.",
        judge=_number("rejected", "did not verify"),
    ),
    "quarantined": Kind(
        of=SOURCE,
        limits=Limits(10, 3_600, 1),
        threshold_max=1_000_000,
        rule="{number} or more requests to {whom} within {window} cannot be read in full.",
        judge=_number("quarantined", "could not be read in full"),
    ),
    SILENCE: Kind(
        of=SOURCE,
        limits=Limits(2, 7_200, 20),
        threshold_max=100,
        rule="Nothing comes from {whom} for {number} times as long as it usually pauses around that hour, "
        "and for {window} at least.",
        judge=_source_silent,
    ),
}
"""By the word of the API."""


def rule_sentence(kind: str, limits: Limits, whom: str) -> str:
    """The rule in words; `whom` is "every source", or what the one is called."""
    return KINDS[kind].rule.format(
        whom=whom,
        min_count=limits.min_count,
        window=span(limits.window_s),
        percent=percent(limits.threshold),
        number=f"{limits.threshold:g}",
        span=span(limits.threshold),
    )
