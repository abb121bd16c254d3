"""Our functions about text."""

import base64
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote_plus

from msgspec import UNSET

from adapters.errors import ExpressionError
from adapters.functions.patterns import Pattern, compile_pattern, first_match
from adapters.functions.scope import Scope, spend, spend_text
from adapters.functions.table import Argument, Closure, special, text_function, to_text
from adapters.functions.values import literal_text

_PLACEHOLDER = re.compile(r"\{(\d{1,3})\}")


@text_function("lower(text)")
def lower(_: Scope, text: str) -> str:
    """In lower case."""
    return text.lower()


@text_function("upper(text)")
def upper(_: Scope, text: str) -> str:
    """In upper case."""
    return text.upper()


@text_function("trim(text)")
def trim(_: Scope, text: str) -> str:
    """Without white space around it."""
    return text.strip()


@text_function("strip_brackets(text)")
def strip_brackets(_: Scope, text: str) -> str:
    """Trimmed, and without the angle brackets around it."""
    trimmed = text.strip()
    return trimmed[1:-1].strip() if trimmed[:1] == "<" and trimmed[-1:] == ">" else trimmed


@text_function("prefix(text, before)")
def prefix(_: Scope, text: str, before: str) -> str:
    """The text with another before it; an empty text stays empty."""
    return before + text if text else text


@text_function("split(text, separator)")
def split(scope: Scope, text: str, separator: str) -> list[str]:
    """The parts between the separators."""
    if not separator:
        raise ExpressionError("split() wants a separator that is not empty")
    spend(scope, text.count(separator))
    return text.split(separator)


@text_function("replace(text, old, new)")
def replace(scope: Scope, text: str, old: str, new: str) -> str:
    """With every occurrence of `old` replaced."""
    spend_text(scope, text.count(old) * len(new))
    return text.replace(old, new)


@text_function("substring_before(text, marker, …)")
def substring_before(_: Scope, text: str, *markers: str) -> str:
    """What stands before the first of the markers, or the whole text."""
    for marker in markers:
        text = text.partition(marker)[0] if marker else text
    return text


@text_function("base64_decode(text)")
def base64_decode(_: Scope, text: str) -> str | None:
    """The UTF-8 text that is encoded in base64 (either alphabet), else null."""
    compact = "".join(text.split()).rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(compact + "=" * (-len(compact) % 4), validate=True).decode()
    except ValueError:
        return None


@text_function("url_decode(text)")
def url_decode(_: Scope, text: str) -> str:
    """With %XX and + decoded."""
    return unquote_plus(text)


@special("template(text, a, …)")
def template(arguments: list[Argument]) -> Closure:
    """The text with {0}, {1}, … filled in; null when every argument is null."""
    pieces = _PLACEHOLDER.split(literal_text(arguments[0], "template", "text"))
    runs = [argument.run for argument in arguments[1:]]
    texts, places = pieces[::2], [int(place) for place in pieces[1::2]]
    if places and max(places) >= len(runs):
        raise ExpressionError(f"template() has no argument for {{{max(places)}}}", position=arguments[0].position)

    def filled(value: Any, scope: Scope) -> str | None:
        found = [run(value, scope) for run in runs]
        if all(each is None for each in found):
            return None
        spelled = ["" if each is None else to_text("template", each) for each in found]
        spend_text(scope, sum(len(spelled[place]) for place in places))
        return texts[0] + "".join(spelled[place] + text for place, text in zip(places, texts[1:], strict=True))

    return filled


@special("regex_match(text, pattern)")
def regex_match(arguments: list[Argument]) -> Closure:
    """Whether the pattern (RE2 syntax, a literal) occurs in the text."""
    search = _searching("regex_match", _pattern("regex_match", arguments[1]), arguments[0])

    def occurs(value: Any, scope: Scope) -> bool | None:
        match = search(value, scope)
        return None if match is UNSET else match is not None

    return occurs


@special("regex(text, pattern, group?)")
def regex(arguments: list[Argument]) -> Closure:
    """A group of the first match, by default the first, or all where none is marked."""
    pattern = _pattern("regex", arguments[1])
    search = _searching("regex", pattern, arguments[0])
    group = _group(pattern, arguments[2]) if len(arguments) > 2 else min(pattern.groups, 1)

    def found(value: Any, scope: Scope) -> str | None:
        match = search(value, scope)
        return None if match is None or match is UNSET else match.group(group)

    return found


def _pattern(name: str, argument: Argument) -> Pattern:
    try:
        return compile_pattern(literal_text(argument, name, "pattern"))
    except ExpressionError as mistake:
        if mistake.position is not None:
            raise
        raise ExpressionError(f"bad pattern in {name}(): {mistake}", position=argument.position) from None


def _group(pattern: Pattern, argument: Argument) -> int:
    group = argument.literal
    if type(group) is not int or not 0 <= group <= pattern.groups:
        raise ExpressionError(f"regex() wants a literal group from 0 to {pattern.groups}", position=argument.position)
    return group


def _searching(name: str, pattern: Pattern, argument: Argument) -> Callable[[Any, Scope], Any]:
    """The match, None when there is none, UNSET when the text is null."""
    run = argument.run

    def match(value: Any, scope: Scope) -> Any:
        text = run(value, scope)
        return UNSET if text is None else first_match(pattern, to_text(name, text), scope)

    return match
