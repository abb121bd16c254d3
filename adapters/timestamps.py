"""The `timestamp` of a mapping's `fields`: when an event happened, from the first of its times that can be read."""

from collections.abc import Callable
from typing import Any

from adapters.errors import MapFailed
from adapters.expressions import Scope
from adapters.fields import Read, read_expression
from adapters.mapping_file import Place
from adapters.times import UNITS, ReadTime, checked_format, time_reader, zone_named

TIME_KEYS = ("time", "unit", "zone", "format", "or_received")

ReadMoment = Callable[[Any, Scope, int], int]
"""The event's time in milliseconds, given the item, its scope and when the request was received."""


def read_timestamp(place: Place | None) -> ReadMoment:
    """A time, or a list of them of which the first readable one counts."""
    if place is None:
        return _no_timestamp
    candidates = tuple(time for item in place.items() if (time := _read_time(item)))
    or_received = any(_or_received(item) for item in place.items())

    def read(item: Any, scope: Scope, received_ms: int) -> int:
        failure = "no time in the item"
        for value, moment in candidates:
            try:
                found = value(item, scope)
                if found is not None:
                    return moment(found)
            except MapFailed as mistake:
                failure = str(mistake)
        if or_received:
            return received_ms
        raise MapFailed(f"timestamp: {failure}")

    return read


def _no_timestamp(_item: Any, _scope: Scope, _received_ms: int) -> int:
    raise MapFailed("timestamp: the mapping names none for this type")


def _or_received(place: Place) -> bool:
    return place.is_section and "or_received" in place.entries() and place.entries()["or_received"].flag()


def _read_time(place: Place) -> tuple[Read, ReadTime] | None:
    if not place.is_section:
        return read_expression(place), time_reader()
    parts = place.section(TIME_KEYS)
    if "time" not in parts:
        if "or_received" in parts:
            return None
        raise place.invalid("a timestamp needs `time` (the expression to read), or `or_received: true`")
    zone = None
    if "zone" in parts:
        try:
            zone = zone_named(parts["zone"].text())
        except ValueError as mistake:
            raise parts["zone"].invalid(str(mistake)) from None
    if "unit" in parts and "format" in parts:
        raise parts["unit"].invalid("a time with `format` is no number, and has no `unit`")
    unit = parts["unit"].one_of(UNITS) if "unit" in parts else "auto"
    format_ = _format(parts["format"]) if "format" in parts else None
    return read_expression(parts["time"]), time_reader(unit, zone, format_)


def _format(place: Place) -> str:
    try:
        return checked_format(place.text())
    except ValueError as mistake:
        raise place.invalid(str(mistake)) from None
