"""Who is let in: provider requests that cannot be taken now are told so before they cost anything.

Two things run away when more comes than can be stored: the memory that requests hold from their first byte to their
answer, and the time for which they wait for their commit. Both are looked at before a body is read, and the memory with
each part of it that comes, so that many slow uploads are bounded just as many fast ones. Small bodies are always let
in, bounded by the number of connections; of large ones, who dawdles gives way to who comes.
"""

from collections.abc import Callable

SMALL_BYTES = 16 * 1024
DAWDLES_AFTER_S = 5.0
"""How long a large body may take to come while others lack the room that it holds."""


class Crowded(Exception):
    """A request cannot be taken now; the message says why, and its sender is to come again."""


class Admission:
    """Keeps the room for large bodies. `expected_wait_s` tells how long a request would wait for its commit."""

    def __init__(
        self,
        expected_wait_s: Callable[[], float],
        monotonic: Callable[[], float],
        *,
        wait_s_max: float,
        bytes_max: int,
    ) -> None:
        self._expected_wait_s = expected_wait_s
        self._monotonic = monotonic
        self._wait_s_max = wait_s_max
        self._bytes_max = bytes_max
        self._bytes = 0
        self._coming: dict[Holding, float] = {}
        """Those whose bodies are not complete, and since when, oldest first."""

    def check_wait(self) -> None:
        """Raises Crowded where a request would wait for longer than MAILWEIR_INBOUND_WAIT_S_MAX."""
        wait_s = self._expected_wait_s()
        if wait_s > self._wait_s_max:
            raise Crowded(
                f"A commit would take {wait_s:.1f} s, and MAILWEIR_INBOUND_WAIT_S_MAX is {self._wait_s_max:g}"
            )

    def holding(self, on_dawdling: Callable[[], None]) -> "Holding":
        """For one body larger than SMALL_BYTES; `on_dawdling` is called when it has to give way."""
        return Holding(self, on_dawdling)

    def check_room(self, size: int, *, own: int) -> None:
        """Raises Crowded where so many bytes more are too many; a request that is alone has what it needs."""
        if self._bytes > own and self._bytes + size > self._bytes_max:
            self._end_what_dawdles()
            raise Crowded("Other requests hold as much memory as MAILWEIR_INBOUND_WAITING_BYTES_MAX allows")

    def take(self, holding: "Holding", size: int) -> None:
        """Keeps so many bytes more. Raises Crowded."""
        self.check_room(size, own=holding.size)
        self._coming.setdefault(holding, self._monotonic())
        self._bytes += size

    def has_come(self, holding: "Holding") -> None:
        """Its body is complete, or not wanted any more."""
        self._coming.pop(holding, None)

    def give_back(self, size: int) -> None:
        """They are free again."""
        self._bytes -= size

    def _end_what_dawdles(self) -> None:
        long_ago = self._monotonic() - DAWDLES_AFTER_S
        for holding in [holding for holding, since in self._coming.items() if since <= long_ago]:
            self.has_come(holding)
            holding.on_dawdling()


class Holding:
    """What one large body holds, until it is given back."""

    __slots__ = ("_admission", "on_dawdling", "size")

    def __init__(self, admission: Admission, on_dawdling: Callable[[], None]) -> None:
        self._admission = admission
        self.on_dawdling = on_dawdling
        self.size = 0

    def expect(self, size: int) -> None:
        """So many bytes are announced. Raises Crowded."""
        self._admission.check_room(size, own=self.size)

    def take(self, size: int) -> None:
        """So many bytes have come. Raises Crowded."""
        self._admission.take(self, size)
        self.size += size

    def has_come(self) -> None:
        """The body is complete."""
        self._admission.has_come(self)

    def give_back(self) -> None:
        """The body is not held any more."""
        self.has_come()
        self._admission.give_back(self.size)
        self.size = 0
