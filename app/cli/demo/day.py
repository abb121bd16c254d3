"""The day before the demo began, as a list of happenings. Pure: the same dice and the same moment give the same day."""

from collections.abc import Callable, Iterator
from random import Random
from typing import NamedTuple

from app.cli.demo.lives import ACCEPTED, DELIVERED, OPEN, life
from app.cli.demo.world import SENDERS, SILENT, SILENT_FOR_S, Sender, recipient, unique

DAY_S, HOUR_S = 86_400, 3_600
ON_TIME, REPEATED, FORGED, UNMAPPED = "on_time", "repeated", "forged", "unmapped"

_RHYTHM = (1, 1, 1, 1, 1, 2, 4, 7, 10, 12, 12, 11, 9, 10, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2)
"""How much mail is sent in each hour of a day, UTC."""
_REPEATED = 0.008
_FORGED, _UNMAPPED = 6, 3
_SILENT_SINCE_S, _SILENT_EVERY_S = 3 * DAY_S, 1_200
"""The source that is silent now has sent long enough to have a habit."""


class Happening(NamedTuple):
    """One request that a provider made; `at_s` is seconds since 1970."""

    at_s: float
    source: str
    kind: str
    recipient: str
    message: str
    manner: str = ON_TIME


def day_before(dice: Random, now_s: float, mails: int, plays: Callable[[str, str], bool]) -> list[Happening]:
    """Everything up to `now_s`, in its order; `plays` says whether a source tells of a kind of step."""
    happened = [*_lives(dice, now_s, mails), *_of_the_silent_one(dice, now_s)]
    happened = [one for one in happened if one.at_s < now_s and plays(one.source, one.kind)]
    return sorted([*happened, *(one for one in _mishaps(dice, happened) if one.at_s < now_s)])


def choose_sender(dice: Random) -> Sender:
    """One of those that still send."""
    return dice.choices(SENDERS, [sender.share for sender in SENDERS])[0]


def _lives(dice: Random, now_s: float, mails: int) -> Iterator[Happening]:
    hours = [now_s - HOUR_S * (back + 1) for back in range(24)]
    weights = [_RHYTHM[int(start // HOUR_S) % 24] for start in hours]
    for start in dice.choices(hours, weights, k=mails):
        sent_s = start + dice.uniform(0, HOUR_S)
        yield from _life(dice, choose_sender(dice).source, sent_s)


def _life(dice: Random, source: str, sent_s: float) -> Iterator[Happening]:
    to, message = recipient(dice), unique(dice)
    for after_s, kind in life(dice):
        yield Happening(sent_s + after_s, source, kind, to, message)


def _of_the_silent_one(dice: Random, now_s: float) -> Iterator[Happening]:
    sent_s = now_s - _SILENT_SINCE_S
    while sent_s < now_s - SILENT_FOR_S:
        to, message = recipient(dice), unique(dice)
        yield Happening(sent_s, SILENT.source, DELIVERED, to, message)
        if dice.random() < 0.4:
            yield Happening(sent_s + dice.uniform(5, 200), SILENT.source, OPEN, to, message)
        sent_s += _SILENT_EVERY_S * dice.uniform(0.5, 1.5)


def _mishaps(dice: Random, happened: list[Happening]) -> Iterator[Happening]:
    """Requests that came twice, that somebody forged, and that no mapping knows."""
    for one in happened:
        if one.source != SILENT.source and dice.random() < _REPEATED:
            yield one._replace(at_s=one.at_s + dice.uniform(0.5, 2), manner=REPEATED)
    accepted = [one for one in happened if one.kind == ACCEPTED]
    for one in dice.sample(accepted, min(_FORGED, len(accepted))):
        yield one._replace(message=unique(dice), manner=FORGED)
    of_resend = [one for one in accepted if one.source == "shop"]
    for one in dice.sample(of_resend, min(_UNMAPPED, len(of_resend))):
        yield one._replace(message=unique(dice), manner=UNMAPPED)
