"""What was counted in a long stretch of time, quickly: what is over is read once and then remembered.

Strategy: a chart of a week asks for the same finished hours again and again. They hardly change any more (a request
that is read again counts for the hour of its arrival), so their sums stay in memory for a while; only the end of the
stretch is read each time, hour by hour where its buckets are longer. So a page asks for a handful of rows, and at most
for twice two statements, however long the stretch and however much was counted in it.
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence

from sqlalchemy.ext.asyncio import AsyncEngine

from app.clock import Clock
from app.figures import added_up
from app.store.rollups import HOUR_MS, MINUTE_MS
from app.store.stats import Counts, counts_by_bucket_and_subject

SETTLED_MS = 5 * MINUTE_MS
"""After its end a bucket is taken for finished."""
REMEMBERED_S = 3_600.0
COUNTS_REMEMBERED_MAX = 100_000
"""About ten megabytes."""

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

    async def read(self, environment_id: int, kind: str, starts: range) -> Mapping[int, BySubject]:
        """The counts of every bucket, by its start; the step of the range is a bucket's length in milliseconds."""
        settled = [start for start in starts if start + starts.step <= self._clock.ms() - SETTLED_MS]
        found = await self._finished(environment_id, kind, starts.step, settled)
        return found | await self._unfinished(environment_id, kind, starts[len(settled) :])

    async def _finished(
        self, environment_id: int, kind: str, length: int, starts: Sequence[int]
    ) -> dict[int, BySubject]:
        """What is remembered as far as it reaches, and the rest in one go."""
        found: dict[int, BySubject] = {}
        for start in starts:
            if (known := self._recall((environment_id, kind, length, start))) is None:
                break
            found[start] = known
        missing = starts[len(found) :]
        if missing:
            read = await self._read(environment_id, kind, range(missing[0], missing[-1] + length, length))
            for start in missing:
                found[start] = read.get(start, {})
                self._remember((environment_id, kind, length, start), found[start])
        return found

    async def _unfinished(self, environment_id: int, kind: str, starts: range) -> dict[int, BySubject]:
        if not starts:
            return {}
        if starts.step <= HOUR_MS:
            return dict(await self._read(environment_id, kind, starts))
        end = min(starts.stop, self._clock.ms() // HOUR_MS * HOUR_MS + HOUR_MS)
        hours = await self.read(environment_id, kind, range(starts.start, end, HOUR_MS))
        return {
            start: merged([hours[at] for at in range(start, start + starts.step, HOUR_MS) if at in hours])
            for start in starts
        }

    async def _read(self, environment_id: int, kind: str, starts: range) -> Mapping[int, BySubject]:
        return await counts_by_bucket_and_subject(
            self._engine, environment_id, kind, starts.start, starts.stop, starts.step
        )

    def _recall(self, key: _Key) -> BySubject | None:
        known = self._remembered.get(key)
        if known is None or known[1] <= self._clock.monotonic():
            return None
        self._remembered.move_to_end(key)
        return known[0]

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


def _size(counts: BySubject) -> int:
    return 1 + sum(map(len, counts.values()))
