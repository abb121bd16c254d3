"""Identifiers: a 63-bit number inside, a sortable text outside.

A number is the millisecond of its making (42 bits), the node that made it (10) and a running number (11). Numbers of
one node only ever grow, even when the clock steps back; two nodes share no number while they run side by side. The text
is the number in Crockford's base 32 behind a prefix that says what it names: `evt_01M7…`; its first ten characters are
the time as in a ULID. Primary keys of SQLite are rowids this way, so that no second index is kept for them.
"""

import re
from collections.abc import Callable
from functools import lru_cache

EVENT, RECEIPT, DELIVERY, JOB, BATCH = "evt_", "rcp_", "dlv_", "job_", "bat_"

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = [a + b for a in _ALPHABET for b in _ALPHABET]
_VALUES = {char: value for value, char in enumerate(_ALPHABET)}
_TEXT = re.compile(f"[{_ALPHABET}]{{15}}")

NODE_BITS, SEQUENCE_BITS = 10, 11
LOW_BITS = NODE_BITS + SEQUENCE_BITS
_LOW_MASK = (1 << LOW_BITS) - 1
_SEQUENCE_MASK = (1 << SEQUENCE_BITS) - 1
MILLISECONDS_REMEMBERED = 256
NODES_MAX = 1 << NODE_BITS


class IdSource:
    """Hands out the numbers of one node; `clock_ms` gives milliseconds since 1970."""

    def __init__(self, node: int, clock_ms: Callable[[], int]) -> None:
        self._node = (node % NODES_MAX) << SEQUENCE_BITS
        self._clock_ms = clock_ms
        self._ms = 0
        self._sequence = 0

    def next(self) -> int:
        """A number larger than every one before it; borrows from the next millisecond when 2,048 are used up."""
        now = self._clock_ms()
        if now > self._ms:
            self._ms, self._sequence = now, 0
        elif self._sequence == _SEQUENCE_MASK:
            self._ms, self._sequence = self._ms + 1, 0
        else:
            self._sequence += 1
        return self._ms << LOW_BITS | self._node | self._sequence


def public_id(prefix: str, number: int) -> str:
    """The text that users see: prefix, ten characters of time, five of node and running number."""
    low = number & _LOW_MASK
    time = _time_text(number >> LOW_BITS)
    return f"{prefix}{time}{_PAIRS[low >> 15]}{_PAIRS[low >> 5 & 1023]}{_ALPHABET[low & 31]}"


@lru_cache(MILLISECONDS_REMEMBERED)
def _time_text(unix_ms: int) -> str:
    """Its ten characters; what comes or goes together shares its time."""
    return "".join([_PAIRS[unix_ms >> shift & 1023] for shift in (40, 30, 20, 10, 0)])


def parse_id(prefix: str, text: str) -> int | None:
    """The number behind a public id, or None when `text` is not one of that kind."""
    code = text.removeprefix(prefix)
    if not text.startswith(prefix) or not _TEXT.fullmatch(code):
        return None
    bits = 0
    for char in code:
        bits = bits << 5 | _VALUES[char]
    number = (bits >> 25) << LOW_BITS | bits & _LOW_MASK
    return number if number < 1 << 63 and public_id(prefix, number) == text else None


def time_ms(number: int) -> int:
    """When the number was made, in milliseconds since 1970."""
    return number >> LOW_BITS


def node_of(number: int) -> int:
    """Which node made the number, of those that run side by side."""
    return number >> SEQUENCE_BITS & NODES_MAX - 1


def first_id_at(unix_ms: int) -> int:
    """The smallest number that could be made at that millisecond: the lower bound of a range by time."""
    return max(0, min(unix_ms, (1 << 42) - 1)) << LOW_BITS
