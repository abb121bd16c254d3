"""The live stream: the end of the event log, read once for all who follow it.

Strategy: numbers of events are given before the commit, so that they become visible a little out of order: several
nodes commit side by side, and a commit may wait for the disk. Whoever asks only for what comes after the newest would
miss the late ones. So the stream also counts what lies in the last seconds (OVERLAP_S and the time a commit may take),
at every interval and, where there are several nodes, COUNT_PAUSE_S after a ring at most. When that is not what it has
seen, it looks for what is new there; no number is sent out twice.

A follower that resumes reads the log on its own, page by page, until it is near the end; then it joins the others, and
reads once more what may have become visible in between. Within one node numbers are committed in their order, so that
what this node's events are resumed after is exact; of other nodes' events, those of the overlap are sent again.

While nobody follows nothing is read, and a commit costs a look at an empty set.
"""

import asyncio
from bisect import bisect_left, bisect_right, insort
from collections import deque
from collections.abc import Sequence

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from app import metrics
from app.bell import Bell
from app.clock import Clock
from app.settings import Settings
from app.store import log as event_log
from app.store.errors import driver_message
from app.store.ids import first_id_at, node_of
from app.store.ledger import STORE_ERRORS
from app.store.log import EventFilter
from app.store.views import LiveEvent

log = structlog.get_logger()

PAGE_EVENTS = 200
BATCH_EVENTS_MAX = 100
OVERLAP_S = 5.0
"""What nodes' clocks may differ by; added to the time that a commit may take."""
PAUSE_S = 0.05
"""Between two reads, so that what is committed meanwhile shares the next."""
COUNT_PAUSE_S = 0.5
"""Between two counts, of which one costs 13 ms at 3,000 events a second."""
CLOSE_WAIT_S = 5.0

SLOW, ENDING, REVOKED, STORE = "slow", "ending", "revoked", "store"


class Dropped(Exception):
    """A follower gets no more; `reason` is SLOW, ENDING, REVOKED or STORE, the text says it in words."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class TooManyFollowers(Exception):
    """As many follow already as MAILWEIR_STREAM_CLIENTS_MAX allows, or the gateway is ending."""


class Stream:
    """The end of the log, and those who follow it."""

    def __init__(self, engine: AsyncEngine, clock: Clock, settings: Settings, *, several_nodes: bool) -> None:
        self.engine = engine
        self.several_nodes = several_nodes
        self._clock = clock
        self._settings = settings
        self._bell = Bell()
        self._followers = set[Follower]()
        self._joined = set[Follower]()
        self._reading: asyncio.Task[None] | None = None
        self._joining = asyncio.Lock()
        self._ending = False
        self._seen = _Seen()
        self._count_at = 0.0
        self.newest = 0
        self.overlap = first_id_at(round((settings.commit_timeout_s + OVERLAP_S) * 1000))
        """As a difference of numbers."""

    def ring(self) -> None:
        """Something was committed."""
        if self._joined:
            self._bell.ring()

    async def follow(self, environment_id: int, wanted: EventFilter, after: int | None = None) -> "Follower":
        """A new follower: of what comes from now on, or `after` the event of that number. Raises TooManyFollowers."""
        if self._ending:
            raise TooManyFollowers("The gateway is ending.")
        if len(self._followers) >= self._settings.stream_clients_max:
            raise TooManyFollowers("As many follow the stream already as MAILWEIR_STREAM_CLIENTS_MAX allows.")
        follower = Follower(self, environment_id, wanted, after, waiting_max=self._settings.stream_waiting_max)
        self._followers.add(follower)
        metrics.set_stream_clients(len(self._followers))
        try:
            if after is None:
                await self.join(follower)
                follower.position = self.newest
        except BaseException:
            self.leave(follower)
            raise
        return follower

    async def join(self, follower: "Follower") -> None:
        """From now on the follower is offered every event that is read. Raises STORE_ERRORS."""
        async with self._joining:
            if self._reading is None:
                self.newest = await event_log.newest_event(self.engine)
                seen = await event_log.ids_between(self.engine, self.newest - self.overlap, self.newest)
                self._seen = _Seen(seen)
            if follower in self._followers:
                self._joined.add(follower)
                self._reading = self._reading or asyncio.create_task(self._read_on(), name="stream")

    def leave(self, follower: "Follower") -> None:
        """The follower is offered nothing more."""
        self._followers.discard(follower)
        self._joined.discard(follower)
        metrics.set_stream_clients(len(self._followers))

    async def close(self) -> None:
        """Tells every follower that this is the end."""
        self._ending = True
        for follower in list(self._followers):
            follower.drop(ENDING, "The gateway is ending; come again in a moment.")
        if self._reading is not None:
            self._bell.ring()
            await asyncio.wait({self._reading}, timeout=CLOSE_WAIT_S)

    async def _read_on(self) -> None:
        """Reads as long as somebody follows: at a ring, when a count is due, and at every interval for other nodes."""
        while self._joined:
            wait_s = self._settings.poll_interval_s
            try:
                wait_s = await self._read()
            except STORE_ERRORS as error:
                log.warning("stream.store_unavailable", error=driver_message(error))
            await asyncio.sleep(PAUSE_S)
            await self._bell.wait(wait_s - PAUSE_S)
        self._reading = None

    async def _read(self) -> float:
        """Publishes what is new; seconds until there is a reason to read again though nothing rings."""
        full = True
        while full:
            events = await event_log.events_after(self.engine, self.newest, PAGE_EVENTS)
            self._publish(events)
            full = len(events) == PAGE_EVENTS
        count_in_s = self._count_at - self._clock.monotonic()
        if count_in_s > 0:
            return count_in_s
        await self._find_late()
        poll_s = self._settings.poll_interval_s
        self._count_at = self._clock.monotonic() + (min(COUNT_PAUSE_S, poll_s) if self.several_nodes else poll_s)
        return poll_s

    async def _find_late(self) -> None:
        """Publishes what became visible behind the newest."""
        low = self.newest - self.overlap
        self._seen.forget_upto(low)
        if await event_log.count_between(self.engine, low, self.newest) == len(self._seen):
            return
        present = await event_log.ids_between(self.engine, low, self.newest)
        late = [number for number in present if number not in self._seen]
        for start in range(0, len(late), PAGE_EVENTS):
            self._publish(await event_log.events_numbered(self.engine, late[start : start + PAGE_EVENTS]))
        self._seen = _Seen(present)

    def _publish(self, events: Sequence[LiveEvent]) -> None:
        for event in events:
            self._seen.add(event.id)
            self.newest = max(self.newest, event.id)
            for follower in list(self._joined):
                follower.offer(event)


class Follower:
    """One client of the stream. `position` is the number after which it can resume."""

    def __init__(
        self, stream: Stream, environment_id: int, wanted: EventFilter, after: int | None, *, waiting_max: int
    ) -> None:
        self._stream = stream
        self._environment_id = environment_id
        self._wanted = wanted
        self._waiting_max = waiting_max
        self._waiting = deque[LiveEvent]()
        self._bell = Bell()
        self._dropped: Dropped | None = None
        self._missed = None if after is None else _Missed(after, stream)
        self.position = after or 0

    async def events(self, wait_s: float) -> Sequence[LiveEvent]:
        """The next events, oldest first and in batches; none after `wait_s` without any. Raises Dropped."""
        if self._missed is not None and not self._missed.over and self._dropped is None:
            return await self._catch_up(self._missed)
        if not self._waiting and self._dropped is None:
            await self._bell.wait(wait_s)
        if self._dropped is not None:
            raise self._dropped
        batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), BATCH_EVENTS_MAX))]
        self.position = max(self.position, batch[-1].id if self._waiting else self._stream.newest)
        return batch if self._missed is None else [event for event in batch if event.id not in self._missed.sent]

    def offer(self, event: LiveEvent) -> None:
        """Lets the event wait for the client, if it is one that it asked for."""
        if event.environment_id != self._environment_id or not self._wanted.takes(event):
            return
        if len(self._waiting) >= self._waiting_max:
            self.drop(SLOW, f"More than {self._waiting_max} events waited for this client to read them.")
            return
        self._waiting.append(event)
        self._bell.ring()

    def drop(self, reason: str, detail: str) -> None:
        """Ends it; what it has not read it may resume."""
        if self._dropped is None:
            self._dropped = Dropped(reason, detail)
            metrics.count_stream_dropped(reason)
        self._waiting.clear()
        self._bell.ring()
        self.leave()

    def leave(self) -> None:
        """To be called when the client has gone."""
        self._stream.leave(self)

    async def _catch_up(self, missed: "_Missed") -> Sequence[LiveEvent]:
        """A page of what came before it joined; empty where nothing of a stretch of the log was asked for."""
        try:
            events, cursor = await event_log.events_onwards(
                self._stream.engine, self._environment_id, self._wanted, missed.cursor, PAGE_EVENTS
            )
            new = missed.take(events, cursor)
            if cursor is None and not missed.joined:
                await self._stream.join(self)
                missed.look_back()
            elif cursor is None:
                missed.over = True
        except STORE_ERRORS as error:
            log.warning("stream.store_unavailable", error=driver_message(error))
            raise Dropped(STORE, "The store cannot be used just now; come again in a moment.") from error
        if not missed.joined:
            self.position = max(self.position, missed.cursor)
        return new


class _Missed:
    """How far a follower has caught up with the log, and what it was sent of the last stretch."""

    def __init__(self, after: int, stream: Stream) -> None:
        self._after = after
        self._overlap = stream.overlap
        # What a node that is alone has not committed before a later event it never does.
        self._start = max(0, after - stream.overlap) if stream.several_nodes else after
        self.cursor = self._start
        self.sent = _Seen()
        self.joined = False
        self.over = False

    def take(self, events: Sequence[LiveEvent], cursor: int | None) -> Sequence[LiveEvent]:
        """Those of a page that the follower has not had; the next page begins after it."""
        self.cursor = cursor or (events[-1].id if events else self.cursor)
        new = [event for event in events if event.id not in self.sent and not self._was_had(event.id)]
        for event in new:
            self.sent.add(event.id)
        if not self.joined:
            self.sent.forget_upto(self.cursor - self._overlap)
        return new

    def look_back(self) -> None:
        """Begins anew a little before, after it has joined: nothing becomes visible now that it is not offered."""
        self.joined = True
        self.cursor = max(self._start, self.cursor - self._overlap)

    def _was_had(self, number: int) -> bool:
        return number <= self._after and node_of(number) == node_of(self._after)


class _Seen:
    """Numbers, in order."""

    def __init__(self, numbers: Sequence[int] = ()) -> None:
        self._numbers = list(numbers)

    def __len__(self) -> int:
        return len(self._numbers)

    def __contains__(self, number: int) -> bool:
        place = bisect_left(self._numbers, number)
        return place < len(self._numbers) and self._numbers[place] == number

    def add(self, number: int) -> None:
        if self._numbers and number < self._numbers[-1]:
            insort(self._numbers, number)
        else:
            self._numbers.append(number)

    def forget_upto(self, number: int) -> None:
        """Forgets the number and all before it."""
        del self._numbers[: bisect_right(self._numbers, number)]
