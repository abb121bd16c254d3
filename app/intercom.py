"""What the workers of one gateway tell each other, so that nobody has to wait for the next look at the database.

Strategy: each worker has an end of a datagram socket to hear from, and one to everybody else; all were made by the
process that started them, so that they outlive the workers. A message is a topic and some numbers. What a full socket
does not take is kept, joined with what follows, and told a little later. A message that is lost costs a wait and no
work, because whoever hears also looks at every interval.
"""

import asyncio
import socket
from collections.abc import Callable, Collection, Sequence

import msgspec

from app.place import DELIVERY_SLOT, Place

DUE = "due"
"""Deliveries to these endpoints are due."""
LOOK = "look"
"""Something is due, or was changed by hand: look at everything."""
JOBS = "jobs"
"""There is a new bulk job."""
REGISTRATIONS = "registrations"
"""Sources or endpoints are others than before."""
REVOKED = "revoked"
"""A key was revoked, or a session ended."""
COMMITTED = "committed"
"""There may be new events in the log."""

_FOR_THE_SENDER = frozenset({DUE, LOOK, JOBS})

NUMBERS_MAX = 10_000
"""In one message; a socket takes twice as much."""
RETRY_S = 0.01
PAUSE_S = 0.05
"""Between two of the messages that are only told now and then."""
HEARD_AT_ONCE = 100
MESSAGE_BYTES_MAX = 256 * 1024

Hearer = Callable[[Sequence[int]], None]


class _Message(msgspec.Struct, array_like=True):
    topic: str
    numbers: list[int]


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Message).decode


class Intercom:
    """This process' part of it; where there are no others nothing is told."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._mouths = [_opened(descriptor) for descriptor in place.mouths]
        self._ear = _opened(place.ear) if place.has_others else None
        self._hearers: dict[str, Hearer] = {}
        self._untold: dict[tuple[int, str], set[int]] = {}
        """What a full socket did not take, by slot and topic."""
        self._resting: dict[str, bool] = {}
        """By topic that was told a moment ago, whether there is reason to tell it again."""

    def on(self, topic: str, hearer: Hearer) -> None:
        """Calls `hearer` with the numbers of each message of the topic."""
        self._hearers[topic] = hearer

    def start(self) -> None:
        """Begins to hear."""
        if self._ear is not None:
            asyncio.get_running_loop().add_reader(self._ear, self._hear)

    def close(self) -> None:
        """Hears and tells no more."""
        if self._ear is not None:
            asyncio.get_running_loop().remove_reader(self._ear)
            self._ear.close()
        for mouth in self._mouths:
            mouth.close()
        self._mouths.clear()

    def tell(self, topic: str, numbers: Collection[int] = ()) -> None:
        """Tells the delivery worker what is the sender's to know, and everybody else all other topics."""
        if len(numbers) > NUMBERS_MAX:
            topic, numbers = LOOK, ()
        for slot in range(len(self._mouths)):
            if slot != self._place.slot and (slot == DELIVERY_SLOT or topic not in _FOR_THE_SENDER):
                self._tell(slot, topic, numbers)

    def tell_now_and_then(self, topic: str) -> None:
        """The same, for what happens all the time: at once, and then no sooner than after PAUSE_S."""
        if not self._mouths:
            return
        if topic in self._resting:
            self._resting[topic] = True
            return
        self._resting[topic] = False
        self.tell(topic)
        asyncio.get_running_loop().call_later(PAUSE_S, self._rested, topic)

    def _rested(self, topic: str) -> None:
        if self._resting.pop(topic):
            self.tell_now_and_then(topic)

    def _tell(self, slot: int, topic: str, numbers: Collection[int]) -> None:
        if (untold := self._untold.get((slot, topic))) is not None:
            untold.update(numbers)
            return
        try:
            self._mouths[slot].send(_encode(_Message(topic, list(numbers))))
        except BlockingIOError:
            if not self._untold:
                asyncio.get_running_loop().call_later(RETRY_S, self._tell_again)
            self._untold[slot, topic] = set(numbers)
        except OSError:  # systems differ in how much a message may hold; whoever tells has a commit behind it to end
            if numbers:
                self._tell(slot, LOOK, ())

    def _tell_again(self) -> None:
        untold, self._untold = self._untold, {}
        if not self._mouths:
            return
        for (slot, topic), numbers in untold.items():
            if len(numbers) > NUMBERS_MAX:
                self._tell(slot, LOOK, ())
            else:
                self._tell(slot, topic, numbers)

    def _hear(self) -> None:
        for _ in range(HEARD_AT_ONCE):
            try:
                message = _decode(self._ear.recv(MESSAGE_BYTES_MAX)) if self._ear is not None else None
            except BlockingIOError:
                return
            if message is not None and (hearer := self._hearers.get(message.topic)):
                hearer(message.numbers)


def _opened(descriptor: int) -> socket.socket:
    opened = socket.socket(fileno=descriptor)
    opened.setblocking(False)
    return opened
