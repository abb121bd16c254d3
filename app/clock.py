"""The one place that tells the time."""

import time
from datetime import UTC, datetime


class Clock:
    """The system's clocks: the wall for what is written down, the monotonic one for durations."""

    def now(self) -> datetime:
        """Aware UTC."""
        return datetime.fromtimestamp(self.ms() / 1000, UTC)

    def ms(self) -> int:
        """Milliseconds since 1970."""
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        """Seconds that never step back."""
        return time.monotonic()
