"""How many refused requests are kept: enough to tell an operator what is wrong, too few to fill a disk.

Anybody may post to a source; a receipt of what did not verify costs the sender nothing, and us some 16 KiB.
"""

import msgspec
import structlog

from app import metrics
from app.clock import Clock

REJECTED_KEPT_PER_MINUTE = 60
"""Rejected receipts of one source, on one node; the rest is answered alike, and only counted."""

log = structlog.get_logger()


class _Minute(msgspec.Struct):
    number: int
    refused: int = 0


class Refusals:
    """Counts, by source, what was refused within the minute."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._minutes: dict[str, _Minute] = {}

    def keeps(self, source: str) -> bool:
        """Whether one more refused request of the source of that name is to be stored."""
        number = int(self._clock.monotonic() // 60)
        minute = self._minutes.get(source)
        if minute is None or minute.number != number:
            minute = self._minutes[source] = _Minute(number)
        minute.refused += 1
        if minute.refused <= REJECTED_KEPT_PER_MINUTE:
            return True
        metrics.count_refusal("not_authentic")
        if minute.refused == REJECTED_KEPT_PER_MINUTE + 1:
            log.warning("inbound.rejected_unkept", source=source, kept_per_minute=REJECTED_KEPT_PER_MINUTE)
        return False
