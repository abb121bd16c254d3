"""What becomes of one mail: steps of its life, with times as they are in the world. Pure; the dice come in."""

from random import Random
from typing import NamedTuple

ACCEPTED, DELIVERED, DEFERRED = "accepted", "delivered", "deferred"
HARD_BOUNCE, SOFT_BOUNCE, BLOCK, DROPPED = "hard_bounce", "soft_bounce", "block", "dropped"
OPEN, MACHINE_OPEN, CLICK = "open", "machine_open", "click"
COMPLAINT, UNSUBSCRIBE = "complaint", "unsubscribe"

_FATES = {DELIVERED: 0.955, DEFERRED: 0.02, HARD_BOUNCE: 0.011, SOFT_BOUNCE: 0.007, BLOCK: 0.004, DROPPED: 0.003}
"""What happens first after the provider took a mail."""
_MACHINE_OPENS, _OPENS, _OPENS_AGAIN, _CLICKS = 0.12, 0.36, 0.3, 0.28
_COMPLAINS, _UNSUBSCRIBES = 0.0015, 0.004
_OPENED_AFTER_S, _CLICKED_AFTER_S = 5_400, 40
"""Means; most are faster, some much slower."""


class Step(NamedTuple):
    """One thing that the provider tells about the mail, so many seconds after it was sent."""

    after_s: float
    kind: str


def life(dice: Random) -> list[Step]:
    """The whole life of one mail, in the order in which it happens."""
    steps = [Step(0.0, ACCEPTED)]
    (fate,) = dice.choices(list(_FATES), list(_FATES.values()))
    after_s = dice.uniform(0.4, 6)
    steps.append(Step(after_s, fate))
    if fate == DEFERRED:
        after_s += dice.uniform(120, 1_800)
        steps.append(Step(after_s, DELIVERED))
    if fate in (DEFERRED, DELIVERED):
        steps += _read(dice, after_s)
    return sorted(steps)


def _read(dice: Random, delivered_s: float) -> list[Step]:
    """What recipients do, and what their software does for them."""
    steps = list[Step]()
    if dice.random() < _MACHINE_OPENS:
        steps.append(Step(delivered_s + dice.uniform(1, 20), MACHINE_OPEN))
    if dice.random() < _COMPLAINS:
        steps.append(Step(delivered_s + dice.uniform(60, 7_200), COMPLAINT))
    if dice.random() >= _OPENS:
        return steps
    opened_s = delivered_s + 4 + dice.expovariate(1 / _OPENED_AFTER_S)
    steps.append(Step(opened_s, OPEN))
    if dice.random() < _OPENS_AGAIN:
        steps.append(Step(opened_s + 30 + dice.expovariate(1 / _OPENED_AFTER_S), OPEN))
    if dice.random() < _CLICKS:
        steps.append(Step(opened_s + 2 + dice.expovariate(1 / _CLICKED_AFTER_S), CLICK))
    if dice.random() < _UNSUBSCRIBES:
        steps.append(Step(opened_s + dice.uniform(5, 90), UNSUBSCRIBE))
    return steps
