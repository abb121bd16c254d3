"""How long a source usually pauses: what there is to know before its silence is news."""

from collections.abc import Sequence
from itertools import pairwise

from app.store.rollups import HOUR_MS

DAY_MS = 24 * HOUR_MS
LEARNT_MS = 14 * DAY_MS
"""How far back a habit reaches: two weeks, so that a weekend is known as one on its Monday too."""
KNOWN_MS_MIN = 2 * DAY_MS
"""A source that was first heard less long ago has no habit yet."""
AROUND_MS = HOUR_MS


def usual_pause_ms(active: Sequence[tuple[int, int]], now: int) -> int | None:
    """The longest pause that the source made around this hour of the day, on any day of `active`; None: too new.

    `active` are the stretches in which something came, in order. The present pause does not count, a pause that touches
    the hour before or after this one counts whole: at noon on a Saturday, the weekend before tells that all is well.
    """
    if not active or active[0][0] > now - KNOWN_MS_MIN:
        return None
    pauses = [(end, start) for (_, end), (start, _) in pairwise(active) if start > end]
    return max((end - start for start, end in pauses if _is_around(start, end, now)), default=0)


def _is_around(start: int, end: int, now: int) -> bool:
    """Whether a pause touches this hour of its day, or of a later one that it reaches into."""
    days_back = -(-(now - AROUND_MS - end) // DAY_MS)
    return start < now - days_back * DAY_MS + AROUND_MS
