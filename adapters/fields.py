"""What a mapping may write for the value of a field, written into the function that reads an event.

| written                                    | gives                                                      |
|--------------------------------------------|------------------------------------------------------------|
| `subject: data.subject`                    | what the expression finds in the native item               |
| `recipient: [data.recipient, data.to]`     | the first of these that is not empty                       |
| `attribution: {const: any_of}`             | the same for every event                                   |
| `class: {table: classes, of: type}`        | the word that one of the file's tables has for another     |
| `metadata: {rest: [known, keys]}`          | the item (or `of: expression`) without the keys named      |
| `metadata: {object: {order: order_id}}`    | an object of those values that there are                   |
| `metadata: {merge: [headers, tags]}`       | several objects, or lists of them, as one; later ones win  |
| `timestamp: {time: at, unit: ms}`          | a time, see `adapters.rules`                               |
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from adapters.closures import path
from adapters.errors import ExpressionError
from adapters.expressions import compile_expression
from adapters.functions.scope import Json
from adapters.functions.table import Closure
from adapters.mapping_file import Place
from adapters.shapes import Shape, as_object, written_out
from adapters.tables import Table
from adapters.writing import Value, Writing

Read = Closure
"""The value of one expression, given the native item and what is around it."""

EXPRESSIONS_CACHED_MAX = 4_096
_PATH = re.compile(r'(?:[A-Za-z_]\w*|"[\w-]+")(?:\.(?:[A-Za-z_]\w*|"[\w-]+"))*', re.ASCII)
_NAME = re.compile(r'"([\w-]+)"')
_CONSTANTS = ("true", "false", "null")
FORMS = {
    "const": ("const",),
    "table": ("table", "of"),
    "rest": ("rest", "of"),
    "merge": ("merge",),
    "object": ("object",),
}


def read_value(place: Place, tables: Mapping[str, Table]) -> Value:
    """What writes the value at `place`; see the module for the forms."""
    if place.is_list:
        return _first_of([read_value(item, tables) for item in place.items()])
    if not place.is_section:
        return expressed(place)
    form = next((form for form in FORMS if form in place.entries()), None)
    if form is None:
        raise place.invalid(f"an expression is needed here, or a section with one of {', '.join(FORMS)}")
    parts = place.section(FORMS[form])
    if form == "const":
        return constant(parts["const"].value())
    if form == "table":
        return _looked_up(parts, tables, place)
    if form == "rest":
        return _rest_of(parts)
    if form == "object":
        return _object({name: read_value(value, tables) for name, value in parts["object"].entries().items()})
    return _merged([read_value(item, tables) for item in parts["merge"].items()])


def read_expression(place: Place) -> Read:
    """Compile one expression; a mistake in it is shown with its position."""
    source = place.text()
    if source in _CONSTANTS:
        raise place.invalid(f"'{source}' would be a key of the native event; the constant is {{const: {source}}}")
    try:
        return _compiled(source)
    except ExpressionError as mistake:
        at = "" if mistake.position is None else f", at character {mistake.position + 1}"
        raise place.invalid(f"{mistake}{at} of: {source}") from None


@lru_cache(maxsize=EXPRESSIONS_CACHED_MAX)
def _compiled(source: str) -> Read:
    """Fields for all types are read once for each type, so that most expressions come again and again."""
    evaluate = compile_expression(source).evaluate
    names = _names(source)
    # A bare path cannot fail: it does without what an expression's evaluation is wrapped in.
    return evaluate if names is None else path(names)


def _names(source: str) -> list[str] | None:
    """The names that a bare path is made of, None for any other expression."""
    return _NAME.sub(r"\1", source).split(".") if _PATH.fullmatch(source) else None


def constant(value: Any) -> Value:
    """The same for every event."""
    return lambda code: code.bind(value, "constant")


def shaped(value: Value, shape: Shape) -> Value:
    """A value in the shape that a field has."""

    def write(code: Writing) -> str:
        return code.found(written_out(shape, code.bind(shape, "shape"), value(code)))

    return write


def expressed(place: Place) -> Value:
    """What the expression at `place` finds."""
    read = read_expression(place)
    names = _names(place.text())
    if names is not None:
        return lambda code: code.at_path(names)
    return lambda code: code.found(f"{code.bind(read, 'expression')}(item, scope)")


def _first_of(values: list[Value]) -> Value:
    def write(code: Writing) -> str:
        first, *others = values
        found = code.local(first(code))
        for other in others:
            with code.only_if(f"not {found} and {found} != 0"):  # false and 0 say something
                code.line(f"{found} = {other(code)}")
        with code.only_if(f"not {found} and {found} != 0"):
            code.line(f"{found} = None")
        return found

    return write


def _looked_up(parts: dict[str, Place], tables: Mapping[str, Table], place: Place) -> Value:
    if "of" not in parts:
        raise place.invalid("a table needs `of`: the expression to look up")
    table = tables[parts["table"].one_of(tables)]
    key = read_value(parts["of"], tables)

    def write(code: Writing) -> str:
        if table.families:
            return code.found(f"{code.bind(table.look_up, 'table')}({key(code)}, scope)")
        words, default = code.bind(table.words, "words"), code.bind(table.default, "constant")
        return code.found(f"{words}.get(str({key(code)}).lower(), {default})")

    return write


def _rest_of(parts: dict[str, Place]) -> Value:
    known = frozenset(key.text() for key in parts["rest"].items())
    whole = expressed(parts["of"]) if "of" in parts else None

    def rest(source: Json) -> dict[str, Any] | None:
        if not isinstance(source, dict):
            return None
        return {key: source[key] for key in source if key not in known}

    return lambda code: code.found(f"{code.bind(rest, 'rest')}({'item' if whole is None else whole(code)})")


def _object(values: Mapping[str, Value]) -> Value:
    def write(code: Writing) -> str:
        found = [(code.bind(name, "key"), value(code)) for name, value in values.items()]
        whole = code.local("{}")
        for key, value in found:
            with code.only_if(f"{value} is not None"):
                code.line(f"{whole}[{key}] = {value}")
        return whole

    return write


def _merged(values: list[Value]) -> Value:
    return lambda code: code.found(f"{code.bind(_merge, 'merge')}([{', '.join([value(code) for value in values])}])")


def _merge(objects: list[Json]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for found in objects:
        for each in found if isinstance(found, list) else [found]:
            merged |= as_object(each)
    return merged
