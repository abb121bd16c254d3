"""Our functions about values of any kind: choosing, converting, lists, objects, and what the scope holds."""

import json
import math
import re
from typing import Any

import msgspec
from msgspec import UNSET

from adapters.errors import ExpressionError
from adapters.functions.scope import Json, Scope, spend, weigh
from adapters.functions.table import Argument, Closure, function, special, text_function, to_text, wrong_type

JSON_DEPTH_MAX = 64
NUMBER_CHARACTERS_MAX = 500
_NUMBER = re.compile(r"\s*([+-]?\d+)(\.\d+)?([eE][+-]?\d{1,3})?\s*", re.ASCII)


def is_empty(value: Any) -> bool:
    """Null, and empty texts, arrays and objects; false and 0 say something."""
    return not value and (value is None or value != 0)


@special("coalesce(a, …)", metered=False)
def coalesce(arguments: list[Argument]) -> Closure:
    """The first that is not null, nor an empty text, array or object."""
    runs = [argument.run for argument in arguments]

    def first_filled(value: Json, scope: Scope) -> Any:
        for run in runs:
            found = run(value, scope)
            if found or not is_empty(found):
                return found
        return None

    return first_filled


@function("text(x)")
def text(scope: Scope, x: Json) -> str | None:
    """A scalar spelled out, an array or object as JSON."""
    if x is None or type(x) is str:
        return x
    if type(x) in (list, dict):
        weigh(scope, x)
        return json.dumps(x, ensure_ascii=False, separators=(",", ":"))
    return to_text("text", x)


@function("number(x)", metered=False)
def number(_: Scope, x: Json) -> float | None:
    """The number that a text spells, whole or not, else null."""
    if type(x) is int or type(x) is float:
        return x
    match = _NUMBER.fullmatch(x) if type(x) is str and len(x) < NUMBER_CHARACTERS_MAX else None
    if match is None:
        return None
    if match[2] is None and match[3] is None:
        return int(match[1])
    spelled = float(match[0])
    return spelled if math.isfinite(spelled) else None


@function("int(x)", metered=False)
def whole(scope: Scope, x: Json) -> int | None:
    """The whole number that a number or text gives, the rest cut off, else null."""
    if type(x) is int:
        return x
    found = number(scope, x)
    return None if found is None or not math.isfinite(found) else int(found)


@function("json(x)")
def json_value(scope: Scope, x: Json) -> Any:
    """The JSON in a text, null when it is not JSON or deeper than 64 levels; an array or object as it is."""
    if x is None or type(x) in (list, dict):
        return x
    source = to_text("json", x)
    spend(scope, len(source) >> 2)
    try:
        value = msgspec.json.decode(source)
    except (ValueError, RecursionError):
        return None
    return None if _is_deep(value) else value


def _is_deep(value: Json) -> bool:
    level = [value]
    for _ in range(JSON_DEPTH_MAX):
        level = [part for item in level for part in _parts(item)]
        if not level:
            return False
    return True


def _parts(item: Json) -> list[Json]:
    if type(item) is dict:
        return list(item.values())
    return item if type(item) is list else []


@function("list(x)", metered=False)
def as_list(_: Scope, x: Json) -> list[Any]:
    """An array as it is, null as an empty one, anything else as the only element."""
    if type(x) is list:
        return x
    return [] if x is None else [x]


@function("csv(text)")
def csv(scope: Scope, x: Json) -> list[str] | None:
    """The items between commas, trimmed, without empty ones; of an array its texts."""
    if type(x) is list:
        return strings(scope, x)
    if x is None:
        return None
    source = to_text("csv", x)
    spend(scope, len(source) >> 2)
    return [item for part in source.split(",") if (item := part.strip())]


@function("strings(x)")
def strings(scope: Scope, x: Json) -> list[str] | None:
    """The texts of the scalars in an array; null, arrays and objects are left out."""
    if x is None:
        return None
    items = as_list(scope, x)
    weigh(scope, [item for item in items if type(item) is str])
    return [to_text("strings", item) for item in items if item is not None and type(item) not in (list, dict)]


@function("pairs(list, name?, value?)")
def pairs(scope: Scope, x: Json, name: Any = "name", value: Any = "value") -> dict[str, Any] | None:
    """An object from [{name, value}, …]; an object as it is."""
    if x is None or x == "":
        return None
    if type(x) is dict:
        return x
    if type(x) is not list:
        raise wrong_type("pairs", "an array of objects", x)
    spend(scope, len(x))
    items: list[Json] = x
    named = [item for item in items if type(item) is dict and item.get(name) is not None]
    return {to_text("pairs", item[name]): item.get(value) for item in named}


@special("lookup(key, object, default?)", metered=False)
def lookup(arguments: list[Argument]) -> Closure:
    """What the object has under the key, else the default or null."""
    key, table, *rest = [argument.run for argument in arguments]
    default = rest[0] if rest else None

    def found_or_default(value: Json, scope: Scope) -> Any:
        name = key(value, scope)
        known: Json = table(value, scope)
        if known is not None and type(known) is not dict:
            raise wrong_type("lookup", "an object", known)
        if name is not None and known and (spelled := to_text("lookup", name)) in known:
            return known[spelled]
        return default(value, scope) if default else None

    return found_or_default


@function("omit(object, keys)")
def omit(scope: Scope, x: Json, keys: Any) -> dict[str, Any] | None:
    """The object without these keys."""
    if x is None:
        return None
    if type(x) is not dict:
        raise wrong_type("omit", "an object", x)
    spend(scope, len(x))
    unwanted = set(strings(scope, keys) or [])
    return {key: value for key, value in x.items() if key not in unwanted}


@function("has(object, key)", metered=False)
def has(_: Scope, x: Json, key: Json) -> bool:
    """Whether the object has the key, be its value null."""
    return type(x) is dict and type(key) is str and key in x


@text_function("header(name)")
def header(scope: Scope, name: str) -> str | None:
    """A header of the request, whatever the case of its name."""
    return None if scope.request is None else scope.request.headers.get(name.lower())


@text_function("query(name)")
def query(scope: Scope, name: str) -> str | None:
    """A query parameter of the request."""
    return None if scope.request is None else scope.request.query.get(name)


@function("body()", metered=False)
def body(scope: Scope) -> Any:
    """The whole decoded body of the request."""
    return scope.body


@function("parent()", metered=False)
def parent(scope: Scope) -> Any:
    """What holds the item that is being mapped."""
    return scope.parent


@function("recipient()", metered=False)
def recipient(scope: Scope) -> Any:
    """The recipient, where one item stands for several."""
    return scope.recipient


def literal_text(argument: Argument, name: str, what: str) -> str:
    """The text that the source spells out for `argument`; raises ExpressionError when it is computed."""
    if argument.literal is UNSET or not isinstance(argument.literal, str):
        raise ExpressionError(f"the {what} of {name}() must be a literal text", position=argument.position)
    return argument.literal
