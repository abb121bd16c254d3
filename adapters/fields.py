"""What a mapping may write for the value of a field, compiled to one closure.

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
from collections.abc import Callable, Mapping
from functools import lru_cache
from itertools import filterfalse
from typing import Any

from adapters.closures import path
from adapters.errors import ExpressionError
from adapters.expressions import Scope, compile_expression
from adapters.functions.scope import Json
from adapters.mapping_file import Place
from adapters.shapes import as_object
from adapters.tables import Table

Read = Callable[[Any, Scope], Any]
"""The value of one field, given the native item and what is around it."""

EXPRESSIONS_CACHED_MAX = 4_096
_PATH = re.compile(r'(?:[A-Za-z_]\w*|"[\w-]+")(?:\.(?:[A-Za-z_]\w*|"[\w-]+"))*', re.ASCII)
_NAME_ALONE = re.compile(r'[A-Za-z_]\w*|"[\w-]+"', re.ASCII)
_NAME = re.compile(r'"([\w-]+)"')
_CONSTANTS = ("true", "false", "null")
_NOTHING: dict[str, Any] = {}
FORMS = {
    "const": ("const",),
    "table": ("table", "of"),
    "rest": ("rest", "of"),
    "merge": ("merge",),
    "object": ("object",),
}


def read_value(place: Place, tables: Mapping[str, Table]) -> Read:
    """Compile what stands at `place`; see the module for the forms."""
    if place.is_list:
        return _first_of([read_value(item, tables) for item in place.items()])
    if not place.is_section:
        return read_expression(place)
    form = next((form for form in FORMS if form in place.entries()), None)
    if form is None:
        raise place.invalid(f"an expression is needed here, or a section with one of {', '.join(FORMS)}")
    parts = place.section(FORMS[form])
    if form == "const":
        constant = parts["const"].value()
        return lambda _item, _scope: constant
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
    expression = compile_expression(source)
    # A bare path cannot fail: it does without the expression's own call, which doubles the speed of most mappings.
    # Of the others the method, since Python calls that faster than the object.
    return path(_NAME.sub(r"\1", source).split(".")) if _PATH.fullmatch(source) else expression.__call__


def _first_of(readers: list[Read]) -> Read:
    def read(item: Any, scope: Scope) -> Any:
        for reader in readers:
            value = reader(item, scope)
            if value or value is False or value == 0:
                return value
        return None

    return read


def plain_key(place: Place) -> str | None:
    """The key of the item that stands alone at `place`, None where more is written there."""
    text = "" if place.is_section or place.is_list else place.text()
    return text.strip('"') if _NAME_ALONE.fullmatch(text) else None


def read_parts(places: list[Place]) -> Callable[[Any, Scope], list[Any]]:
    """Several values at once; keys of the item itself without a call for each."""
    keys = [key for place in places if (key := plain_key(place)) is not None]
    if len(keys) == len(places):

        def read_keys(item: Json, _: Scope) -> list[Any]:
            known: dict[str, Any] = item if type(item) is dict else _NOTHING
            return list(map(known.get, keys))

        return read_keys
    parts = [plain_key(place) or read_expression(place) for place in places]

    def read(item: Json, scope: Scope) -> list[Any]:
        known: dict[str, Any] = item if type(item) is dict else _NOTHING
        return [known.get(part) if isinstance(part, str) else part(item, scope) for part in parts]

    return read


def _looked_up(parts: dict[str, Place], tables: Mapping[str, Table], place: Place) -> Read:
    if "of" not in parts:
        raise place.invalid("a table needs `of`: the expression to look up")
    table = tables[parts["table"].one_of(tables)]
    key = read_value(parts["of"], tables)
    words, default = table.words, table.default

    def read_word(item: Any, scope: Scope) -> Any:
        return words.get(str(key(item, scope)).lower(), default)

    def read(item: Any, scope: Scope) -> Any:
        spelled = str(key(item, scope))
        return words[word] if (word := spelled.lower()) in words else table.of_family(spelled, scope)

    return read if table.families else read_word


def _rest_of(parts: dict[str, Place]) -> Read:
    known = frozenset(key.text() for key in parts["rest"].items())
    whole = read_expression(parts["of"]) if "of" in parts else None

    def read(item: Json, scope: Scope) -> Any:
        source: Json = item if whole is None else whole(item, scope)
        if not isinstance(source, dict):
            return None
        return {key: source[key] for key in filterfalse(known.__contains__, source)}

    return read


def _object(readers: Mapping[str, Read]) -> Read:
    def read(item: Any, scope: Scope) -> Any:
        found = {name: reader(item, scope) for name, reader in readers.items()}
        return {name: value for name, value in found.items() if value is not None}

    return read


def _merged(readers: list[Read]) -> Read:
    def read(item: Any, scope: Scope) -> Any:
        merged: dict[str, Any] = {}
        for reader in readers:
            found: Json = reader(item, scope)
            if isinstance(found, list):
                for each in found:
                    merged |= as_object(each)
            else:
                merged |= as_object(found)
        return merged

    return read
