"""Whether each of several choices can ever be the first that fits, as far as their `when`s tell without an event.

Rules of a type and variants of a file are tried in turn. One that comes after what fits always, or whenever it would
fit itself, is a mistake of whoever wrote the file, as is one that fits never.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from adapters.closures import comparison, is_true
from adapters.fields import read_expression
from adapters.functions.scope import NO_SCOPE
from adapters.grammar import Node, flattened, parse, shape_of
from adapters.mapping_file import Place

CHOICES_MAX = 100

_LITERALS = "it asks nothing of the event, whose keys stand without quotes"

Parts = frozenset[tuple[Any, ...]]
"""What must all be so."""


class _Condition(NamedTuple):
    written: str
    alternatives: frozenset[Parts]
    """Of which one must be so."""

    def implies(self, other: "_Condition") -> bool:
        """Whether the other is true wherever this one is; False where that cannot be told."""
        return all(any(parts <= own for parts in other.alternatives) for own in self.alternatives)


def check_choices(choices: Sequence[Place], what: str) -> None:
    """Raises `MappingInvalid` for a choice that can never be the first that fits; `what` it is, is in the message."""
    if len(choices) > CHOICES_MAX:
        raise choices[CHOICES_MAX].invalid(f"more than {CHOICES_MAX} {what}s")
    before: list[_Condition] = []
    for at, place in enumerate(choices):
        if at > len(before):
            raise place.invalid(f"never reached: the {what} before it has no `when`")
        when = place.entries().get("when") if place.is_section else None
        if when is None:
            continue
        check_condition(when, f"this {what}", f"the {what}s after it" if at + 1 < len(choices) else None)
        condition = _condition(when.text())
        wider = next((earlier for earlier in before if condition.implies(earlier)), None)
        if wider is not None:
            raise place.invalid(_hidden(what, condition, wider))
        before.append(condition)


def check_condition(when: Place, chosen: str, others: str | None) -> None:
    """Raises `MappingInvalid` where `when` is true of nothing, or of everything and there are `others` then lost."""
    read_expression(when)
    always = _always(parse(when.text()))
    if always is False:
        raise when.invalid(f"never true, so that nothing comes to {chosen}; {_LITERALS}")
    if always and others is not None:
        raise when.invalid(f"always true, so that nothing comes to {others}; {_LITERALS}")


def _hidden(what: str, condition: _Condition, wider: _Condition) -> str:
    same = condition.alternatives == wider.alternatives
    return f"never reached: a {what} before it has {'the same' if same else 'a wider'} `when`: {wider.written}"


def _condition(written: str) -> _Condition:
    alternatives = flattened(parse(written), "or_expression")
    parts = (frozenset(shape_of(part) for part in flattened(node, "and_expression")) for node in alternatives)
    return _Condition(written, frozenset(parts))


def _always(node: Node) -> bool | None:
    """Whether the node is true, or untrue, of every event; None where that depends on the event."""
    kind = node["type"]
    if kind == "literal":
        return is_true(node["value"])
    if kind == "not_expression":
        inner = _always(node["children"][0])
        return None if inner is None else not inner
    if kind in ("or_expression", "and_expression"):
        decisive = kind == "or_expression"
        found = {_always(part) for part in flattened(node, kind)}
        return decisive if decisive in found else None if None in found else not decisive
    if kind == "comparator":
        return _always_compares(node)
    return True if kind in ("multi_select_list", "multi_select_dict") else None


def _always_compares(node: Node) -> bool | None:
    """Two literals; or `!type == 'x'`, which is not `!(type == 'x')` but asks whether true or false is a text."""
    left, right = node["children"]
    if left["type"] == right["type"] == "literal":
        return is_true(
            comparison(node["value"], lambda _, __: left["value"], lambda _, __: right["value"])(None, NO_SCOPE)
        )
    for one, other in ((left, right), (right, left)):
        if one["type"] == "not_expression" and other["type"] == "literal" and not isinstance(other["value"], bool):
            return node["value"] == "ne"
    return None
