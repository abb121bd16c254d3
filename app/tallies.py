"""What was counted in a long stretch of time, quickly: what is over is read once and then remembered.

Strategy: a chart of a week asks for the same finished hours again and again. They hardly change any more (a request
that is read again counts for the hour of its arrival), so their sums stay in memory; those that were read long ago are
read again few at a time. Of longer buckets only those are read whole whose minutes are added up to hours by now, which
is a handful of rows; younger ones are added up from the hours. So a page asks for a handful of rows, however much was
counted. What pages ask for usually is read ahead after the start, an hour at a time and with pauses, so that the first
page need not wait for it.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import groupby

from sqlalchemy.ext.asyncio import AsyncEngine

from app.clock import Clock
from app.figures import added_up
from app.store.ledger import STORE_ERRORS
from app.store.rollups import ENDPOINT, HOUR_MS, MINUTE_MS, MINUTES_KEPT_MS, SOURCE
from app.store.stats import Counts, counts_by_bucket_and_subject

SETTLED_MS = 5 * MINUTE_MS
"""After its end a bucket is taken for finished."""
REMEMBERED_S = 3_600.0
RENEWED_MAX = 3
"""Of those that were read longer ago than that, so many are read again at once."""
COUNTS_REMEMBERED_MAX = 200_000
"""About fifteen megabytes."""
DAY_MS = 24 * HOUR_MS
CHARTED = ((HOUR_MS, DAY_MS), (6 * HOUR_MS, 7 * DAY_MS), (DAY_MS, 30 * DAY_MS))
"""Lengths of buckets and how far back they are wanted: what is read ahead."""

BySubject = Mapping[int, Counts]
_Key = tuple[int, str, int, int]
"""Environment, kind, length and start of a bucket."""


class Tallies:
    """The counts of all environments, by bucket and source or endpoint."""

    def __init__(self, engine: AsyncEngine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock
        self._remembered: OrderedDict[_Key, tuple[BySubject, float]] = OrderedDict()
        self._size = 0
        self._reading_ahead: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        """How many buckets are remembered."""
        return len(self._remembered)

    def start(self, environment_ids: Iterable[int]) -> None:
        """Reads ahead for these environments, in the background."""
        self._reading_ahead = asyncio.create_task(self._read_ahead(list(environment_ids)), name="tallies")

    async def close(self) -> None:
        """Reads nothing ahead any more."""
        if self._reading_ahead is not None:
            self._reading_ahead.cancel()
            with suppress(asyncio.CancelledError):
                await self._reading_ahead

    async def read(self, environment_id: int, kind: str, starts: range) -> Mapping[int, BySubject]:
        """The counts of every bucket, by its start; the step of the range is a bucket's length in milliseconds."""
        now, length = self._clock.ms(), starts.step
        over_ms = SETTLED_MS if length <= HOUR_MS else MINUTES_KEPT_MS
        over = [start for start in starts if start + length <= now - over_ms]
        found = await self._finished(environment_id, kind, length, over)
        rest = starts[len(over) :]
        if not rest:
            return found
        if length <= HOUR_MS:
            read = await self._read(environment_id, kind, rest)
            return found | {start: read.get(start, {}) for start in rest}
        end = min(rest.stop, now - now % HOUR_MS + HOUR_MS)
        return found | await self._of_hours(environment_id, kind, rest, end)

    def forget(self) -> None:
        """Reads everything anew; for whoever has written what is past."""
        self._remembered = OrderedDict()
        self._size = 0

    async def totals(self, environment_id: int, kind: str, starts: range) -> BySubject:
        """The counts of all the buckets together, by source or endpoint."""
        return merged(list((await self.read(environment_id, kind, starts)).values()))

    async def _finished(
        self, environment_id: int, kind: str, length: int, starts: Sequence[int]
    ) -> dict[int, BySubject]:
        """What is remembered, and the rest in one go."""
        known = {start: self._recall((environment_id, kind, length, start)) for start in starts}
        now = self._clock.monotonic()
        missing = [start for start, one in known.items() if one is None]
        old = [start for start, one in known.items() if one is not None and one[1] <= now]
        found = {start: one[0] for start, one in known.items() if one is not None}
        remembered = self._remembered
        for stretch in _stretches([*missing, *old[:RENEWED_MAX]], length):
            read = await self._read(environment_id, kind, stretch)
            for start in stretch:
                found[start] = read.get(start, {})
                if remembered is self._remembered:  # nobody said meanwhile that it is to be forgotten
                    self._remember((environment_id, kind, length, start), found[start])
        return {start: found[start] for start in starts}

    async def _of_hours(self, environment_id: int, kind: str, starts: range, end: int) -> dict[int, BySubject]:
        hours = await self.read(environment_id, kind, range(starts.start, end, HOUR_MS))
        return {
            start: merged([hours[at] for at in range(start, start + starts.step, HOUR_MS) if at in hours])
            for start in starts
        }

    async def _read(self, environment_id: int, kind: str, starts: range) -> Mapping[int, BySubject]:
        return await counts_by_bucket_and_subject(
            self._engine, environment_id, kind, starts.start, starts.stop, starts.step
        )

    async def _read_ahead(self, environment_ids: Sequence[int]) -> None:
        """Nothing depends on it: what it does not come to is read when it is asked for."""
        with suppress(*STORE_ERRORS):
            for starts in _wanted_ahead(self._clock.ms()):
                for environment_id in environment_ids:
                    for kind in (SOURCE, ENDPOINT):
                        began = time.monotonic()
                        await self.read(environment_id, kind, starts)
                        await asyncio.sleep(time.monotonic() - began)

    def _recall(self, key: _Key) -> tuple[BySubject, float] | None:
        known = self._remembered.get(key)
        if known is not None:
            self._remembered.move_to_end(key)
        return known

    def _remember(self, key: _Key, counts: BySubject) -> None:
        self._forget(key)
        self._remembered[key] = (counts, self._clock.monotonic() + REMEMBERED_S)
        self._size += _size(counts)
        while self._size > COUNTS_REMEMBERED_MAX:
            self._forget(next(iter(self._remembered)))

    def _forget(self, key: _Key) -> None:
        if (known := self._remembered.pop(key, None)) is not None:
            self._size -= _size(known[0])


def merged(parts: Sequence[BySubject]) -> BySubject:
    """The counts of all parts, by source or endpoint."""
    subjects = {subject for part in parts for subject in part}
    return {subject: added_up(dict(enumerate(part.get(subject, {}) for part in parts))) for subject in subjects}


def _wanted_ahead(now: int) -> Iterator[range]:
    """An hour each of those that are over, the last day first; then the long buckets that are made of them."""
    this_hour = now - now % HOUR_MS
    for start in range(this_hour - DAY_MS, this_hour, HOUR_MS):
        yield range(start, start + HOUR_MS, HOUR_MS)
    for start in range(this_hour - MINUTES_KEPT_MS - DAY_MS, this_hour - DAY_MS, HOUR_MS):
        yield range(start, start + HOUR_MS, HOUR_MS)
    for length, back in CHARTED[1:]:
        over = (now - MINUTES_KEPT_MS) // length * length
        yield range(over - back, over, length)


def _stretches(starts: Iterable[int], length: int) -> Iterator[range]:
    """The starts as ranges without a gap."""
    for _, stretch in groupby(enumerate(sorted(starts)), lambda one: one[1] - one[0] * length):
        found = [start for _, start in stretch]
        yield range(found[0], found[-1] + length, length)


def _size(counts: BySubject) -> int:
    return 1 + sum(map(len, counts.values()))
