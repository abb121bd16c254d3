"""Bodies and headers of stored requests and answers, laid out to be read."""

from typing import Any, cast

import msgspec

LAID_OUT_CHARS_MAX = 100_000
DEPTH_MAX = 32
"""Deeper JSON would be mostly indentation."""


def laid_out(text: str) -> str:
    """JSON with a line for each value, numbers and texts as they were; what is none, or too much, stays as it is."""
    if text[:1] not in ("{", "[") or len(text) > LAID_OUT_CHARS_MAX:
        return text
    try:
        return msgspec.json.format(text, indent=2) if _depth(msgspec.json.decode(text)) <= DEPTH_MAX else text
    except (msgspec.DecodeError, RecursionError):
        return text


def header_lines(raw: msgspec.Raw) -> str:
    """Headers as stored, an object or a list of pairs, as "Name: value" lines."""
    native = msgspec.json.decode(raw)
    pairs = cast("Any", native.items() if isinstance(native, dict) else native)
    return "\n".join(f"{name}: {value}" for name, value in pairs)


def _depth(native: Any) -> int:
    depth, level = 0, [native]
    while level and depth <= DEPTH_MAX:
        depth += 1
        level = [part for value in level for part in _parts(value)]
    return depth


def _parts(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [*cast("dict[str, Any]", value).values()]
    return cast("list[Any]", value) if isinstance(value, list) else []
