"""Bodies and queries into their shapes, strictly; what does not fit becomes a problem that names the field.

A shape is a msgspec struct that forbids unknown fields. Types are not bent: "5" is no number in a JSON body. In a
query, where everything is text, it is one for a field that takes numbers.
"""

import re
from collections.abc import Mapping
from functools import cache
from typing import Any, TypeVar

import msgspec
from litestar.exceptions import InternalServerException
from msgspec.inspect import IntType, StructType, type_info

from app.web.complaints import field_error, plain_types
from app.web.problems import AnyConnection, AnyRequest, FieldError, Problem, invalid

Shape = TypeVar("Shape", bound=msgspec.Struct)

_NUL = "\x00"
_WHOLE_NUMBER = re.compile(r"-?[0-9]{1,18}")


async def read_body(request: AnyRequest, shape: type[Shape]) -> Shape:
    """The JSON body as `shape`; an absent body counts as {}. Raises Problem 400 (not JSON) or 422 (does not fit)."""
    try:
        raw = await request.body()
    except InternalServerException as gone:
        raise Problem(400, "The connection was closed before the body had arrived.") from gone
    native = _parse_json(raw or b"{}")
    if _holds_nul(native):
        raise invalid([FieldError("", "Texts may not hold the character NUL (\\u0000); remove it.")])
    return fit(native, shape)


def read_query(request: AnyConnection, shape: type[Shape]) -> Shape:
    """The query parameters as `shape`; of a repeated one the last counts. Raises Problem 422."""
    return fit_texts(dict(request.query_params.items()), shape)


def fit_texts(given: Mapping[str, str], shape: type[Shape]) -> Shape:
    """Texts as `shape`, where a whole number is one for a field that takes numbers. Raises Problem 422."""
    if errors := [FieldError(name, "may not hold the character NUL.") for name in given if _NUL in name + given[name]]:
        raise invalid(errors)
    numbers = _number_fields(shape)
    typed = {name: _number(text) if name in numbers else text for name, text in given.items()}
    return fit(typed, shape)


def fit(native: Any, shape: type[Shape]) -> Shape:
    """`native` (dicts, lists, texts) as `shape`. Raises Problem 422 that names the first field that does not fit."""
    try:
        return msgspec.convert(native, shape)
    except msgspec.ValidationError as error:
        raise invalid([field_error(str(error), shape)]) from error


@cache
def _number_fields(shape: type[msgspec.Struct]) -> frozenset[str]:
    info = type_info(shape)
    fields = info.fields if isinstance(info, StructType) else ()
    return frozenset(
        field.encode_name for field in fields if any(isinstance(t, IntType) for t in plain_types(field.type))
    )


def _number(text: str) -> int | str:
    return int(text) if _WHOLE_NUMBER.fullmatch(text) else text


def _parse_json(raw: bytes) -> Any:
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Problem(400, f"The body is not JSON: {error}.", kind="not-json") from error


def _holds_nul(native: Any) -> bool:
    """Whether a text anywhere in it does; without recursion, because a stranger chooses the depth."""
    open_parts = [native]
    while open_parts:
        part = open_parts.pop()
        if isinstance(part, str):
            if _NUL in part:
                return True
        elif isinstance(part, dict):
            open_parts += [*part.keys(), *part.values()]  # pyright: ignore[reportUnknownArgumentType, reportUnknownMemberType] - any JSON
        elif isinstance(part, list):
            open_parts += part
    return False
