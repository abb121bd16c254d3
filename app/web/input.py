"""Bodies and queries into their shapes, strictly; what does not fit becomes a problem that names the field.

A shape is a msgspec struct that forbids unknown fields. Types are not bent: "5" is no number in a JSON body (in a query
everything is text, so there it is).
"""

import re
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any, TypeVar

import msgspec
from litestar.exceptions import InternalServerException
from msgspec.inspect import LiteralType, Metadata, StructType, UnionType, type_info

from app.web.problems import AnyRequest, FieldError, Problem, invalid

Shape = TypeVar("Shape", bound=msgspec.Struct)

_NUL = "\x00"
_AT = re.compile(r"^(?P<message>.*?)(?: - at `(?P<place>[^`]*)`)?$", re.DOTALL)
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<name>.*)`", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(?P<name>.*)`", re.DOTALL)
_WRONG_TYPE = re.compile(r"Expected `(?P<expected>[^`]*)`, got `(?P<got>[^`]*)`")
_BOUND = re.compile(r"Expected `(?P<type>\w+)` (?P<length>of length )?(?P<op><=|>=|<|>) (?P<limit>[\d.]+)")
_NO_CHOICE = re.compile(r"Invalid enum value")
_WORDS = {
    "str": "a text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "null",
}


async def read_body(request: AnyRequest, shape: type[Shape]) -> Shape:
    """The JSON body as `shape`; an absent body counts as {}. Raises Problem 400 (not JSON) or 422 (does not fit)."""
    try:
        raw = await request.body()
    except InternalServerException as gone:
        raise Problem(400, "The connection was closed before the body had arrived.") from gone
    native = _parse_json(raw or b"{}")
    if _holds_nul(native):
        raise invalid([FieldError("", "Texts may not hold the character NUL (\\u0000); remove it.")])
    return fit(native, shape, strict=True)


def read_query(request: AnyRequest, shape: type[Shape]) -> Shape:
    """The query parameters as `shape`; of a repeated one the last counts, an empty one counts as absent."""
    given = {name: value for name, value in request.query_params.items() if value != ""}
    if errors := [FieldError(name, "may not hold the character NUL.") for name in given if _NUL in name + given[name]]:
        raise invalid(errors)
    return fit(given, shape, strict=False)


def fit(native: Any, shape: type[Shape], *, strict: bool) -> Shape:
    """`native` (dicts, lists, texts) as `shape`. Raises Problem 422 that names the first field that does not fit."""
    try:
        return msgspec.convert(native, shape, strict=strict)
    except msgspec.ValidationError as error:
        raise invalid([_field_error(str(error), shape)]) from error


def closest(word: str, known: Iterable[str]) -> str:
    """'; did you mean "bounce"?' when one of `known` is near, else nothing: to be put behind a refusal."""
    near = get_close_matches(word.lower(), list(known), n=1, cutoff=0.6)
    return f'; did you mean "{near[0]}"?' if near else ""


def _parse_json(raw: bytes) -> Any:
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Problem(400, f"The body is not JSON: {error}.", kind="not-json") from error


def _holds_nul(value: Any) -> bool:
    if isinstance(value, str):
        return _NUL in value
    if isinstance(value, dict):
        return any(_holds_nul(part) for pair in value.items() for part in pair)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType] - any JSON
    return isinstance(value, list) and any(_holds_nul(part) for part in value)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType] - any JSON


def _field_error(text: str, shape: type[msgspec.Struct]) -> FieldError:
    """msgspec's sentence, "Expected `str`, got `int` - at `$.url`", as field and message."""
    found = _AT.match(text)
    message, place = (found["message"], found["place"] or "$") if found else (text, "$")
    path = place.removeprefix("$").removeprefix(".").replace("[...]", "")
    if unknown := _UNKNOWN.fullmatch(message):
        return FieldError(_join(path, unknown["name"]), _refuse_unknown(unknown["name"], shape, nested=bool(path)))
    if missing := _MISSING.fullmatch(message):
        return FieldError(_join(path, missing["name"]), "is required; add it.")
    if wrong := _WRONG_TYPE.fullmatch(message):
        expected = " or ".join(dict.fromkeys(_WORDS.get(name, name) for name in wrong["expected"].split(" | ")))
        return FieldError(path, f"must be {expected}, not {_WORDS.get(wrong['got'], wrong['got'])}.")
    if bound := _BOUND.fullmatch(message):
        measure = {"str": " characters", "array": " items"}.get(bound["type"], "") if bound["length"] else ""
        limit = "at most" if bound["op"].startswith("<") else "at least"
        return FieldError(
            path, f"must {'have' if measure else 'be'} {limit} {bound['limit'].removesuffix('.0')}{measure}."
        )
    if "RFC3339" in message or "timezone" in message:
        return FieldError(path, "must be a time with its offset, such as 2026-03-03T08:15:00Z.")
    if _NO_CHOICE.match(message):
        return FieldError(path, f"must be one of {', '.join(_choices(path, shape))}.")
    return FieldError(path, f"{message[:1].lower()}{message[1:]}.".replace("`", ""))


def _refuse_unknown(name: str, shape: type[msgspec.Struct], *, nested: bool) -> str:
    names = [] if nested else _field_names(shape)
    return f"is not a field here{closest(name, names)}" + ("" if not names else f" The fields are: {', '.join(names)}.")


def _field_names(shape: type[msgspec.Struct]) -> list[str]:
    info = type_info(shape)
    return [field.encode_name for field in info.fields] if isinstance(info, StructType) else []


def _choices(path: str, shape: type[msgspec.Struct]) -> list[str]:
    info = type_info(shape)
    fields = {field.encode_name: field.type for field in info.fields} if isinstance(info, StructType) else {}
    return [str(choice) for literal in _literals(fields.get(path)) for choice in literal.values]


def _literals(kind: Any) -> list[LiteralType]:
    """The closed sets of values inside a type: itself, or parts of a union."""
    if isinstance(kind, Metadata):
        return _literals(kind.type)
    if isinstance(kind, UnionType):
        return [literal for part in kind.types for literal in _literals(part)]
    return [kind] if isinstance(kind, LiteralType) else []


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
