"""The `timestamp` of a mapping's `fields`: when an event happened, from the first of its times that can be read."""

from collections.abc import Sequence
from contextlib import nullcontext

from adapters.errors import MapFailed
from adapters.fields import expressed
from adapters.mapping_file import Place
from adapters.times import UNITS, ReadTime, checked_format, time_reader, zone_named
from adapters.writing import Value, Writing

TIME_KEYS = ("time", "unit", "zone", "format", "or_received")

NO_TIME = "no time in the item"


def read_timestamp(place: Place | None) -> Value:
    """A time in milliseconds, or a list of them of which the first readable one counts."""
    if place is None:
        return _no_timestamp
    candidates = [time for item in place.items() if (time := _read_time(item))]
    or_received = any(_or_received(item) for item in place.items())
    return lambda code: _write_first(code, candidates, or_received)


def _write_first(code: Writing, candidates: Sequence[tuple[Value, ReadTime]], or_received: bool) -> str:
    moment, failure = code.local("None"), code.local(code.bind(NO_TIME, "constant"))
    for at, (value, time) in enumerate(candidates):
        with code.only_if(f"{moment} is None") if at else nullcontext():
            found = value(code)
            with code.only_if(f"{found} is not None"), code.trying(MapFailed, f"{failure} = str(mistake)"):
                code.line(f"{moment} = {code.bind(time, 'time')}({found})")
    with code.only_if(f"{moment} is None"):
        code.line(f"{moment} = received_ms" if or_received else f"raise {code.bind(_refusal, 'refusal')}({failure})")
    return moment


def _no_timestamp(code: Writing) -> str:
    code.line(f"raise {code.bind(_refusal, 'refusal')}('the mapping names none for this type')")
    return "None"


def _refusal(reason: str) -> MapFailed:
    return MapFailed(f"timestamp: {reason}")


def _or_received(place: Place) -> bool:
    return place.is_section and "or_received" in place.entries() and place.entries()["or_received"].flag()


def _read_time(place: Place) -> tuple[Value, ReadTime] | None:
    if not place.is_section:
        return expressed(place), time_reader()
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
    return expressed(parts["time"]), time_reader(unit, zone, format_)


def _format(place: Place) -> str:
    try:
        return checked_format(place.text())
    except ValueError as mistake:
        raise place.invalid(str(mistake)) from None
