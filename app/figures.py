"""What the counts of a stretch of time amount to: rates, percentiles, and the counts by their kind."""

from collections.abc import Mapping

import msgspec

from app.store.rollups import BOUNDS_MS
from app.store.stats import Counts


class Percentiles(msgspec.Struct, frozen=True):
    """Milliseconds that half, 95 % and 99 % stay below; estimates, within a fifth of the truth."""

    p50: float
    p95: float
    p99: float


class SourceFigures(msgspec.Struct, frozen=True, kw_only=True):
    """What came in."""

    receipts: Mapping[str, int]
    """Requests by status: accepted, duplicate, quarantined, rejected."""
    events: Mapping[str, int]
    """New events by type."""
    bounces: Mapping[str, int]
    """Of email.bounced, by class."""
    messages: int
    """As many messages as the events tell of; the rates are of these."""
    bounce_rate: float | None
    """None where nothing but bounces and complaints is known of the messages."""
    complaint_rate: float | None


class EndpointFigures(msgspec.Struct, frozen=True, kw_only=True):
    """What went out."""

    attempts: Mapping[str, int]
    """By outcome: delivered, 5xx, 4xx, 3xx, or why there was no answer: timeout, connect, dns, tls, …"""
    delivered: int
    """Deliveries that were."""
    failed: int
    """Deliveries that were given up."""
    success_rate: float | None
    """Of the attempts, the part that was answered with 2xx; None when there was none."""
    duration_ms: Percentiles | None
    """How long the attempts took."""
    latency_ms: Percentiles | None
    """From the arrival of an event to the end of its first attempt."""


def source_figures(counts: Counts) -> SourceFigures:
    """Of the counts of sources."""
    events = _named(counts, "event")
    bounced, complained = events.get("email.bounced", 0), events.get("email.complaint", 0)
    carried = max(events.get("email.accepted", 0), events.get("email.sent", 0))
    delivered = events.get("email.delivered", 0)
    messages = max(carried, delivered + bounced)
    known = carried + delivered > 0
    return SourceFigures(
        receipts=_named(counts, "receipt"),
        events=events,
        bounces=_named(counts, "bounce"),
        messages=messages,
        bounce_rate=_rate(bounced, messages) if known else None,
        complaint_rate=_rate(complained, messages) if known else None,
    )


def endpoint_figures(counts: Counts) -> EndpointFigures:
    """Of the counts of endpoints."""
    attempts = _named(counts, "attempt")
    made, delivered = sum(attempts.values()), attempts.get("delivered", 0)
    return EndpointFigures(
        attempts=attempts,
        delivered=delivered,
        failed=counts.get("delivery.failed", 0),
        success_rate=_rate(delivered, made) if made else None,
        duration_ms=_percentiles(counts, "duration"),
        latency_ms=_percentiles(counts, "latency"),
    )


def longest_wait_ms(counts: Counts) -> float:
    """From the arrival of an event to the end of its first attempt, the longest there was; 0 without any."""
    buckets = [int(number) for number in _named(counts, "latency")]
    return BOUNDS_MS[min(max(buckets), len(BOUNDS_MS) - 1)] if buckets else 0.0


def added_up(parts: Mapping[int, Counts]) -> Counts:
    """The counts of all parts."""
    total: dict[str, int] = {}
    for counts in parts.values():
        for measure, count in counts.items():
            total[measure] = total.get(measure, 0) + count
    return total


def _named(counts: Counts, group: str) -> Mapping[str, int]:
    """The counts of a group of measures, by what follows its name."""
    prefix = f"{group}."
    return {name.removeprefix(prefix): counts[name] for name in sorted(counts) if name.startswith(prefix)}


def _rate(part: int, whole: int) -> float:
    return round(min(1.0, part / whole), 6)


def _percentiles(counts: Counts, group: str) -> Percentiles | None:
    buckets = {int(number): count for number, count in _named(counts, group).items()}
    if not buckets:
        return None
    return Percentiles(*(_percentile(buckets, share) for share in (0.5, 0.95, 0.99)))


def _percentile(buckets: Mapping[int, int], share: float) -> float:
    """Where in its bucket the wanted one lies is estimated as if they were spread evenly there."""
    wanted = share * sum(buckets.values())
    below = 0
    for number in sorted(buckets):
        if below + buckets[number] >= wanted:
            lower = BOUNDS_MS[number - 1] if number else 0.0
            upper = BOUNDS_MS[min(number, len(BOUNDS_MS) - 1)]
            return round(lower + (upper - lower) * (wanted - below) / buckets[number], 1)
        below += buckets[number]
    return round(BOUNDS_MS[-1], 1)
