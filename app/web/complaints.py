"""What is wrong with an input, in the caller's words: msgspec's sentences as field and message."""

import re
from collections.abc import Iterable, Iterator
from difflib import get_close_matches

import msgspec
from msgspec.inspect import LiteralType, Metadata, StructType, Type, UnionType, type_info

from app.web.problems import FieldError

_AT = re.compile(r"^(?P<message>.*?)(?: - at (?:`key` in )?`(?P<place>[^`]*)`)?$", re.DOTALL)
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<name>.*)`", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(?P<name>.*)`", re.DOTALL)
_WRONG_TYPE = re.compile(r"Expected `(?P<expected>[^`]*)`, got `(?P<got>[^`]*)`")
_BOUND = re.compile(r"Expected `(?P<type>\w+)` (?P<length>of length )?(?P<op><=|>=|<|>) (?P<limit>[\d.]+)")
_NO_TIME = re.compile(r"RFC3339|timezone")
_NO_CHOICE = re.compile(r"Invalid enum value")
_MEASURES = {"str": "characters", "array": "items"}
_WORDS = {
    "str": "a text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "null",
}


def field_error(text: str, shape: type[msgspec.Struct]) -> FieldError:
    """msgspec's sentence, "Expected `str`, got `int` - at `$.url`", as field and message."""
    message, path = _split(text)
    if unknown := _UNKNOWN.fullmatch(message):
        return FieldError(_join(path, unknown["name"]), _refuse_unknown(unknown["name"], shape, nested=bool(path)))
    if missing := _MISSING.fullmatch(message):
        return FieldError(_join(path, missing["name"]), "is required; add it.")
    return FieldError(path, _demand(message, path, shape))


def _split(text: str) -> tuple[str, str]:
    """Message and path of the field; "$.headers[...]", inside an object of any keys, is its object."""
    found = _AT.match(text)
    message, place = (found["message"], found["place"] or "$") if found else (text, "$")
    return message, place.removeprefix("$").removeprefix(".").replace("[...]", "")


def _demand(message: str, path: str, shape: type[msgspec.Struct]) -> str:
    if wrong := _WRONG_TYPE.fullmatch(message):
        expected = " or ".join(dict.fromkeys(_WORDS.get(name, name) for name in wrong["expected"].split(" | ")))
        return f"must be {expected}, not {_WORDS.get(wrong['got'], wrong['got'])}."
    if bound := _BOUND.fullmatch(message):
        return _demand_bound(bound)
    if _NO_TIME.search(message):
        return "must be a time with its offset, such as 2026-03-03T08:15:00Z."
    if _NO_CHOICE.match(message):
        return f"must be one of {', '.join(_choices(path, shape))}."
    return f"{message[:1].lower()}{message[1:]}.".replace("`", "")


def _demand_bound(bound: re.Match[str]) -> str:
    measure = _MEASURES.get(bound["type"]) if bound["length"] else None
    limit = f"{'at most' if bound['op'].startswith('<') else 'at least'} {bound['limit'].removesuffix('.0')}"
    return f"must have {limit} {measure}." if measure else f"must be {limit}."


def _refuse_unknown(name: str, shape: type[msgspec.Struct], *, nested: bool) -> str:
    names = [] if nested else _field_names(shape)
    return f"is not a field here{closest(name, names)}" + ("" if not names else f" The fields are: {', '.join(names)}.")


def _field_names(shape: type[msgspec.Struct]) -> list[str]:
    info = type_info(shape)
    return [field.encode_name for field in info.fields] if isinstance(info, StructType) else []


def _choices(path: str, shape: type[msgspec.Struct]) -> list[str]:
    info = type_info(shape)
    fields = {field.encode_name: field.type for field in info.fields} if isinstance(info, StructType) else {}
    literals = [part for part in plain_types(fields.get(path)) if isinstance(part, LiteralType)]
    return [str(choice) for literal in literals for choice in literal.values]


def closest(word: str, known: Iterable[str]) -> str:
    """'; did you mean "bounce"?' when one of `known` is near, else nothing: to be put behind a refusal."""
    near = get_close_matches(word.lower(), list(known), n=1, cutoff=0.6)
    return f'; did you mean "{near[0]}"?' if near else ""


def plain_types(kind: Type | None) -> Iterator[Type]:
    """The plain types that a field may have."""
    if isinstance(kind, Metadata):
        yield from plain_types(kind.type)
    elif isinstance(kind, UnionType):
        yield from (part for choice in kind.types for part in plain_types(choice))
    elif kind is not None:
        yield kind


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
