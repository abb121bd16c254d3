"""What counts amount to."""

import random
from bisect import bisect_left
from collections import Counter
from statistics import quantiles

import pytest

from app.figures import added_up, endpoint_figures, source_figures
from app.store.rollups import BOUNDS_MS, DURATIONS


def test_rates_are_parts_of_the_messages() -> None:
    figures = source_figures({"event.email.delivered": 90, "event.email.bounced": 10, "event.email.complaint": 1})
    assert (figures.messages, figures.bounce_rate, figures.complaint_rate) == (100, 0.1, 0.01)


def test_messages_that_were_sent_and_not_heard_of_count_too() -> None:
    figures = source_figures({"event.email.sent": 200, "event.email.delivered": 50, "event.email.bounced": 10})
    assert (figures.messages, figures.bounce_rate) == (200, 0.05)


def test_a_source_that_posts_bounces_alone_has_no_rate() -> None:
    figures = source_figures({"event.email.bounced": 10, "event.email.complaint": 2, "bounce.hard": 10})
    assert (figures.bounce_rate, figures.complaint_rate) == (None, None)
    assert figures.bounces == {"hard": 10}


def test_when_everything_bounces_the_rate_is_one() -> None:
    assert source_figures({"event.email.sent": 5, "event.email.bounced": 5}).bounce_rate == 1.0


def test_attempts_are_told_by_their_outcome() -> None:
    figures = endpoint_figures({"attempt.delivered": 3, "attempt.5xx": 1, "delivery.failed": 1})
    assert (figures.attempts, figures.success_rate) == ({"5xx": 1, "delivered": 3}, 0.75)
    assert (figures.delivered, figures.failed) == (3, 1)


def test_nothing_makes_no_rates() -> None:
    figures = endpoint_figures({})
    assert (figures.success_rate, figures.duration_ms, figures.latency_ms) == (None, None, None)
    assert source_figures({}).bounce_rate is None


@pytest.mark.parametrize("sigma", [0.2, 1.0, 2.0])
def test_percentiles_are_within_a_fifth_of_the_truth(sigma: float) -> None:
    chance = random.Random(7)  # noqa: S311 - the same numbers every time
    durations = [round(chance.lognormvariate(4, sigma)) for _ in range(20_000)]
    counts = Counter(DURATIONS[bisect_left(BOUNDS_MS, duration)] for duration in durations)
    estimate = endpoint_figures(counts).duration_ms
    truth = quantiles(durations, n=100)
    assert estimate is not None
    assert [estimate.p50, estimate.p95, estimate.p99] == pytest.approx([truth[49], truth[94], truth[98]], rel=0.2)


def test_a_duration_above_all_buckets_is_given_as_the_last_bound() -> None:
    estimate = endpoint_figures({DURATIONS[-1]: 1}).duration_ms
    assert estimate is not None
    assert estimate.p99 == pytest.approx(BOUNDS_MS[-1], abs=0.1)


def test_parts_add_up() -> None:
    assert added_up({0: {"a": 1, "b": 2}, 60_000: {"b": 3}}) == {"a": 1, "b": 5}
