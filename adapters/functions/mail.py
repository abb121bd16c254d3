"""Our functions about mail: addresses, reply codes, headers."""

import re
from functools import lru_cache
from typing import Any

from adapters.functions.mailboxes import bare_addresses, mailboxes
from adapters.functions.scope import Json, Scope, spend
from adapters.functions.table import function, text_function, to_text, wrong_type

_SAID_BEFORE = r"(?:^|[;:,=(\[<\"'\n]|\b(?:e?smtp|codes?|error|status|reply|replied|response|said|returned|with|got))"
_REPLY_CODE = re.compile(
    rf"{_SAID_BEFORE}[\s#]{{0,3}}([2-5][0-5]\d)(?=$|[\s\-;:,)\]>\"']|\.(?:\s|$))", re.ASCII | re.IGNORECASE
)
_REPLY_CODE_BEFORE_STATUS = re.compile(
    r"(?<![\w.])([245])([0-5]\d)[\s\-]{1,3}#?\1\.\d{1,3}\.\d{1,3}(?![\d.])", re.ASCII
)
_STATUS = re.compile(r"(?<![\w.])([245]\.\d{1,3}\.\d{1,3})(?!\d|\.\d|[A-Za-z_])", re.ASCII)
_CODE_AND_STATUS_FIRST = re.compile(r"(([245])[0-5]\d) (\2\.\d{1,3}\.\d{1,3})(?!\S)", re.ASCII)
_CODES_CHARACTERS = len("550 5.123.123 ")
_STATUS_AFTER_REPLY_CODE = re.compile(rf"(?<!\d)[245][0-5]\d[\s\-]{{1,3}}#?{_STATUS.pattern}", re.ASCII)

BEGINNINGS_REMEMBERED = 1_024
"""Of replies, which are alike until they become personal."""
STEPS_A_CHARACTER = 8
"""Reading mailboxes takes longer than other work on text; an evaluation's budget lasts for some 125,000 characters."""


def codes_at_start(text: str) -> tuple[int, str] | None:
    """What `smtp_code` and `enhanced_code` find in "550 5.1.1 No such user"; None for replies that begin otherwise."""
    return _codes_in(text[:_CODES_CHARACTERS])


@lru_cache(BEGINNINGS_REMEMBERED)
def _codes_in(beginning: str) -> tuple[int, str] | None:
    match = _CODE_AND_STATUS_FIRST.match(beginning)
    return (int(match[1]), match[3]) if match else None


@function("smtp_code(text)")
def smtp_code(scope: Scope, x: Json) -> int | None:
    """The first SMTP reply code in a text, as a number; of a number itself."""
    if x is None:
        return None
    if type(x) is int:
        return x if 200 <= x <= 599 else None
    text = to_text("smtp_code", x)
    spend(scope, len(text) >> 2)
    if match := _REPLY_CODE_BEFORE_STATUS.search(text):
        return int(match[1] + match[2])
    match = _REPLY_CODE.search(text.strip())
    return int(match[1]) if match else None


@text_function("enhanced_code(text)")
def enhanced_code(scope: Scope, text: str) -> str | None:
    """The first RFC 3463 status in a text: 5.1.1."""
    if text.count(".") < 2:
        return None
    spend(scope, len(text) >> 2)
    match = _STATUS_AFTER_REPLY_CODE.search(text) or _STATUS.search(text)
    return match[1] if match else None


@text_function("address(text)")
def address(scope: Scope, text: str) -> str | None:
    """The bare address of the first mailbox: a@b of `Name <a@b>`."""
    spend(scope, len(text) * STEPS_A_CHARACTER)
    found = mailboxes(text)
    return found[0].address if found else None


@text_function("address_name(text)")
def address_name(scope: Scope, text: str) -> str | None:
    """The name of the first mailbox, decoded; null where it has none."""
    spend(scope, len(text) * STEPS_A_CHARACTER)
    found = mailboxes(text)
    return found[0].name or None if found else None


@function("addresses(x)")
def addresses(scope: Scope, x: Json) -> list[str] | None:
    """The bare addresses in a text, or in an array of texts or of {email} or {address}."""
    if x is None:
        return None
    found: list[str] = []
    for item in x if type(x) is list else [x]:
        text = item if type(item) is str else _address_text(item)
        spend(scope, len(text) * STEPS_A_CHARACTER + 1)
        found += bare_addresses(text)
    return found


def _address_text(item: Json) -> str:
    if type(item) is dict:
        item = item.get("address") or item.get("email")
    return item if type(item) is str else ""


@function("header_value(headers, name)")
def header_value(scope: Scope, headers: Json, name: Any) -> Any:
    """A header of [{name, value}, …], [[name, value], …] or an object, in any case."""
    if headers is None or headers == "" or name is None:
        return None
    wanted = to_text("header_value", name).lower()
    if type(headers) is dict:
        named = list(headers.items())
    elif type(headers) is list:
        named = [_name_and_value(item) for item in headers]
    else:
        raise wrong_type("header_value", "an array or object", headers)
    spend(scope, len(named))
    return next((value for key, value in named if type(key) is str and key.lower() == wanted), None)


def _name_and_value(item: Json) -> tuple[Any, Any]:
    if type(item) is dict:
        name = item.get("name", item.get("Name"))
        return name, item.get("value", item.get("Value"))
    if type(item) is list and len(item) == 2:
        return item[0], item[1]
    return None, None
