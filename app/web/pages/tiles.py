"""The numbers on top of the overview, and the chart below them: of roll-ups, by the bucket. Pure."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from math import ceil
from typing import Literal, NamedTuple

from markupsafe import Markup

from app.figures import EndpointFigures, SourceFigures, added_up, endpoint_figures, longest_wait_ms, source_figures
from app.store.rollups import HOUR_MS, MINUTE_MS
from app.store.stats import Counts
from app.web.pages.charts import Bar, sparkline, stacked_bars
from app.web.pages.words import NOTHING, count, duration, percent

RangeName = Literal["1h", "24h", "7d", "30d"]
DAY_MS = 24 * HOUR_MS


class Range(NamedTuple):
    """A choice of time: how it is called, how long it is, and the length of a bucket in words and milliseconds."""

    words: str
    length: int
    bucket_words: str
    bucket: int

    def starts(self, now: int) -> range:
        """Of its buckets; the last one is still going on."""
        until = ceil((now + 1) / self.bucket) * self.bucket
        return range(until - self.length, until, self.bucket)


RANGES: dict[RangeName, Range] = {
    "1h": Range("hour", HOUR_MS, "minute", MINUTE_MS),
    "24h": Range("24 hours", DAY_MS, "hour", HOUR_MS),
    "7d": Range("7 days", 7 * DAY_MS, "6 hours", 6 * HOUR_MS),
    "30d": Range("30 days", 30 * DAY_MS, "day", DAY_MS),
}

OUTCOMES = {
    "delivered": "The endpoint took it: 2xx",
    "refused": "The endpoint refused it: 3xx, 4xx",
    "failed": "The endpoint failed: 5xx",
    "unanswered": "No answer: timeout, connection, DNS, TLS",
}
_OUTCOME_OF = {"delivered": "delivered", "1xx": "refused", "3xx": "refused", "4xx": "refused", "5xx": "failed"}


class Tile(NamedTuple):
    """One number with what it is of, and how it went."""

    label: str
    value: str
    note: str
    line: Markup


class Chart(NamedTuple):
    """Attempts by what they came to."""

    picture: Markup
    top: int
    """Of the highest bar."""
    began_at: str
    totals: Mapping[str, int]
    rows: Sequence[tuple[str, Sequence[int]]]
    """The same in numbers: buckets that have any, the newest first."""


def tiles(came: Mapping[int, Counts], went: Mapping[int, Counts], chosen: Range) -> list[Tile]:
    """Of what came in and went out in each bucket, oldest first."""
    inbound, outbound = source_figures(added_up(came)), endpoint_figures(added_up(went))
    sources = [source_figures(counts) for counts in came.values()]
    endpoints = [endpoint_figures(counts) for counts in went.values()]
    by = f"by {chosen.bucket_words} over the last {chosen.words}"
    attempts = sum(outbound.attempts.values())
    return [
        Tile(
            "Events in",
            count(_events(inbound)),
            f"in {count(sum(inbound.receipts.values()))} requests",
            sparkline([_events(one) for one in sources], f"Events in, {by}"),
        ),
        Tile(
            "Delivery success",
            percent(outbound.success_rate),
            f"of {count(attempts)} attempts",
            sparkline(_carried([one.success_rate for one in endpoints]), f"Delivery success, {by}"),
        ),
        Tile(
            "Bounce rate",
            percent(inbound.bounce_rate),
            f"of {count(inbound.messages)} messages",
            sparkline(_carried([one.bounce_rate for one in sources]), f"Bounce rate, {by}"),
        ),
        Tile(
            "Complaint rate",
            percent(inbound.complaint_rate),
            f"of {count(inbound.messages)} messages",
            sparkline(_carried([one.complaint_rate for one in sources]), f"Complaint rate, {by}"),
        ),
        _latency(outbound, endpoints, by),
    ]


def longest_waits(went: Mapping[int, Counts], chosen: Range, waits_ms: float) -> Markup:
    """How long deliveries waited at the most; `waits_ms` is how long one has waited now."""
    *before, last = [longest_wait_ms(counts) for counts in went.values()]
    words = f"The longest wait for the end of a first attempt, by {chosen.bucket_words} over the last {chosen.words}"
    return sparkline([*before, max(last, waits_ms)], words)


def outcome_chart(went: Mapping[int, Counts], chosen: Range) -> Chart:
    """The attempts of each bucket, oldest first."""
    parts = {start: _outcomes(endpoint_figures(counts)) for start, counts in went.items()}
    bars = [Bar(_at(start, chosen), list(of_one.values())) for start, of_one in parts.items()]
    totals = {name: sum(of_one[name] for of_one in parts.values()) for name in OUTCOMES}
    said = ", ".join(f"{name} {number}" for name, number in totals.items())
    label = f"Attempts by outcome and {chosen.bucket_words} over the last {chosen.words}: {said}"
    return Chart(
        picture=stacked_bars(bars, list(OUTCOMES), label),
        top=max((sum(of_one.values()) for of_one in parts.values()), default=0),
        began_at=_at(min(parts), chosen),
        totals=totals,
        rows=[
            (_at(start, chosen), [*parts[start].values()]) for start in reversed(parts) if any(parts[start].values())
        ],
    )


def _latency(outbound: EndpointFigures, endpoints: Sequence[EndpointFigures], by: str) -> Tile:
    found = outbound.latency_ms
    line = sparkline(
        _carried([one.latency_ms.p95 if one.latency_ms else None for one in endpoints]),
        f"95 % of first attempts had ended within, {by}",
    )
    if found is None:
        return Tile("Time to delivery", NOTHING, "no first attempt yet", line)
    return Tile(
        "Time to delivery", duration(found.p50), f"p50 · p95 {duration(found.p95)} · p99 {duration(found.p99)}", line
    )


def _events(figures: SourceFigures) -> int:
    return sum(figures.events.values())


def _carried(values: Sequence[float | None]) -> list[float]:
    """A rate where nothing happened is as it was before."""
    known = next((value for value in values if value is not None), 0.0)
    carried = list[float]()
    for value in values:
        known = known if value is None else value
        carried.append(known)
    return carried


def _outcomes(figures: EndpointFigures) -> dict[str, int]:
    outcomes = dict.fromkeys(OUTCOMES, 0)
    for attempt, number in figures.attempts.items():
        outcomes[_OUTCOME_OF.get(attempt, "unanswered")] += number
    return outcomes


def _at(start: int, chosen: Range) -> str:
    moment = datetime.fromtimestamp(start / 1000, UTC)
    return f"{moment:%Y-%m-%d}" if chosen.bucket == DAY_MS else f"{moment:%Y-%m-%d %H:%M}"
