"""What endpoints that ask for it are told when the state of another one changes."""

from functools import partial

from adapters.events import iso_millis
from adapters.notices import Notice
from app.drafting import Drafts, called, noticed
from app.registry import Endpoint, Registry
from app.store.arrivals import Arrival
from app.store.health import DISABLED, ENABLED, FAILING, MOVED, RECOVERED, Health, news_told

_TYPES = {
    FAILING: "endpoint.failing",
    DISABLED: "endpoint.disabled",
    **dict.fromkeys((RECOVERED, ENABLED, MOVED), "endpoint.recovered"),
}


class Announcements:
    """Makes the events `endpoint.failing`, `endpoint.disabled` and `endpoint.recovered`."""

    def __init__(self, registry: Registry, drafts: Drafts) -> None:
        self._registry = registry
        self._drafts = drafts

    def of(self, endpoint_id: int, health: Health) -> Arrival | None:
        """The event that tells the news in `health`, to be stored unless they were told meanwhile."""
        endpoint = self._registry.endpoint(endpoint_id)
        if health.news is None or health.news_at is None or endpoint is None:
            return None
        notice = Notice(
            summary=_summary(endpoint, health, health.news),
            since=iso_millis(health.failing_since or health.news_at),
            numbers=_numbers(health, health.news_at),
            endpoint=noticed(endpoint),
        )
        event = self._drafts.notice(endpoint.environment_id, _TYPES[health.news], notice, health.news_at)
        return Arrival(None, [event], condition=partial(news_told, endpoint_id=endpoint_id, health=health))


def _summary(endpoint: Endpoint, health: Health, news: str) -> str:
    if news == FAILING:
        return f"{called(endpoint)} keeps failing: {health.failures} attempts in a row, the last one: {health.reason}."
    if news == DISABLED:
        return f"{called(endpoint)} was disabled, and its deliveries are held: {health.why_disabled}."
    if news == ENABLED:
        return f"{called(endpoint)} was enabled by hand, and is sent to again."
    if news == MOVED:
        return f"{called(endpoint)} has another URL now, and is sent to again."
    return f"{called(endpoint)} takes deliveries again."


def _numbers(health: Health, at: int) -> dict[str, float | int]:
    if health.failures:
        return {"failed_attempts": health.failures}
    return {"failing_s": round((at - (health.failing_since or at)) / 1000)}
