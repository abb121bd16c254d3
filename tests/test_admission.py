"""Who is let in when more comes than there is room or time for."""

import pytest

from app.admission import DAWDLES_AFTER_S, Admission, Crowded, Holding
from tests.conftest import FrozenClock

ROOM = 100_000
LARGE = 60_000


class Uploads:
    """Large bodies on their way, and which had to give way."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self.gave_way = list[str]()

    def begin(self, name: str) -> Holding:
        def give_way() -> None:
            self.gave_way.append(name)
            holding.give_back()

        holding = self._admission.holding(give_way)
        return holding


@pytest.fixture
def waits() -> list[float]:
    """How long a request would wait for its commit: the last one."""
    return [0.0]


@pytest.fixture
def admission(waits: list[float], clock: FrozenClock) -> Admission:
    return Admission(lambda: waits[-1], clock.monotonic, wait_s_max=3, bytes_max=ROOM)


@pytest.fixture
def uploads(admission: Admission) -> Uploads:
    return Uploads(admission)


def test_who_would_wait_too_long_is_refused(admission: Admission, waits: list[float]) -> None:
    waits.append(3.0)
    admission.check_wait()
    waits.append(3.1)
    with pytest.raises(Crowded, match=r"3\.1 s, and MAILWEIR_INBOUND_WAIT_S_MAX is 3"):
        admission.check_wait()


def test_large_bodies_that_would_hold_too_much_together_are_refused(uploads: Uploads) -> None:
    first, announced, unannounced = (uploads.begin(name) for name in ("first", "announced", "unannounced"))
    first.take(LARGE)
    with pytest.raises(Crowded, match="MAILWEIR_INBOUND_WAITING_BYTES_MAX"):
        announced.expect(LARGE)
    unannounced.take(LARGE // 2)
    with pytest.raises(Crowded):
        unannounced.take(LARGE // 2)
    unannounced.give_back()
    first.give_back()
    announced.expect(LARGE)
    announced.take(LARGE)


def test_a_request_that_is_alone_has_what_it_needs(uploads: Uploads) -> None:
    alone = uploads.begin("alone")
    alone.expect(10 * ROOM)
    for _ in range(10):
        alone.take(ROOM)


def test_who_dawdles_gives_way_to_who_comes(uploads: Uploads, clock: FrozenClock) -> None:
    complete, dawdling = uploads.begin("complete"), uploads.begin("dawdling")
    complete.take(LARGE)
    complete.has_come()
    dawdling.take(30_000)
    clock.advance(DAWDLES_AFTER_S)
    uploads.begin("small enough").expect(10_000)
    assert uploads.gave_way == [], "as long as there is room nobody has to hurry"
    with pytest.raises(Crowded):
        uploads.begin("next").take(30_000)
    assert uploads.gave_way == ["dawdling"]
    uploads.begin("the one after").take(30_000)
