"""What an evaluation may see beside its input, and how much work it may do.

Expressions are written by users of the API, so every evaluation has a budget of steps: about one step for each node
evaluated inside a projection, for each element built, and for every sixteen characters read or written.
"""

from typing import Any, TypeAlias

import msgspec

from adapters.errors import ExpressionError
from adapters.request import NativeRequest

Json: TypeAlias = dict[str, Any] | list[Any] | str | float | bool | None
"""A decoded JSON value; its containers are exactly dict and list."""

STEPS_MAX = 1_000_000
"""Steps of one evaluation: about a tenth of a second, or sixteen million characters."""
SHORT_TEXT = 64
"""Characters up to which a text costs nothing beyond the call."""


class Scope(msgspec.Struct):
    """What functions may see beside the current node; `steps_…` belong to the evaluation that is running."""

    request: NativeRequest | None = None
    body: Any = None
    parent: Any = None
    recipient: Any = None
    steps_max: int = STEPS_MAX
    steps_left: int = STEPS_MAX


NO_SCOPE = Scope()


def spend(scope: Scope, steps: int) -> None:
    """Takes `steps` from the budget, before the work is done; raises ExpressionError when it does not suffice."""
    scope.steps_left -= steps
    if scope.steps_left < 0:
        raise ExpressionError(f"the evaluation takes more than {scope.steps_max} steps")


def spend_text(scope: Scope, characters: int) -> None:
    """Takes what reading or writing so many characters costs."""
    if characters > SHORT_TEXT:
        spend(scope, characters >> 4)


def weigh(scope: Scope, value: Any, *, price: int = 1) -> None:
    """Takes a step for every scalar, container and key in `value`, counting what is shared each time it appears.

    `price` is how many steps each element or key costs, where more is done with it than looking at it.
    """
    pending: list[Json] = [value]
    steps = 0
    while pending and steps <= scope.steps_left:
        item = pending.pop()
        if type(item) is str:
            steps += len(item) >> 4
        elif type(item) is list:
            steps += len(item) * price
            pending.extend(item)
        elif type(item) is dict:
            steps += len(item) * price + (sum(map(len, item)) >> 4)
            pending.extend(item.values())
    spend(scope, steps)
