"""What a source's silence means depends on its habit."""

from app.habits import DAY_MS, usual_pause_ms
from app.store.rollups import HOUR_MS, MINUTE_MS

MONDAY = 1_772_409_600_000  # 2026-03-02T00:00:00Z


def hours(*spans: tuple[int, int], days: int = 14, weekdays_only: bool = False) -> list[tuple[int, int]]:
    """Something in every hour of the spans, on each of the days before the Monday."""
    return [
        (start, start + HOUR_MS)
        for day in range(-days, 0)
        if not (weekdays_only and day % 7 >= 5)
        for first, last in spans
        for hour in range(first, last)
        for start in [MONDAY + day * DAY_MS + hour * HOUR_MS]
    ]


def test_a_source_that_never_pauses_has_the_shortest_habit() -> None:
    assert usual_pause_ms(hours((0, 24)), MONDAY + 10 * HOUR_MS) == 0


def test_the_pause_of_the_night_counts_at_night_and_not_by_day() -> None:
    active = hours((8, 20))
    assert usual_pause_ms(active, MONDAY + 3 * HOUR_MS) == 12 * HOUR_MS
    assert usual_pause_ms(active, MONDAY + 14 * HOUR_MS) == 0


def test_the_pause_of_a_weekend_is_known_on_saturday_and_on_monday_morning() -> None:
    active = hours((9, 17), weekdays_only=True)
    weekend = 64 * HOUR_MS
    assert usual_pause_ms(active, MONDAY - 2 * DAY_MS + 12 * HOUR_MS) == weekend
    assert usual_pause_ms(active, MONDAY + 8 * HOUR_MS) == weekend


def test_a_short_pause_counts_around_its_hour() -> None:
    noon = MONDAY + 12 * HOUR_MS
    paused = [noon - DAY_MS, noon - DAY_MS + 40 * MINUTE_MS]
    minutes = [at for at in range(MONDAY - DAY_MS, noon, MINUTE_MS) if not paused[0] <= at < paused[1]]
    active = [*hours((0, 24))[:-24], *((at, at + MINUTE_MS) for at in minutes)]
    assert usual_pause_ms(active, noon) == 40 * MINUTE_MS
    assert usual_pause_ms(active, noon + 3 * HOUR_MS) == 0


def test_a_new_source_has_no_habit() -> None:
    assert usual_pause_ms([], MONDAY) is None
    assert usual_pause_ms(hours((0, 24), days=1), MONDAY) is None
