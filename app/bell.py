"""Wake-ups: whoever makes work rings; whoever waits also polls, so that a missed ring costs a wait and no work."""

import asyncio
from collections.abc import Callable


class Bell:
    """One bell that one loop waits for."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()

    def ring(self) -> None:
        """Ends the present wait, or the next one."""
        self._rung.set()

    async def wait(self, seconds_max: float) -> None:
        """Returns at a ring, or after `seconds_max`."""
        try:
            async with asyncio.timeout(seconds_max):
                await self._rung.wait()
        except TimeoutError:
            return
        self._rung.clear()


class FarBell(Bell):
    """One bell that a loop of another process waits for; `tell` tells it."""

    def __init__(self, tell: Callable[[], None]) -> None:
        super().__init__()
        self._tell = tell

    def ring(self) -> None:
        """Ends the wait over there."""
        self._tell()
