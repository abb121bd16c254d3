"""What an endpoint makes of an event: whether its filter wants it, and the body that its transform yields."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec

from adapters.closures import is_true
from adapters.errors import ExpressionError
from adapters.expressions import Expression, compile_expression

STEPS_MAX = 100_000
"""Of one evaluation, about ten milliseconds: everybody's events wait for it, and not only those of its endpoint."""
TRANSFORMED_BYTES_MAX = 1024 * 1024
TRIAL_S_MAX = 3.0
SHOWN_BYTES_MAX = 64 * 1024
_encode = msgspec.json.Encoder().encode


class StoredEvent(NamedTuple):
    """An event to try something on; `body` is what subscribers receive."""

    id: str
    type: str
    body: bytes


class ShapedEvent(msgspec.Struct, frozen=True):
    """What would become of one event."""

    id: str
    type: str
    matched: bool
    """Whether it would be delivered."""
    result: msgspec.Raw | None = None
    """The body that would be sent."""
    error: str | None = None
    """Why there is no result, or why the filter does not count."""


def compiled(source: str) -> Expression:
    """A filter or a transform. Raises ExpressionError with the position of the mistake."""
    return compile_expression(source, steps_max=STEPS_MAX)


def transformed(transform: Expression, event: bytes) -> bytes:
    """The body that is sent instead of the event. Raises ExpressionError where there is none to send."""
    result = transform(msgspec.json.decode(event))
    if result is None:
        raise ExpressionError("it yields nothing (null)")
    try:
        body = _encode(result)
    except (msgspec.MsgspecError, ValueError, TypeError, RecursionError) as error:
        raise ExpressionError(f"its result cannot be written as JSON: {error}") from error
    if len(body) > TRANSFORMED_BYTES_MAX:
        raise ExpressionError(f"its result has {len(body)} bytes, {TRANSFORMED_BYTES_MAX} are allowed")
    return body


def try_on(
    events: Sequence[StoredEvent],
    filter_: Expression | None,
    transform: Expression | None,
    *,
    monotonic: Callable[[], float],
) -> list[ShapedEvent]:
    """What would become of each event, as far as that can be told within TRIAL_S_MAX."""
    until = monotonic() + TRIAL_S_MAX
    late = f"not tried, because the trial had taken longer than {TRIAL_S_MAX:g} s"
    return [
        _shaped(event, filter_, transform)
        if monotonic() < until
        else ShapedEvent(event.id, event.type, matched=False, error=late)
        for event in events
    ]


def _shaped(event: StoredEvent, filter_: Expression | None, transform: Expression | None) -> ShapedEvent:
    matched, doubt = _is_wanted(event, filter_)
    if not matched:
        return ShapedEvent(event.id, event.type, matched=False)
    try:
        body = event.body if transform is None else transformed(transform, event.body)
    except ExpressionError as error:
        return ShapedEvent(event.id, event.type, matched=True, error=f"the transform failed: {error}")
    if len(body) > SHOWN_BYTES_MAX:
        doubt = f"the result has {len(body)} bytes, too many to show; it would be sent"
        return ShapedEvent(event.id, event.type, matched=True, error=doubt)
    return ShapedEvent(event.id, event.type, matched=True, result=msgspec.Raw(body), error=doubt)


def _is_wanted(event: StoredEvent, filter_: Expression | None) -> tuple[bool, str | None]:
    """Whether the event would be delivered; with the reason where the filter cannot tell, for then it would be."""
    if filter_ is None:
        return True, None
    try:
        return is_true(filter_(msgspec.json.decode(event.body))), None
    except ExpressionError as error:
        return True, f"the filter failed, so the event would be delivered: {error}"
