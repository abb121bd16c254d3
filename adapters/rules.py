"""How one native item becomes one event: the compiled form of a mapping's `fields` and `types`."""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from hashlib import blake2b
from typing import Any, NamedTuple

import msgspec
from msgspec import UNSET

from adapters.completions import COMPLETIONS
from adapters.conditions import check_choices
from adapters.errors import MapFailed
from adapters.events import BLOCKS, MESSAGE_TYPES, EventData, Provider
from adapters.expressions import Scope
from adapters.fields import Read, constant, read_expression, read_value, shaped
from adapters.mapping_file import Place
from adapters.shapes import BLOCK_SHAPES, EVENT_SHAPES, OneOf, Shape
from adapters.tables import Table
from adapters.times import as_instant
from adapters.timestamps import read_timestamp
from adapters.writing import Value, Writing

IGNORED = "ignored"
"""In place of an event type: authentic, but not about a message."""

RULE_KEYS = ("when", "type", "fields")
FIELDS = (*EVENT_SHAPES, "timestamp", *BLOCKS)

_EMPTY: tuple[Any, ...] = (None, "", [], {})
_IDENTITIES = ("recipient", "email_id", "message_id")
_INSTANTS: dict[str, Shape] = {"next_attempt_at": as_instant}
_OF_PROVIDER = ("event_id", "stream")

_empty_digest = blake2b(digest_size=16)  # its copy costs less than a new one
_canonical = msgspec.json.Encoder(order="deterministic").encode


class MappedEvent(msgspec.Struct):
    """One native item as a unified event. The gateway adds `received_at` and the name of the source to `data`."""

    type: str
    timestamp_ms: int
    data: EventData
    dedup_key: bytes
    """16 bytes that are equal when the provider sends the same event again."""
    index: int
    """The position of the native item in its batch, from 0."""


class Format(NamedTuple):
    """What all rules of one payload format have in common."""

    provider: str
    tables: Mapping[str, Table]
    dedup: Sequence[Value]
    """What tells one event from another; where nothing of it is given, the whole item counts."""
    per_recipient: bool
    """Whether an item stands for an event for each of several recipients."""


ReadEvent = Callable[[Any, Scope, str, int, int], MappedEvent]
"""The event of an item, given its scope, its native type, when the request was received (ms) and the item's index.

Raises `MapFailed` when the item lacks what every event needs.
"""


class Rule:
    """One line of `types`: when it applies, the unified type, and how the event is read."""

    def __init__(self, type_: str, when: Read | None, fields: Mapping[str, Place], shared: Format) -> None:
        self.type = type_
        self.when = when
        self._shared = shared
        self._timestamp = read_timestamp(fields.get("timestamp"))
        self._fields = {
            **{
                name: _shaped(fields[name], EVENT_SHAPES[name], shared.tables)
                for name in EVENT_SHAPES
                if name in fields
            },
            **{name: _read_block(name, fields[name], shared.tables) for name in BLOCKS if name in fields},
        }

    @cached_property
    def event(self) -> ReadEvent:
        """Compiled for the first event that it reads: few gateways see more than some of all the rules there are."""
        return _written(self.type, self._fields, self._timestamp, self._shared)


def _written(type_: str, fields: Mapping[str, Value], timestamp: Value, shared: Format) -> ReadEvent:
    code = Writing("native_type", "received_ms", "index")
    found = {name: value(code) for name, value in fields.items()}
    with code.only_if(" and ".join(f"{found[name]} is None" for name in _IDENTITIES if name in found) or "True"):
        code.line(f"raise {code.bind(_nobodys, 'refusal')}()")
    happened = timestamp(code)
    data = ", ".join(f"{_attribute(name)}={found[name]}" for name in found if name not in _OF_PROVIDER)
    provider = (
        f"{code.bind(Provider, 'Provider')}({code.bind(shared.provider, 'constant')}, '', "
        f"{found.get('event_id')}, native_type, {found.get('stream')})"
    )
    key = _dedup_key(code, shared)
    code.line(
        f"return {code.bind(MappedEvent, 'MappedEvent')}({code.bind(type_, 'constant')}, {happened}, "
        f"{code.bind(EventData, 'EventData')}(provider={provider}, {data}), {key}, index)"
    )
    return code.function(f"{shared.provider}: {type_}")


def _dedup_key(code: Writing, shared: Format) -> str:
    parts = code.local(f"[{', '.join([value(code) for value in shared.dedup])}]")
    with code.only_if(f"not any({parts})"):
        code.line(f"{parts} = [item]")
    if shared.per_recipient:
        code.line(f"{parts}.append(scope.recipient)")
    digest = code.local(f"{code.bind(_empty_digest.copy, 'digest')}()")
    code.line(f"{digest}.update({code.bind(_canonical, 'canonical')}({parts}))")
    return f"{digest}.digest()"


def _nobodys() -> MapFailed:
    return MapFailed("neither recipient nor message id: not about a message")


def read_rules(place: Place, base: Mapping[str, Place], shared: Format) -> tuple[Rule, ...]:
    """The rules of one native type: a type word, a section, or a list of sections: the first that fits counts."""
    items = place.items()
    check_choices(items, "rule")
    return tuple(_read_rule(item, base, shared) for item in items)


def _read_rule(place: Place, base: Mapping[str, Place], shared: Format) -> Rule:
    parts = place.section(RULE_KEYS) if place.is_section else {"type": place}
    if "type" not in parts:
        raise place.invalid("a rule needs `type`")
    type_ = parts["type"].one_of((*MESSAGE_TYPES, IGNORED))
    fields = extended(base, parts.get("fields"))
    rule = Rule(type_, read_expression(parts["when"]) if "when" in parts else None, fields, shared)
    if type_ != IGNORED and ("timestamp" not in fields or not fields.keys() & set(_IDENTITIES)):
        raise place.invalid("its events need `timestamp` and one of `recipient`, `email_id`, `message_id` in `fields`")
    return rule


def extended(base: Mapping[str, Place], place: Place | None) -> dict[str, Place]:
    """The fields of `base` with those at `place` added or put in their stead."""
    return dict(base) if place is None else {**base, **place.section(FIELDS)}


def _attribute(field: str) -> str:
    return "from_" if field == "from" else "class_" if field == "class" else field


def _shaped(place: Place, shape: Shape, tables: Mapping[str, Table]) -> Value:
    """A field in its shape; what the file itself says of it, a constant or a table's words, is shaped once, here."""
    value = read_value(place, tables)
    parts = place.entries() if place.is_section else {}
    if "const" in parts:
        return constant(_fitting(parts["const"], parts["const"].value(), shape))
    if "table" in parts:
        _check_words(parts["table"], tables, shape)
    elif isinstance(shape, OneOf) and not place.is_list and not parts and place.text() in shape.words:
        word = place.text()
        raise place.invalid(f"'{word}' would be a key of the native event; the word itself is {{const: {word}}}")
    return shaped(value, shape)


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


def _read_block(name: str, place: Place, tables: Mapping[str, Table]) -> Value:
    shapes = BLOCK_SHAPES[name]
    parts = place.section(shapes)
    if name == "bounce" and "class" not in parts:
        raise place.invalid("a bounce needs `class`")
    fields = {
        _attribute(field): _shaped(part, _INSTANTS.get(field, shapes[field]), tables) for field, part in parts.items()
    }
    return lambda code: _write_block(code, name, {field: value(code) for field, value in fields.items()})


def _write_block(code: Writing, name: str, found: Mapping[str, str]) -> str:
    """A block of the values found, unset where there are none; completed where something follows from them."""
    struct, complete, unset = code.bind(BLOCKS[name], name), COMPLETIONS.get(name), code.bind(UNSET, "unset")
    if complete is None:
        empty = " and ".join(f"{value} is None" for value in found.values())
        return code.local(f"{unset} if {empty} else {struct}({', '.join(f'{at}={it}' for at, it in found.items())})")
    values = code.local("{}")
    for attribute, value in found.items():
        with code.only_if(f"{value} is not None"):
            code.line(f"{values}['{attribute}'] = {value}")
    block = code.local(unset)
    with code.only_if(values):
        code.line(f"{code.bind(complete, 'complete')}({values}, scope)")
        code.line(f"{block} = {struct}(**{values})")
    return block
