"""The closures that an expression is made of: paths, projections, choices and comparisons, each in its fastest form."""

import operator
from collections.abc import Callable
from typing import Any, cast

from adapters.functions.scope import Json, Scope, spend, weigh
from adapters.functions.table import Closure

_ORDERINGS: dict[str, Callable[[Any, Any], bool]] = {
    "lt": operator.lt,
    "lte": operator.le,
    "gt": operator.gt,
    "gte": operator.ge,
}


def is_true(value: Json) -> bool:
    """JMESPath's truth: null, false, and empty texts, arrays and objects are false; every number is true."""
    return bool(value) or (value == 0 and value is not False)


def path(names: list[str]) -> Closure:
    """`a`, `a.b`, `a.b.c`: the commonest expressions, without a call for each name."""
    if len(names) == 1:
        (name,) = names
        return lambda value, _: value.get(name) if type(value) is dict else None
    if len(names) == 2:
        return _path_of_two(*names)
    if len(names) == 3:
        return _path_of_three(*names)

    def path_of_many(value: Json, _: Scope) -> Any:
        for name in names:
            if type(value) is not dict:
                return None
            value = value.get(name)
        return value

    return path_of_many


def _path_of_two(first: str, second: str) -> Closure:
    def path_of_two(value: Json, _: Scope) -> Any:
        if type(value) is dict:
            value = value.get(first)
            if type(value) is dict:
                return value.get(second)
        return None

    return path_of_two


def _path_of_three(first: str, second: str, third: str) -> Closure:
    def path_of_three(value: Json, _: Scope) -> Any:
        if type(value) is dict:
            value = value.get(first)
            if type(value) is dict:
                value = value.get(second)
                if type(value) is dict:
                    return value.get(third)
        return None

    return path_of_three


def index(position: int) -> Closure:
    """`[0]`: null where there is no such element, and in what is not an array."""

    def element(value: Json, _: Scope) -> Any:
        if type(value) is not list:
            return None
        try:
            return value[position]
        except IndexError:
            return None

    return element


def in_turn(steps: list[Closure]) -> Closure:
    """Every step applied to what the one before gave."""
    if not steps:
        return lambda value, _: value
    if len(steps) == 1:
        return steps[0]
    if len(steps) == 2:
        first, second = steps
        return lambda value, scope: second(first(value, scope), scope)

    def all_in_turn(value: Json, scope: Scope) -> Any:
        for step in steps:
            value = step(value, scope)
        return value

    return all_in_turn


def flatten(base: Closure) -> Closure:
    """`[]`: arrays within the array are replaced by their elements."""

    def flat(value: Json, scope: Scope) -> list[Json] | None:
        items: Json = base(value, scope)
        if type(items) is not list:
            return None
        merged: list[Json] = []
        for item in cast(list[Json], items):
            if type(item) is list:
                spend(scope, len(item))
                merged.extend(item)
            else:
                merged.append(item)
        return merged

    return flat


def projection(base: Closure, each: Closure, weight: int) -> Closure:
    """`[*]`: what `each` gives for every element, without nulls. `weight` is what one application costs."""

    def projected(value: Json, scope: Scope) -> list[Json] | None:
        items: Json = base(value, scope)
        if type(items) is not list:
            return None
        spend(scope, len(items) * weight)
        return [found for item in items if (found := each(item, scope)) is not None]

    return projected


def value_projection(base: Closure, each: Closure, weight: int) -> Closure:
    """`.*`: the same for the values of an object."""

    def projected(value: Json, scope: Scope) -> list[Json] | None:
        items: Json = base(value, scope)
        if type(items) is not dict:
            return None
        spend(scope, len(items) * weight)
        return [found for item in items.values() if (found := each(item, scope)) is not None]

    return projected


def filter_projection(base: Closure, condition: Closure, each: Closure, weight: int) -> Closure:
    """`[?…]`: the same for the elements of which the condition is true."""

    def projected(value: Json, scope: Scope) -> list[Json] | None:
        items: Json = base(value, scope)
        if type(items) is not list:
            return None
        spend(scope, len(items) * weight)
        kept = [item for item in items if is_true(condition(item, scope))]
        return [found for item in kept if (found := each(item, scope)) is not None]

    return projected


def first_true(runs: list[Closure]) -> Closure:
    """`a || b || …`: the first that is true, else the last."""
    *leading, last = runs
    if len(leading) == 1:
        return _either(leading[0], last)

    def first_of_many(value: Json, scope: Scope) -> Any:
        for run in leading:
            found = run(value, scope)
            if found or (found is not None and is_true(found)):
                return found
        return last(value, scope)

    return first_of_many


def _either(first: Closure, second: Closure) -> Closure:
    def either(value: Json, scope: Scope) -> Any:
        found = first(value, scope)
        return found if found or (found is not None and is_true(found)) else second(value, scope)

    return either


def all_true(runs: list[Closure]) -> Closure:
    """`a && b && …`: the first that is not true, else the last."""
    *leading, last = runs

    def first_untrue(value: Json, scope: Scope) -> Any:
        for run in leading:
            found = run(value, scope)
            if found is None or not (found or is_true(found)):
                return found
        return last(value, scope)

    return first_untrue


def comparison(kind: str, left: Closure, right: Closure) -> Closure:
    """`==`, `!=` and the orderings, of two values that are known only when evaluating."""
    if kind in _ORDERINGS:
        return _ordering(_ORDERINGS[kind], left, right)
    wanted = kind == "eq"
    return lambda value, scope: _equal(left(value, scope), right(value, scope), scope) is wanted


def equality_with(kind: str, run: Closure, literal: Any) -> Closure | None:
    """`type == 'bounce'`: one plain comparison where the literal allows it, else None."""
    if literal is None or isinstance(literal, bool):
        if kind == "eq":
            return lambda value, scope: run(value, scope) is literal
        return lambda value, scope: run(value, scope) is not literal
    if literal in (0, 1):
        return None
    if kind == "eq":
        return lambda value, scope: run(value, scope) == literal
    return lambda value, scope: run(value, scope) != literal


def _equal(left: Json, right: Json, scope: Scope) -> bool:
    """Python's equality, but that 0 and 1 differ from false and true; comparing what is large costs steps."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if type(left) is type(right) and isinstance(left, (str, list, dict)):
        weigh(scope, left)
    return left == right


def _ordering(compare: Callable[[Any, Any], bool], left: Closure, right: Closure) -> Closure:
    """Numbers are ordered among numbers, and texts among texts; anything else gives null."""

    def ordering(value: Json, scope: Scope) -> bool | None:
        one, other = left(value, scope), right(value, scope)
        if isinstance(one, str):
            if isinstance(other, str):
                weigh(scope, one)
                return compare(one, other)
            return None
        return compare(one, other) if _is_number(one) and _is_number(other) else None

    return ordering


def _is_number(value: Json) -> bool:
    return type(value) is int or type(value) is float
