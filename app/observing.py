"""What the roll-ups and queues say of the sources and endpoints that alert rules are about."""

from collections.abc import Mapping
from datetime import datetime

import msgspec
from sqlalchemy.ext.asyncio import AsyncEngine

from app.habits import LEARNT_MS, usual_pause_ms
from app.store import stats
from app.store.alerts import Alert
from app.store.rollups import MINUTE_MS
from app.store.stats import Counts
from app.watching import BACKLOG, KINDS, SILENCE, Observed

HABIT_KEPT_MS = 15 * MINUTE_MS


class Habit(msgspec.Struct, frozen=True):
    """How long a source usually pauses now, and from how much that is known."""

    learnt_at: int
    pause_ms: int | None
    active_times: int


class Observatory:
    """Looks at an environment; habits are learnt anew every quarter of an hour."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._habits: dict[int, Habit] = {}

    async def observe(self, alert: Alert, now: datetime) -> Mapping[int, Observed]:
        """What the rule's kind is judged by, of every source or endpoint of the environment there is something of."""
        now_ms = round(now.timestamp() * 1000)
        if alert.kind == BACKLOG:
            due = await stats.oldest_due(self._engine, alert.environment_id)
            return {number: Observed(due_for_s=max(0, (now - at).total_seconds())) for number, at in due.items()}
        if alert.kind == SILENCE:
            heard = await stats.last_heard(self._engine, alert.environment_id)
            return {number: await self._silence(alert, number, at, now_ms) for number, at in heard.items()}
        counts = await self._counts(alert, now_ms)
        return {number: Observed(counts=of_one) for number, of_one in counts.items()}

    async def _counts(self, alert: Alert, now_ms: int) -> Mapping[int, Counts]:
        since = (now_ms - alert.window_s * 1000) // MINUTE_MS * MINUTE_MS
        kind = KINDS[alert.kind].of
        return await stats.counts_by_subject(self._engine, alert.environment_id, kind, since, now_ms + MINUTE_MS)

    async def _silence(self, alert: Alert, source_id: int, heard_at: int, now_ms: int) -> Observed:
        """Of a source that was heard just now nobody needs to know the habit."""
        silent_for_s = max(0, now_ms - heard_at) / 1000
        if silent_for_s < alert.window_s:
            return Observed(silent_for_s=silent_for_s)
        habit = await self._habit(alert.environment_id, source_id, now_ms)
        return Observed(
            silent_for_s=silent_for_s,
            usual_pause_s=None if habit.pause_ms is None else habit.pause_ms / 1000,
            active_times=habit.active_times,
        )

    async def _habit(self, environment_id: int, source_id: int, now_ms: int) -> Habit:
        known = self._habits.get(source_id)
        if known is None or not known.learnt_at <= now_ms < known.learnt_at + HABIT_KEPT_MS:
            active = await stats.active_times(self._engine, environment_id, source_id, now_ms - LEARNT_MS)
            known = self._habits[source_id] = Habit(now_ms, usual_pause_ms(active, now_ms), len(active))
        return known
