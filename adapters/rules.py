"""How one native item becomes one event: the compiled form of a mapping's `fields` and `types`."""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from adapters.completions import COMPLETIONS
from adapters.conditions import check_choices
from adapters.errors import MapFailed
from adapters.events import BLOCKS, MESSAGE_TYPES, EventData, Provider
from adapters.expressions import Scope
from adapters.fields import Read, plain_key, read_expression, read_value
from adapters.functions.scope import Json
from adapters.mapping_file import Place
from adapters.shapes import BLOCK_SHAPES, EVENT_SHAPES, OneOf, Shape, as_text
from adapters.tables import Table
from adapters.times import UNITS, ReadTime, as_instant, checked_format, time_reader, zone_named

IGNORED = "ignored"
"""In place of an event type: authentic, but not about a message."""

RULE_KEYS = ("when", "type", "fields")
TIME_KEYS = ("time", "unit", "zone", "format", "or_received")
FIELDS = (*EVENT_SHAPES, "timestamp", *BLOCKS)

_EMPTY: tuple[Any, ...] = (None, "", [], {})
_IDENTITIES = {"recipient", "email_id", "message_id"}
_INSTANTS: dict[str, Shape] = {"next_attempt_at": as_instant}

ReadMoment = Callable[[Any, Scope, int], int]
"""The event's time in milliseconds, given the item, its scope and when the request was received."""


class Rule:
    """One line of `types`: when it applies, the unified type, and how the fields are read."""

    def __init__(self, type_: str, when: Read | None, fields: Mapping[str, Place], tables: Mapping[str, Table]) -> None:
        self.type = type_
        self.when = when
        self._event_id = _shaped(fields.get("event_id"), as_text, tables)
        self._stream = _shaped(fields.get("stream"), as_text, tables)
        self._timestamp = _read_timestamp(fields.get("timestamp"))
        plain = {name: shape for name, shape in EVENT_SHAPES.items() if name not in {"event_id", "stream"}}
        self._fields = (
            *((_attribute(name), _shaped(fields[name], plain[name], tables)) for name in plain if name in fields),
            *((name, _read_block(name, fields[name], tables)) for name in BLOCKS if name in fields),
        )

    def draft(
        self, item: Any, scope: Scope, provider: str, native_type: str, received_ms: int
    ) -> tuple[int, EventData]:
        """The event's time in milliseconds since 1970, and what happened.

        Raises `MapFailed` when the item lacks what every event needs.
        """
        named = Provider(provider, "", self._event_id(item, scope), native_type, self._stream(item, scope))
        data = EventData(provider=named)
        for name, read in self._fields:  # set one by one, which costs half of what keyword arguments do
            setattr(data, name, read(item, scope))
        if data.recipient is None and data.email_id is None and data.message_id is None:
            raise MapFailed("neither recipient nor message id: not about a message")
        return self._timestamp(item, scope, received_ms), data


def read_rules(place: Place, base: Mapping[str, Place], tables: Mapping[str, Table]) -> tuple[Rule, ...]:
    """The rules of one native type: a type word, a section, or a list of sections: the first that fits counts."""
    items = place.items()
    check_choices(items, "rule")
    return tuple(_read_rule(item, base, tables) for item in items)


def _read_rule(place: Place, base: Mapping[str, Place], tables: Mapping[str, Table]) -> Rule:
    parts = place.section(RULE_KEYS) if place.is_section else {"type": place}
    if "type" not in parts:
        raise place.invalid("a rule needs `type`")
    type_ = parts["type"].one_of((*MESSAGE_TYPES, IGNORED))
    fields = extended(base, parts.get("fields"))
    rule = Rule(type_, read_expression(parts["when"]) if "when" in parts else None, fields, tables)
    if type_ != IGNORED and ("timestamp" not in fields or not fields.keys() & _IDENTITIES):
        raise place.invalid("its events need `timestamp` and one of `recipient`, `email_id`, `message_id` in `fields`")
    return rule


def extended(base: Mapping[str, Place], place: Place | None) -> dict[str, Place]:
    """The fields of `base` with those at `place` added or put in their stead."""
    return dict(base) if place is None else {**base, **place.section(FIELDS)}


def _attribute(field: str) -> str:
    return "from_" if field == "from" else "class_" if field == "class" else field


def _nothing(_item: Any, _scope: Scope) -> None:
    return None


def _shaped(place: Place | None, shape: Shape, tables: Mapping[str, Table]) -> Read:
    """Reads a field and brings it into shape; a constant is shaped once, here."""
    if place is None:
        return _nothing
    read = read_value(place, tables)
    parts = place.entries() if place.is_section else {}
    if "const" in parts:
        return _constant(parts["const"], shape)
    if "table" in parts:
        _check_words(parts["table"], tables, shape)
    elif isinstance(shape, OneOf) and not place.is_list and not parts and place.text() in shape.words:
        word = place.text()
        raise place.invalid(f"'{word}' would be a key of the native event; the word itself is {{const: {word}}}")
    key = plain_key(place)
    if shape is as_text:
        return _text(read) if key is None else _text_of_key(key)
    return _shape_of_key(shape, key) if key is not None else lambda item, scope: shape(read(item, scope))


def _constant(place: Place, shape: Shape) -> Read:
    constant = _fitting(place, place.value(), shape)
    return lambda _item, _scope: constant


def _check_words(place: Place, tables: Mapping[str, Table], shape: Shape) -> None:
    """Refuses a table that has, for any word, what the field cannot take."""
    for value in tables[place.text()].values:
        _fitting(place, value, shape)


def _fitting(place: Place, value: Any, shape: Shape) -> Any:
    try:
        fitting = shape(value)
    except MapFailed as mistake:
        raise place.invalid(str(mistake)) from None
    if fitting is None and value not in _EMPTY:
        raise place.invalid(f"this field cannot be {value!r:.80}")
    return fitting


def _shape_of_key(shape: Shape, key: str) -> Read:
    def shaped(item: Json, _: Scope) -> Any:
        return shape(item.get(key) if type(item) is dict else None)

    return shaped


def _text_of_key(key: str) -> Read:
    """The commonest field: a text under a key of the item, with no call but this one where it is usable as it is."""

    def text(item: Json, _: Scope) -> str | None:
        value: Any = item.get(key) if type(item) is dict else None
        if value is None or (type(value) is str and value and "\0" not in value):
            return value
        return as_text(value)

    return text


def _text(read: Read) -> Read:
    """The commonest shape, without a second call where the value is a usable text already."""

    def text(item: Any, scope: Scope) -> str | None:
        value = read(item, scope)
        if value is None or (type(value) is str and value and "\0" not in value):
            return value
        return as_text(value)

    return text


def _read_block(name: str, place: Place, tables: Mapping[str, Table]) -> Read:
    shapes = BLOCK_SHAPES[name]
    parts = place.section(shapes)
    if name == "bounce" and "class" not in parts:
        raise place.invalid("a bounce needs `class`")
    readers = tuple(
        (_attribute(field), _shaped(part, _INSTANTS.get(field, shapes[field]), tables)) for field, part in parts.items()
    )
    struct = BLOCKS[name]
    complete = COMPLETIONS.get(name)

    def read(item: Any, scope: Scope) -> msgspec.Struct | msgspec.UnsetType:
        values: dict[str, Any] = {}
        for field, reader in readers:
            value = reader(item, scope)
            if value is not None:
                values[field] = value
        if not values:
            return msgspec.UNSET
        if complete is not None:
            complete(values, scope)
        return struct(**values)

    return read


def _read_timestamp(place: Place | None) -> ReadMoment:
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
