"""Native values in the shape that a unified field has: text, number, list, object, address.

A shape never fails on odd input where something sensible can be kept: numbers become text, objects JSON text, a lone
tag a list of one. Only a word that subscribers switch on (attribution, bounce class) must be one of those defined.
"""

import re
from collections.abc import Callable
from email.utils import parseaddr
from typing import Any, cast

import msgspec

from adapters.errors import MapFailed
from adapters.events import BLOCKS
from adapters.functions.scope import Json

Shape = Callable[[Any], Any]

ATTRIBUTIONS = ("exact", "any_of")
BOUNCE_CLASSES = ("hard", "soft", "block", "suppressed", "unknown")

ADDRESS_CHARACTERS_MAX = 2_000
_DIGITS_MAX = 18
_WHOLE_LIMIT = 10**_DIGITS_MAX
_ENHANCED_CODE = re.compile(r"\b[245]\.\d{1,3}\.\d{1,3}\b")
_FLAGS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


def as_text(value: Json) -> str | None:
    """The value as text; None for what is empty. NUL, which no database keeps in a text, is left out."""
    if value is None:
        return None
    if isinstance(value, str):
        return (value.replace("\0", "") if "\0" in value else value) or None
    if value == [] or value == {}:
        return None
    return msgspec.json.encode(value).decode()


def as_address(value: Json) -> str | None:
    """The bare address of "Name <a@b>"; of a list the first."""
    text = as_text(next(iter(value), None) if isinstance(value, list) else value)
    if text is None or not ("<" in text or " " in text or "," in text):
        return text
    if len(text) > ADDRESS_CHARACTERS_MAX:
        raise MapFailed(f"an address of {len(text)} characters; {ADDRESS_CHARACTERS_MAX} are the most that is read")
    return parseaddr(text)[1] or text.strip()


def as_message_id(value: Any) -> str | None:
    """RFC 5322 Message-ID without the angle brackets."""
    if type(value) is str and value.startswith("<") and value.endswith(">") and "\0" not in value:
        return value[1:-1] or None
    text = value if type(value) is str and "\0" not in value else as_text(value)
    return text.strip().removeprefix("<").removesuffix(">") or None if text else None


def as_whole(value: Json) -> int | None:
    """A whole number, also when it comes as text."""
    if type(value) is int or type(value) is float:
        return int(value) if abs(value) < _WHOLE_LIMIT else None
    if isinstance(value, str):
        return int(value) if len(value) < _DIGITS_MAX and value.strip().isdecimal() else None
    return None


def as_smtp_code(value: Any) -> int | None:
    """A reply code of SMTP; providers put codes of their own (Mailgun's 605) into the same field."""
    code = as_whole(value)
    return code if code is not None and 200 <= code <= 599 else None


def as_enhanced_code(value: Any) -> str | None:
    """The RFC 3463 status in a text."""
    found = _ENHANCED_CODE.search(value) if isinstance(value, str) else None
    return found.group() if found else None


def as_flag(value: Any) -> bool | None:
    """True or false, also as text or number."""
    return _FLAGS.get(str(value).lower())


def as_texts(value: Json) -> list[str]:
    """A list of texts; a lone value counts as a list of one."""
    if value is None:
        return []
    items: list[Any] = value if isinstance(value, list) else [value]
    texts = [item if type(item) is str and item and "\0" not in item else as_text(item) for item in items]
    return cast("list[str]", texts) if None not in texts else [text for text in texts if text is not None]


def as_object(value: Json) -> dict[str, Any]:
    """An object, also when it comes as JSON text; what is none is kept under the name "value"."""
    if value is None:
        return {}
    if isinstance(value, str) and value.startswith("{"):
        try:
            value = cast(Json, msgspec.json.decode(value))
        except msgspec.DecodeError:
            return {"value": value}
    if isinstance(value, dict):
        return value
    return {} if value in ("", []) else {"value": value}


class OneOf:
    """The shape of a word with a fixed vocabulary; raises `MapFailed` for any other."""

    def __init__(self, words: tuple[str, ...], default: str) -> None:
        self.words = words
        self._default = default

    def __call__(self, value: Any) -> str:
        if value is None or value == "":
            return self._default
        if value not in self.words:
            raise MapFailed(f"{value!r:.80} is none of {', '.join(self.words)}")
        return value


_IS_TEXT = "type({0}) is str and {0} and '\\0' not in {0}"
_WRITTEN_OUT: dict[Shape, str] = {
    as_text: f"{{0}} if {{0}} is None or {_IS_TEXT} else {{1}}({{0}})",
    as_address: f"{{0}} if {_IS_TEXT} and not ('<' in {{0}} or ' ' in {{0}} or ',' in {{0}}) else {{1}}({{0}})",
    as_whole: "None if {0} is None else {1}({0})",
    as_smtp_code: "{0} if type({0}) is int and 200 <= {0} <= 599 else {1}({0})",
    as_enhanced_code: "None if {0} is None else {1}({0})",
    as_message_id: "None if {0} is None else {1}({0})",
    as_texts: "[] if {0} is None else {1}({0})",
    as_object: "{0} if type({0}) is dict else {1}({0})",
    as_flag: "{0} if {0} is None or {0} is True or {0} is False else {1}({0})",
}
"""Shapes without a call for what has them already."""


def written_out(shape: Shape, name: str, value: str) -> str:
    """The Python expression for a value in a shape, given the names of both."""
    return _WRITTEN_OUT.get(shape, "{1}({0})").format(value, name)


EVENT_SHAPES: dict[str, Shape] = {
    "event_id": as_text,
    "stream": as_text,
    "email_id": as_text,
    "message_id": as_message_id,
    "recipient": as_address,
    "attribution": OneOf(ATTRIBUTIONS, "exact"),
    "subject": as_text,
    "from": as_text,
    "to": as_texts,
    "tags": as_texts,
    "metadata": as_object,
}
"""The fields of every event that a mapping may give, besides `timestamp` and the blocks."""

_BY_NAME: dict[str, Shape] = {
    "smtp_code": as_smtp_code,
    "enhanced_code": as_enhanced_code,
    "class": OneOf(BOUNCE_CLASSES, "unknown"),
}
_BY_ANNOTATION: dict[Any, Shape] = {str | None: as_text, int | None: as_whole, bool | None: as_flag, bool: as_flag}

BLOCK_SHAPES: dict[str, dict[str, Shape]] = {
    block: {
        field.encode_name: _BY_NAME.get(field.encode_name) or _BY_ANNOTATION[field.type]
        for field in msgspec.structs.fields(struct)
    }
    for block, struct in BLOCKS.items()
}
"""Per optional block: its fields."""
