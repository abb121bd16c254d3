from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.retry import (
    DEFAULT_SCHEDULE_S,
    is_tried_again,
    next_attempt_in_s,
    outcome_of,
    parse_retry_after,
    pause_in_s,
    planned_times_ms,
    probe_in_s,
)

NOW = 1_772_000_000.0

attempts = st.integers(1, len(DEFAULT_SCHEDULE_S))
jitters = st.floats(-1, 1)
statuses = st.none() | st.integers(100, 599)
asked = st.none() | st.floats(0, 1e9) | st.text()


def http_date(unix_s: float) -> str:
    return format_datetime(datetime.fromtimestamp(unix_s, UTC), usegmt=True)


def test_the_default_schedule_lasts_about_a_day() -> None:
    assert [next_attempt_in_s(n, now=NOW) for n in range(1, 12)] == [*DEFAULT_SCHEDULE_S, None]
    assert 23 * 3600 < sum(DEFAULT_SCHEDULE_S) < 25 * 3600


def test_a_schedule_of_its_own_ends_after_its_last_wait() -> None:
    assert next_attempt_in_s(1, [7], now=NOW) == 7
    assert next_attempt_in_s(2, [7], now=NOW) is None
    assert next_attempt_in_s(1, [], now=NOW) is None


def test_probes_wait_twice_as_long_each_time_up_to_half_an_hour() -> None:
    waits = [probe_in_s(failures) for failures in range(5, 17)]
    assert waits == [5, 10, 20, 40, 80, 160, 320, 640, 1280, 1800, 1800, 1800]


@pytest.mark.parametrize(
    ("retry_after", "status", "pause_s"),
    [("60", 429, 60), ("7200", 429, 3600), (None, 429, 5), ("8", 503, 8), ("60", 503, 10), (None, 503, None)],
)
def test_a_pause_is_as_long_as_the_endpoint_asks_but_not_longer_than_the_deliverys_own_wait(
    retry_after: str | None, status: int, pause_s: float | None
) -> None:
    wait_s = next_attempt_in_s(1, retry_after=retry_after, status=status, now=0)
    assert pause_in_s(retry_after, status, wait_s, now=0) == pause_s


@given(attempts, jitters)
def test_jitter_moves_a_wait_by_a_tenth_at_most(attempt: int, jitter: float) -> None:
    wait_s = next_attempt_in_s(attempt, jitter=jitter, now=NOW)
    assert wait_s == pytest.approx(DEFAULT_SCHEDULE_S[attempt - 1], rel=0.1 + 1e-9)


@given(attempts, jitters, statuses, asked)
def test_whatever_a_subscriber_asks_for_the_wait_stays_in_its_bounds(
    attempt: int, jitter: float, status: int | None, retry_after: str | float | None
) -> None:
    planned_s = next_attempt_in_s(attempt, jitter=jitter, now=NOW)
    wait_s = next_attempt_in_s(attempt, retry_after=retry_after, status=status, jitter=jitter, now=NOW)
    assert planned_s is not None
    assert wait_s is not None
    assert planned_s <= wait_s <= max(2 * planned_s, 3600 if status == 429 else 0)


@given(st.integers(11, 10_000), statuses, asked)
def test_asking_for_more_does_not_prolong_the_schedule(
    attempt: int, status: int | None, retry_after: str | float | None
) -> None:
    assert next_attempt_in_s(attempt, retry_after=retry_after, status=status, now=NOW) is None


@pytest.mark.parametrize(
    ("retry_after", "status", "wait_s"),
    [
        ("1", 503, 30),
        ("45", 503, 45),
        ("600", 503, 60),
        ("600", 429, 600),
        ("86400", 429, 3600),
        ("1", 429, 30),
        (http_date(NOW + 50), 503, 50),
        (http_date(NOW - 50), 503, 30),
        ("soon", 503, 30),
        (40.0, None, 40),
    ],
)
def test_retry_after_is_honoured_within_bounds(retry_after: str | float, status: int | None, wait_s: float) -> None:
    assert next_attempt_in_s(2, retry_after=retry_after, status=status, now=NOW) == wait_s


def test_a_429_may_double_a_wait_that_is_longer_than_an_hour() -> None:
    assert next_attempt_in_s(10, retry_after="1000000", status=429, now=NOW) == 72_000


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("120", 120),
        (" 120 ", 120),
        ("0", 0),
        ("1.5", 1.5),
        (90, 90),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 10),
        ("Sunday, 06-Nov-94 08:49:37 GMT", 10),
        ("Sun Nov  6 08:49:37 1994", 10),
        ("Sun, 06 Nov 1994 08:49:00 GMT", 0),
    ],
)
def test_seconds_and_the_three_forms_of_an_http_date_are_read(text: str | float, seconds: float) -> None:
    assert parse_retry_after(text, now=784_111_767) == seconds


@pytest.mark.parametrize(
    "text", [None, "", "-5", "+5", "1e3", "nan", "inf", "٣", "5 s", "tomorrow", "9" * 40, -1.0, float("nan")]
)
def test_what_is_neither_seconds_nor_a_date_asks_for_nothing(text: str | float | None) -> None:
    assert parse_retry_after(text, NOW) is None


@given(st.text() | st.from_regex(r"(Sun, )?[0-9]{1,9} (Nov|Foo) [0-9]{1,9} [0-9:]{1,12}( GMT| [+-][0-9]{4,12})?"))
def test_no_text_breaks_the_parser(text: str) -> None:
    seconds = parse_retry_after(text, NOW)
    assert seconds is None or seconds >= 0


@pytest.mark.parametrize(
    ("status", "outcome"),
    [(200, "delivered"), (204, "delivered"), (299, "delivered"), (410, "gone"), (None, "failed")]
    + [(status, "failed") for status in (100, 199, 300, 302, 304, 400, 404, 429, 500, 503)],
)
def test_only_2xx_delivers_and_only_410_ends_it_all(status: int | None, outcome: str) -> None:
    assert outcome_of(status) == outcome


@given(statuses, st.sampled_from([None, "timeout", "connect", "tls"]))
def test_without_rules_everything_is_tried_again(status: int | None, error_kind: str | None) -> None:
    assert is_tried_again(status, error_kind, None)
    assert not is_tried_again(status, error_kind, frozenset())


@pytest.mark.parametrize(
    ("status", "error_kind", "tried_again_by"),
    [
        (500, None, {"5xx", 500}),
        (503, None, {"5xx", 503}),
        (429, None, {"4xx", 429}),
        (404, None, {"4xx", 404}),
        (302, None, set[int | str]()),
        (None, "timeout", {"timeout"}),
        (None, "connect", {"connection"}),
        (None, "dns", {"connection"}),
        (None, "tls", {"connection"}),
        (None, "refused_address", {"connection"}),
    ],
)
def test_rules_name_what_is_tried_again(
    status: int | None, error_kind: str | None, tried_again_by: set[int | str]
) -> None:
    words: set[int | str] = {"4xx", "5xx", "timeout", "connection", 500, 503, 429, 404}
    assert {word for word in words if is_tried_again(status, error_kind, {word})} == tried_again_by


def test_the_planned_times_begin_with_the_next_attempt() -> None:
    assert planned_times_ms(1_000, 0, [5, 30]) == [1_000, 6_000, 36_000]
    assert planned_times_ms(1_000, 1, [5, 30]) == [1_000, 31_000]
    assert planned_times_ms(1_000, 2, [5, 30]) == [1_000]
    assert planned_times_ms(1_000, 9, [5, 30]) == [1_000]
    assert planned_times_ms(1_000, 0, [5, 30], last_ms=6_000) == [1_000, 6_000]
