"""From a decoded body to events: finds the items, chooses each one's rule, keeps apart what cannot be read."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import filterfalse
from typing import Any, NamedTuple

import msgspec

from adapters.closures import is_true
from adapters.errors import AdapterError, MapFailed
from adapters.expressions import Scope
from adapters.fields import Read
from adapters.functions.scope import Json
from adapters.handshake import Answer
from adapters.rules import IGNORED, MappedEvent, Rule
from adapters.shapes import as_text

ITEMS_MAX = 10_000
RECIPIENTS_MAX = 1_000

ITEM_FAULTS = (AdapterError, ValueError, TypeError, ArithmeticError, LookupError, RecursionError)
"""What an item that cannot be read raises."""


class Quarantined(msgspec.Struct):
    """An authentic item, or a whole body (`index` None), that the mapping cannot read."""

    index: int | None
    reason: str
    native_type: str | None = None


class Unnamed(msgspec.Struct):
    """What an item has that the mapping does not name."""

    index: int
    native_type: str | None
    """The type, where that is what is not named."""
    keys: Sequence[str]
    item: Any


class Reading(msgspec.Struct):
    """Everything one request holds."""

    events: list[MappedEvent] = []
    quarantined: list[Quarantined] = []
    ignored: int = 0
    """Items that are authentic but not about a message: pings, account and list events."""
    once: str | None = None
    """A token that this provider uses for one request only; a second request with it is a replay."""
    answer: Answer | None = None
    """What the provider waits to hear, where the request was a handshake."""
    unnamed: list[Unnamed] = []
    """Types and keys that the mapping does not name; they may be new."""


class Ignore(NamedTuple):
    """Items to leave out before their type is looked at."""

    when: Read
    because: str


class Reader(msgspec.Struct, frozen=True):
    """The compiled form of one payload format of one provider."""

    when: Read | None
    """Whether a body is of this format; None takes every body."""
    each: tuple[Read, ...]
    """Steps from the body to the items; those of an earlier step are the parents of the next."""
    ignore: tuple[Ignore, ...]
    native_type: Read
    recipients: Read | None
    types: Mapping[str, Sequence[Rule]]
    families: Mapping[str, Sequence[Rule]]
    """Rules by the beginning of a native type."""
    unknown: Sequence[Rule]
    """Rules for native types that the mapping does not name; none quarantines them."""
    named: frozenset[str] | None = None
    """The keys of items that the mapping names; None when it takes them all."""

    def read(self, scope: Scope, received_ms: int) -> Reading:
        """Everything in the body of a request, which `scope` holds."""
        reading = Reading()
        try:
            items = self._items(scope)
        except ITEM_FAULTS as fault:
            reading.quarantined.append(Quarantined(None, str(fault)))
            return reading
        for index, (item, parent) in enumerate(items):
            self._read_item(reading, index, item, Scope(scope.request, scope.body, parent), received_ms)
        return reading

    def items(self, scope: Scope) -> list[Any]:
        """The native items of the body, in the order of `MappedEvent.index`; raises one of ITEM_FAULTS."""
        return [item for item, _ in self._items(scope)]

    def rules_of(self, native: str) -> Sequence[Rule]:
        """The rules of a native type, named in full or by its beginning; none when the mapping does not know it."""
        rules = self.types.get(native)
        if rules is not None:
            return rules
        return next((rules for start, rules in self.families.items() if native.startswith(start)), ())

    def _items(self, scope: Scope) -> list[tuple[Any, Any]]:
        body = scope.body
        found: Json = self.each[0](body, scope) if self.each else body
        if found is None:
            raise MapFailed("the body does not hold the items where the mapping expects them")
        items = [(item, body) for item in found] if isinstance(found, list) else [(found, body)]
        for step in self.each[1:]:
            items = [(item, parent) for parent, _ in items for item in _elements(step(parent, scope))]
        if len(items) > ITEMS_MAX:
            raise MapFailed(f"more than {ITEMS_MAX} items in one request")
        return items

    def _read_item(self, reading: Reading, index: int, item: Json, scope: Scope, received_ms: int) -> None:
        native: str | None = None
        try:
            if self.ignore and any(is_true(rule.when(item, scope)) for rule in self.ignore):
                reading.ignored += 1
                return
            found = self.native_type(item, scope)
            native = found if type(found) is str and found and "\0" not in found else as_text(found)
            if native is None:
                raise MapFailed("the item has no type" if type(item) is dict else "the item is not an object")
            rules = self.types.get(native) or self.rules_of(native)
            if not rules:
                reading.unnamed.append(Unnamed(index, native, (), item))
            rule = _fitting(rules or self.unknown, native, item, scope)
            if rule.type == IGNORED:
                reading.ignored += 1
                return
            if self.named is not None and type(item) is dict and not self.named.issuperset(item):
                unread = list(filterfalse(self.named.__contains__, item))
                reading.unnamed.append(Unnamed(index, None, unread, item))
            if self.recipients is None:
                reading.events.append(rule.event(item, scope, native, received_ms, index))
                return
            scopes = _per_recipient(self.recipients(item, scope), scope)
            reading.events.extend([rule.event(item, one, native, received_ms, index) for one in scopes])
        except ITEM_FAULTS as fault:
            reading.quarantined.append(Quarantined(index, str(fault) or type(fault).__name__, native))


def _per_recipient(recipients: Sequence[Any] | None, scope: Scope) -> Iterator[Scope]:
    if not recipients:
        yield scope
        return
    if len(recipients) > RECIPIENTS_MAX:
        raise MapFailed(f"more than {RECIPIENTS_MAX} recipients in one item")
    for recipient in recipients:
        yield Scope(request=scope.request, body=scope.body, parent=scope.parent, recipient=recipient)


def _fitting(rules: Sequence[Rule], native: str, item: Any, scope: Scope) -> Rule:
    for rule in rules:
        if rule.when is None or is_true(rule.when(item, scope)):
            return rule
    if rules:
        raise MapFailed(f"none of the rules for the native type '{native}' fits the item")
    raise MapFailed(f"the mapping does not name the native type '{native:.100}'")


def _elements(found: Json) -> list[Any]:
    return found if isinstance(found, list) else [found]
