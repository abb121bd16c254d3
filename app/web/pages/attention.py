"""What needs attention, each in one sentence with the one action that mends it. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from app.figures import EndpointFigures, SourceFigures
from app.store.alerts import State
from app.store.stats import Queue

COUNTED_MAX = 1_000
"""Numbers of what waits or failed are counted as far as that."""
TYPES_NAMED_MAX = 3
BAD, WARN = "bad", "warn"


class SourceSeen(NamedTuple):
    """A source as the overview sees it; figures are of the chosen time, rejected and quarantined of the last day."""

    name: str
    provider: str
    trouble: str | None
    """Why nothing can be accepted from it."""
    heard_at: str | None
    """When something authentic last came."""
    figures: SourceFigures
    rejected: int
    quarantined: int
    types: Sequence[str]
    """Native ones that its mapping does not name."""
    lag_s: float | None
    """How long its events were on their way to us, the middle of the last ones."""


class EndpointSeen(NamedTuple):
    """An endpoint as the overview sees it; the figures are of the chosen time, failed deliveries of the last week."""

    id: int
    name: str
    url: str
    state: str
    """healthy, failing, paused or disabled."""
    failures: int
    """In a row."""
    reason: str | None
    """Why it is disabled, or what the last failed attempt ended with."""
    figures: EndpointFigures
    queue: Queue
    failed: int
    """Given up, and not sent again since."""

    @property
    def waiting(self) -> int:
        """What is still to be sent to it, and not held."""
        return self.queue.pending + self.queue.sending + self.queue.queued


class Fired(NamedTuple):
    """An alert that fires."""

    name: str
    state: State
    path: str
    """Where the page of the source or endpoint is."""


class Action(NamedTuple):
    """A link, or a form that posts its fields."""

    label: str
    path: str
    fields: Mapping[str, str | int] | None = None


class Line(NamedTuple):
    """One thing that needs attention; texts of strangers may be in the sentence."""

    tone: str
    sentence: str
    action: Action


def attention(sources: Sequence[SourceSeen], endpoints: Sequence[EndpointSeen], fired: Sequence[Fired]) -> list[Line]:
    """All there is, the worst first."""
    lines = [
        *(line for endpoint in endpoints for line in _of_endpoint(endpoint)),
        *(line for source in sources for line in _of_source(source)),
        *(Line(BAD, f"Alert “{alert.name}”: {alert.state.summary}", Action("Look", alert.path)) for alert in fired),
    ]
    return sorted(lines, key=lambda line: line.tone != BAD)


def _of_endpoint(seen: EndpointSeen) -> Iterator[Line]:
    held, name = seen.queue.held, f"“{seen.name}”"
    enable = {"endpoint_id": seen.id}
    match seen.state:
        case "disabled":
            sentence = f"{name} was disabled: {_ended(seen.reason or 'the gateway gave it up')} {_held(held)}"
            yield Line(BAD, sentence.strip(), Action("Enable it", "/attention/enable", enable))
        case "paused" if held:
            sentence = f"{name} is paused. {_held(held)}"
            yield Line(WARN, sentence, Action("Resume it", "/attention/enable", enable))
        case "failing":
            why = f"; the last one: {_ended(seen.reason)}" if seen.reason else "."
            waits = f" {_number(seen.waiting, 'delivery waits', 'deliveries wait')} for it." if seen.waiting else ""
            sentence = f"{name} has failed {seen.failures} times in a row{why}{waits}"
            yield Line(BAD, sentence, Action("Try it now", "/attention/test", enable))
        case "healthy" if held:
            path = f"/deliveries?status=held&endpoint_id={seen.id}"
            yield Line(WARN, f"{_held(held)} They are for {name}.", Action("See why", path))
        case _:
            pass
    if seen.failed and seen.state in ("healthy", "failing"):
        what = _number(seen.failed, "delivery", "deliveries")
        sentence = f"{what} to {name} {'was' if seen.failed == 1 else 'were'} given up, and can be sent again."
        yield Line(BAD, sentence, Action("Send again", "/attention/recover", enable))


def _of_source(seen: SourceSeen) -> Iterator[Line]:
    page = f"/sources/{seen.name}"
    if seen.trouble:
        yield Line(BAD, f"Nothing can be accepted from {seen.name}: {_ended(seen.trouble)}", Action("Mend it", page))
    if seen.rejected:
        what = _number(seen.rejected, "request", "requests")
        does = "does" if seen.rejected == 1 else "do"
        sentence = f"{what} to {seen.name} within a day {does} not verify: a stranger, or another signing secret."
        yield Line(WARN, sentence, Action("Check the secret", page))
    if seen.quarantined:
        what = _number(seen.quarantined, "request", "requests")
        types = f" The mapping does not name {_listed(seen.types)}." if seen.types else ""
        sentence = (
            f"{what} to {seen.name} within a day could not be read in full and {_is(seen.quarantined)} kept.{types}"
        )
        yield Line(WARN, sentence, Action("See why", f"/receipts?status=quarantined&source={seen.name}"))
    if seen.heard_at is None and not seen.rejected:
        sentence = f"Nothing has come from {seen.name} yet: {seen.provider} has to be told where to post."
        yield Line(WARN, sentence, Action("Set it up", page))


def _held(number: int) -> str:
    if not number:
        return ""
    return f"{_number(number, 'delivery', 'deliveries')} {_is(number)} held, and not lost."


def _number(count: int, one: str, many: str) -> str:
    if count >= COUNTED_MAX:
        return f"{COUNTED_MAX} or more {many}"
    return f"{count} {one if count == 1 else many}"


def _is(number: int) -> str:
    return "is" if number == 1 else "are"


def _listed(types: Sequence[str]) -> str:
    named = ", ".join(f"“{name}”" for name in types[:TYPES_NAMED_MAX])
    more = len(types) - TYPES_NAMED_MAX
    return f"{named} and {more} more" if more > 0 else named


def _ended(text: str) -> str:
    return text.rstrip(".") + "."
