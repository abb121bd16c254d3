"""Native times as milliseconds since 1970: numbers of any unit, ISO 8601 as providers write it, other formats."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from email.utils import parsedate_to_datetime
from typing import Any
from zoneinfo import ZoneInfo

from adapters.errors import MapFailed
from adapters.events import iso_millis

ReadTime = Callable[[Any], int]
"""Milliseconds since 1970 of one native value; raises `MapFailed` when the value is no time."""

MILLIS_PER_UNIT = {"s": 1000.0, "ms": 1.0, "us": 0.001, "ns": 0.000_001}
UNITS = ("auto", *MILLIS_PER_UNIT)
_NUMBER_LIMIT = 10**19  # nanoseconds until the year 2286
_SECONDS_LIMIT = 10**11  # the year 5138: what is greater counts finer units
_NUMBER_CHARACTERS_MAX = 32
LATEST_MS = 253_402_300_800_000  # the year 10000


def time_reader(unit: str = "auto", zone: tzinfo | None = None, format_: str | None = None) -> ReadTime:
    """How one field of a mapping reads times.

    `unit` is that of numbers, also when they are sent as text; "auto" tells seconds from finer units by their size.
    `zone` holds for times without one, which are refused otherwise. `format_` is "rfc2822" or a strptime pattern.
    """

    in_seconds = format_ is None and unit in {"auto", "s"}

    def read(value: Any) -> int:
        if type(value) is int and in_seconds and 0 < value < _SECONDS_LIMIT:
            return value * 1000
        if type(value) is float and in_seconds and 1 <= value < _SECONDS_LIMIT:
            return round(value * 1000.0)
        moment = _number(value)
        if moment is not None and format_ is None:
            found = round(moment * _millis_per(moment, unit))
        elif isinstance(value, str):
            found = _milliseconds(_in_zone(_calendar(value.strip(), format_), zone, value))
        else:
            raise MapFailed(f"not a time: {value!r:.80}")
        if not 0 < found < LATEST_MS:
            raise MapFailed(f"a time outside of 1970 to 9999: {value!r:.80}")
        return found

    return read


def as_instant(value: Any) -> str | None:
    """A time as subscribers get all of them: ISO 8601, UTC, milliseconds. None for what is no time."""
    try:
        return iso_millis(_read_any(value))
    except MapFailed:
        return None


def checked_format(format_: str) -> str:
    """ "rfc2822" or a pattern of strptime, as it was given; raises ValueError for what is neither."""
    if format_ != "rfc2822":
        try:
            datetime.strptime("", format_)  # noqa: DTZ007 - nothing is read, only the pattern is looked at
        except ValueError as mistake:
            if "does not match format" not in str(mistake):
                raise ValueError(f"no time can be read with '{format_}': {mistake}") from None
    return format_


def zone_named(name: str) -> tzinfo:
    """ "UTC", an offset such as "+02:00", or an IANA name; raises ValueError for anything else."""
    if name.upper() in {"UTC", "Z"}:
        return UTC
    if name[0] in "+-":
        offset = datetime.strptime(name, "%z").utcoffset()
        return timezone(offset or timedelta())
    try:
        return ZoneInfo(name)
    except (KeyError, OSError):
        raise ValueError(f"no time zone is called '{name}'") from None


def _number(value: Any) -> float | int | None:
    if type(value) is int or type(value) is float:
        return value if abs(value) < _NUMBER_LIMIT else None
    return _spelled_number(value.strip()) if isinstance(value, str) else None


def _spelled_number(text: str) -> float | int | None:
    if len(text) > _NUMBER_CHARACTERS_MAX or not (text.isascii() and text.replace(".", "", 1).isdecimal()):
        return None
    return float(text) if "." in text else int(text)


def _millis_per(number: float, unit: str) -> float:
    """Up to 1e11 a number counts seconds, above that milliseconds, and so on by thousands."""
    if unit != "auto":
        return MILLIS_PER_UNIT[unit]
    if number < _SECONDS_LIMIT:
        return 1000.0
    return 1.0 if number < 1e14 else 0.001 if number < 1e17 else 0.000_001


def _calendar(text: str, format_: str | None) -> datetime:
    try:
        if format_ is None:
            return datetime.fromisoformat(text if text.count(" ") < 2 else _joined_zone(text))
        if format_ == "rfc2822":
            return parsedate_to_datetime(text)
        return datetime.strptime(text, format_)  # noqa: DTZ007 - the zone is the mapping's to say, see _in_zone
    except (ValueError, TypeError, IndexError):
        raise MapFailed(f"not a time: {text!r:.80}") from None


def _joined_zone(text: str) -> str:
    """ "2024-05-01 10:00:00 +0000" and "… UTC" as ISO 8601 writes them."""
    day, clock, zone = text.split(" ", 2)
    return f"{day}T{clock}{'Z' if zone in {'UTC', 'GMT'} else zone}"


def _in_zone(moment: datetime, zone: tzinfo | None, value: str) -> datetime:
    if moment.tzinfo is not None:
        return moment
    if zone is None:
        raise MapFailed(f"a time without a zone: {value!r:.80}")
    return moment.replace(tzinfo=zone)


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


def _milliseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // _MILLISECOND


_read_any = time_reader()
