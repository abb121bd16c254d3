"""Regular expressions in RE2 syntax: no look-around and no back-references, and time in proportion to the text."""

from typing import Any, Protocol, cast

import re2

from adapters.errors import ExpressionError
from adapters.functions.scope import Scope, spend

# re2's wheel has no type stubs; what is used of it is in `Match` and `Pattern`.
_re2 = cast(Any, re2)


class Match(Protocol):
    """What is used of a match: the text of a group, or of the whole, which is group 0."""

    def group(self, group: int) -> str | None: ...


class Pattern(Protocol):
    """What is used of a compiled pattern."""

    @property
    def groups(self) -> int: ...
    @property
    def programsize(self) -> int: ...
    def search(self, text: str) -> Match | None: ...


def compile_pattern(source: str, *, any_case: bool = False) -> Pattern:
    """Raises `ExpressionError` with what RE2 says of a pattern that is none."""
    options = _re2.Options()
    options.log_errors = False
    options.case_sensitive = not any_case
    try:
        return cast(Pattern, _re2.compile(source, options))
    except (_re2.error, ValueError) as error:
        message = error.args[0].decode() if error.args and isinstance(error.args[0], bytes) else str(error)
        raise ExpressionError(message) from None


def first_match(pattern: Pattern, text: str, scope: Scope) -> Match | None:
    """Where the pattern occurs first. The steps that are spent grow with the pattern's size and the text's."""
    spend(scope, len(text) * pattern.programsize >> 8)
    return pattern.search(text)
