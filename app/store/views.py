"""How stored values are shown."""

from datetime import datetime

from adapters.events import iso_millis


def shown(moment: datetime) -> str:
    """A stored time as "2026-03-03T08:15:00.000Z"."""
    return iso_millis(round(moment.timestamp() * 1000))


def shown_or_none(moment: datetime | None) -> str | None:
    """The same, where there may be none."""
    return None if moment is None else shown(moment)
