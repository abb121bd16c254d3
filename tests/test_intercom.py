"""What workers tell each other: to whom it goes, and that a full socket loses nothing."""

import asyncio
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from app.intercom import COMMITTED, DUE, LOOK, NUMBERS_MAX, REGISTRATIONS, Intercom
from app.place import ALONE, DELIVERY, INBOUND, Place

pytestmark = pytest.mark.anyio

WORKERS = 3
Heard = list[tuple[str, list[int]]]


class Member:
    """A worker, and what it has heard."""

    def __init__(self, intercom: Intercom) -> None:
        self.intercom = intercom
        self.heard: Heard = []
        for topic in (DUE, LOOK, REGISTRATIONS, COMMITTED):
            intercom.on(topic, lambda numbers, topic=topic: self.heard.append((topic, sorted(numbers))))

    async def hears(self, number: int) -> Heard:
        """What it has heard, once that is so much."""
        async with asyncio.timeout(10):
            while len(self.heard) < number:
                await asyncio.sleep(0.001)
        return self.heard


@pytest.fixture
async def members() -> Iterator[list[Member]]:
    """The delivery worker and two others, none of which listens yet."""
    with ExitStack() as closing:
        pairs = [socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM) for _ in range(WORKERS)]
        made = list[Member]()
        for slot in range(WORKERS):
            place = Place(
                role=INBOUND if slot else DELIVERY,
                slot=slot,
                workers=WORKERS,
                ear=os.dup(pairs[slot][0].fileno()),
                mouths=tuple(os.dup(mouth.fileno()) for _, mouth in pairs),
            )
            made.append(Member(Intercom(place)))
        for ear, mouth in pairs:
            closing.enter_context(ear)
            closing.enter_context(mouth)
        yield made
        for member in made:
            member.intercom.close()


async def test_what_is_due_is_told_to_the_delivery_worker_and_all_else_to_everybody(members: list[Member]) -> None:
    for member in members:
        member.intercom.start()
    members[1].intercom.tell(DUE, [3, 4])
    members[1].intercom.tell(REGISTRATIONS)
    assert await members[0].hears(2) == [(DUE, [3, 4]), (REGISTRATIONS, [])]
    assert await members[2].hears(1) == [(REGISTRATIONS, [])]
    assert members[1].heard == []


async def test_what_a_full_socket_does_not_take_is_told_later(members: list[Member]) -> None:
    for number in range(5_000):
        members[1].intercom.tell(DUE, [number])
    members[0].intercom.start()
    async with asyncio.timeout(10):
        while {number for _, numbers in members[0].heard for number in numbers} != set(range(5_000)):
            await asyncio.sleep(0.001)
    assert len(members[0].heard) < 5_000


async def test_too_many_numbers_are_a_look_at_everything(members: list[Member]) -> None:
    members[0].intercom.start()
    members[2].intercom.tell(DUE, range(NUMBERS_MAX + 1))
    assert await members[0].hears(1) == [(LOOK, [])]


async def test_what_happens_all_the_time_is_told_now_and_then_and_in_the_end(members: list[Member]) -> None:
    members[2].intercom.start()
    for _ in range(100):
        members[1].intercom.tell_now_and_then(COMMITTED)
    assert await members[2].hears(2) == [(COMMITTED, []), (COMMITTED, [])]


async def test_whoever_is_alone_tells_nobody() -> None:
    intercom = Intercom(ALONE)
    intercom.start()
    intercom.tell(LOOK)
    intercom.tell_now_and_then(COMMITTED)
    intercom.close()
