"""When the next attempt of a delivery is due, or that there is none. Pure: the clock and the dice come in."""

import math
import re
from collections.abc import Collection, Sequence
from datetime import UTC
from email.utils import parsedate_to_datetime
from itertools import accumulate
from typing import Literal

DEFAULT_SCHEDULE_S = (5, 30, 120, 600, 1800, 3600, 7200, 14400, 21600, 36000)
"""Waits between attempts: 11 attempts in 23 hours 42 minutes, a little more or less for the jitter."""

JITTER_FRACTION = 0.1
RETRY_AFTER_STRETCH_MAX = 2.0
RATE_LIMITED_WAIT_MAX_S = 3600.0

BREAKER_FAILURES = 5
"""Failures in a row after which an endpoint is probed by one delivery at a time."""
DISABLE_FAILURES = 50
"""Failures in a row after which an endpoint is disabled: after some 19 hours of probes."""
FIRST_PROBE_IN_S, LAST_PROBE_IN_S = 5.0, 1800.0
RATE_LIMITED_PAUSE_S = 5.0
"""How long an endpoint is left alone that answered 429 without saying for how long."""

Outcome = Literal["delivered", "gone", "failed"]

RETRY_WORDS = ("4xx", "5xx", "timeout", "connection")
"""What may be tried again, beside single statuses: classes of statuses, no answer in time, none for another reason."""

_SECONDS = re.compile(r"[0-9]{1,12}(\.[0-9]{1,9})?", re.ASCII)


def next_attempt_in_s(
    attempt: int,
    schedule_s: Sequence[float] = DEFAULT_SCHEDULE_S,
    *,
    retry_after: str | float | None = None,
    status: int | None = None,
    jitter: float = 0.0,
    now: float,
) -> float | None:
    """Seconds to wait after failed attempt number `attempt` (1 for the first); None when the schedule is used up.

    The planned wait is the schedule's, moved by `jitter` (-1 to 1, for -10 % to +10 %) so that deliveries which failed
    together do not come back together. The default schedule, without jitter::

        after attempt   1     2      3      4       5       6     7     8     9     10     11
        wait            5 s   30 s   2 min  10 min  30 min  1 h   2 h   4 h   6 h   10 h   none
        since the first 5 s   35 s   3 min  13 min  43 min  1:43  3:43  7:43  13:43 23:43

    What the subscriber asks for in `retry_after` (the header's text, or seconds) never shortens the planned wait and
    at most doubles it; together with `status` 429 it may stretch a shorter wait to an hour. `now` is unix seconds, and
    matters only for a Retry-After that is a date.
    """
    if attempt > len(schedule_s):
        return None
    planned_s = schedule_s[max(attempt, 1) - 1] * (1 + JITTER_FRACTION * min(1.0, max(-1.0, jitter)))
    asked_s = parse_retry_after(retry_after, now)
    if asked_s is None:
        return planned_s
    return min(max(planned_s, asked_s), _longest_wait_s(planned_s, status))


def _longest_wait_s(planned_s: float, status: int | None) -> float:
    stretched_s = planned_s * RETRY_AFTER_STRETCH_MAX
    return max(stretched_s, RATE_LIMITED_WAIT_MAX_S) if status == 429 else stretched_s


def probe_in_s(failures: int) -> float:
    """Seconds until a failing endpoint is probed, after that many failures in a row (BREAKER_FAILURES or more).

    failures  5     6     7     8     9      10     11     12      13 and more
    wait      10 s  20 s  40 s  80 s  160 s  320 s  640 s  1280 s  30 min
    """
    return min(LAST_PROBE_IN_S, FIRST_PROBE_IN_S * 2 ** min(failures - BREAKER_FAILURES, 20))


def pause_in_s(retry_after: str | None, status: int | None, wait_s: float | None, now: float) -> float | None:
    """Seconds for which a whole endpoint is left alone, because its answer asked for that; None when it did not.

    Never longer than `wait_s`, the wait of the delivery itself (None when it has no other attempt).
    """
    asked_s = parse_retry_after(retry_after, now)
    if asked_s is not None:
        return min(asked_s, RATE_LIMITED_WAIT_MAX_S if wait_s is None else wait_s)
    return RATE_LIMITED_PAUSE_S if status == 429 else None


def parse_retry_after(text: str | float | None, now: float) -> float | None:
    """The seconds a Retry-After asks for (RFC 9110, section 10.2.3); 0 for a date gone by, None for anything else.

    `text` is the header as it came, a number of seconds or an HTTP date in any of its three forms; a number that was
    already parsed is taken as seconds.
    """
    if text is None:
        return None
    if not isinstance(text, str):
        return float(text) if math.isfinite(text) and text >= 0 else None
    text = text.strip()
    return float(text) if _SECONDS.fullmatch(text) else _seconds_until(text, now)


def _seconds_until(http_date: str, now: float) -> float | None:
    try:
        moment = parsedate_to_datetime(http_date)
        aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return max(0.0, aware.timestamp() - now)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def is_tried_again(status: int | None, error_kind: str | None, retry_on: Collection[int | str] | None) -> bool:
    """Whether what failed so may be tried again, by `retry_on` (statuses and RETRY_WORDS); None: whatever it was."""
    if retry_on is None:
        return True
    if status is None:
        return ("timeout" if error_kind == "timeout" else "connection") in retry_on
    return status in retry_on or f"{status // 100}xx" in retry_on


def planned_times_ms(
    next_ms: int, attempts: int, schedule_s: Sequence[float], *, last_ms: float = math.inf
) -> list[int]:
    """When the attempts still to come are planned, if all fail: `next_ms` first, none after `last_ms`.

    `attempts` were made so far. Without the jitter, and what subscribers ask for in Retry-After.
    """
    times = accumulate((wait_s * 1000 for wait_s in schedule_s[attempts:]), initial=next_ms)
    return [round(time_ms) for time_ms in times if time_ms <= last_ms]


def outcome_of(status: int | None) -> Outcome:
    """What an answer means: 2xx is success, 410 asks for no more deliveries ever, all else (None: no answer) failed."""
    if status is not None and 200 <= status < 300:
        return "delivered"
    return "gone" if status == 410 else "failed"
