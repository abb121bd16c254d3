"""The functions that JMESPath itself defines (https://jmespath.org/specification.html, "Built-in functions")."""

import json
import math
from collections.abc import Callable
from typing import Any

from adapters.functions.scope import Json, Scope, spend, spend_text, weigh
from adapters.functions.table import Reference, function, kind_of, wrong_type

WRITING_PRICE = 4
"""Steps for each element that is written as JSON; it takes as long as evaluating so many nodes."""
_written = json.JSONEncoder(separators=(",", ":")).encode


@function("abs(number)", types="number", metered=False)
def absolute(_: Scope, number: float) -> float:
    """The absolute value."""
    return abs(number)


@function("avg(numbers)", types="array[number]")
def average(scope: Scope, numbers: list[float]) -> float | None:
    """The mean; null for no numbers."""
    spend(scope, len(numbers))
    return sum(numbers) / len(numbers) if numbers else None


@function("ceil(number)", types="number", metered=False)
def ceil(_: Scope, number: float) -> int:
    """The next whole number upwards."""
    return math.ceil(number)


@function("floor(number)", types="number", metered=False)
def floor(_: Scope, number: float) -> int:
    """The next whole number downwards."""
    return math.floor(number)


@function("sum(numbers)", types="array[number]")
def total(scope: Scope, numbers: list[float]) -> float:
    """The sum; 0 for no numbers."""
    spend(scope, len(numbers))
    return sum(numbers)


@function("contains(subject, search)", types="string|array any")
def contains(scope: Scope, subject: Any, search: Any) -> bool:
    """Whether a text or array contains something."""
    if type(subject) is str:
        spend_text(scope, len(subject))
        return type(search) is str and search in subject
    spend(scope, len(subject))
    if type(search) in (str, list, dict):
        weigh(scope, subject)
    return search in subject


@function("starts_with(text, start)", types="string string")
def starts_with(scope: Scope, text: str, start: str) -> bool:
    """Whether the text starts so."""
    spend_text(scope, len(start))
    return text.startswith(start)


@function("ends_with(text, end)", types="string string")
def ends_with(scope: Scope, text: str, end: str) -> bool:
    """Whether the text ends so."""
    spend_text(scope, len(end))
    return text.endswith(end)


@function("join(glue, texts)", types="string array[string]")
def join(scope: Scope, glue: str, texts: list[str]) -> str:
    """The texts in one, with the glue between."""
    spend(scope, len(texts))
    spend_text(scope, sum(map(len, texts)) + len(glue) * len(texts))
    return glue.join(texts)


@function("length(x)", types="string|array|object", metered=False)
def length(_: Scope, subject: Any) -> int:
    """Characters, elements or keys."""
    return len(subject)


@function("reverse(x)", types="string|array")
def reverse(scope: Scope, subject: Any) -> Any:
    """A text or array backwards."""
    spend(scope, len(subject))
    return subject[::-1]


@function("keys(object)", types="object")
def keys(scope: Scope, subject: dict[str, Any]) -> list[str]:
    """Its keys."""
    spend(scope, len(subject))
    return list(subject)


@function("values(object)", types="object")
def values(scope: Scope, subject: dict[str, Any]) -> list[Any]:
    """Its values."""
    spend(scope, len(subject))
    return list(subject.values())


@function("merge(object, …)", types="object")
def merge(scope: Scope, *objects: dict[str, Any]) -> dict[str, Any]:
    """One object of all; the last of an equal key counts."""
    spend(scope, sum(map(len, objects)))
    merged: dict[str, Any] = {}
    for each in objects:
        merged.update(each)
    return merged


@function("not_null(a, …)", metered=False)
def not_null(_: Scope, *candidates: Any) -> Any:
    """The first that is not null."""
    return next((candidate for candidate in candidates if candidate is not None), None)


@function("to_array(x)", metered=False)
def to_array(_: Scope, subject: Json) -> list[Any]:
    """An array as it is, anything else as the only element of one."""
    return subject if type(subject) is list else [subject]


@function("to_string(x)")
def to_string(scope: Scope, subject: Json) -> str:
    """A text as it is, anything else as JSON."""
    if type(subject) is str:
        return subject
    spend(scope, WRITING_PRICE)
    weigh(scope, subject, price=WRITING_PRICE)
    return _written(subject)


@function("to_number(x)")
def to_number(scope: Scope, subject: Json) -> float | None:
    """A number as it is, a text read as one, else null."""
    if type(subject) is int or type(subject) is float:
        return subject
    if type(subject) is not str:
        return None
    spend_text(scope, len(subject))
    for read in (int, float):
        try:
            return read(subject)
        except ValueError:
            continue
    return None


@function("type(x)", metered=False)
def type_name(_: Scope, subject: Any) -> str:
    """string, number, boolean, array, object or null."""
    return kind_of(subject)


@function("max(xs)", types="array[number]|array[string]")
def greatest(scope: Scope, subject: list[Any]) -> Any:
    """The greatest number or text; null of none."""
    weigh(scope, subject)
    return max(subject, default=None)


@function("min(xs)", types="array[number]|array[string]")
def least(scope: Scope, subject: list[Any]) -> Any:
    """The least number or text; null of none."""
    weigh(scope, subject)
    return min(subject, default=None)


@function("sort(xs)", types="array[number]|array[string]")
def in_order(scope: Scope, subject: list[Any]) -> list[Any]:
    """The numbers or texts in order."""
    weigh(scope, subject)
    return sorted(subject)


@function("map(&each, xs)", references=(0,))
def apply_to_each(scope: Scope, each: Reference, subject: Any) -> list[Any]:
    """The expression's result for every element, nulls included."""
    _require_array("map", subject)
    spend(scope, len(subject) * each.weight)
    run = each.run
    return [run(item, scope) for item in subject]


@function("max_by(xs, &key)", references=(1,))
def greatest_by(scope: Scope, subject: Any, by: Reference) -> Any:
    """The element of the greatest key; null of none."""
    key = _key_of("max_by", scope, subject, by)
    return max(subject, key=key, default=None)


@function("min_by(xs, &key)", references=(1,))
def least_by(scope: Scope, subject: Any, by: Reference) -> Any:
    """The element of the least key; null of none."""
    key = _key_of("min_by", scope, subject, by)
    return min(subject, key=key, default=None)


@function("sort_by(xs, &key)", references=(1,))
def in_order_by(scope: Scope, subject: Any, by: Reference) -> list[Any]:
    """The elements in the order of their keys."""
    key = _key_of("sort_by", scope, subject, by)
    return sorted(subject, key=key)


def _key_of(name: str, scope: Scope, subject: Any, by: Reference) -> Callable[[Any], Any]:
    _require_array(name, subject)
    spend(scope, len(subject) * by.weight)
    run = by.run

    def key(item: Any) -> Any:
        found = run(item, scope)
        if kind_of(found) not in ("number", "string"):
            raise wrong_type(name, "keys that are numbers or strings", found)
        if type(found) is str:
            spend_text(scope, len(found))
        return found

    return key


def _require_array(name: str, subject: Any) -> None:
    if type(subject) is not list:
        raise wrong_type(name, "an array", subject)
