"""A mapping's `tables`: words for other words, by the word itself, by a pattern of it, or by a range of numbers.

| key        | stands for                                                                        |
|------------|-----------------------------------------------------------------------------------|
| `bounced`  | the word, whatever its case                                                       |
| `/^5\\.7/`  | every text in which the pattern (RE2 syntax) occurs, whatever its case            |
| `400..499` | every number from the first to the second; `500..` and `..199` are open at one end |
| `default`  | all others                                                                        |

A word goes before patterns and ranges, and of these the first that fits counts.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from math import inf
from typing import Any

from adapters.errors import ExpressionError
from adapters.functions.patterns import compile_pattern, first_match
from adapters.functions.scope import Scope
from adapters.mapping_file import Place

DEFAULT = "default"

Fits = Callable[[str, Scope], bool]
"""Whether a key of a table stands for a text, or for a number spelled out."""

_PATTERN = re.compile(r"/(.+)/", re.DOTALL)
_RANGE = re.compile(r"(-?\d{1,15})?\.\.(-?\d{1,15})?", re.ASCII)
_NUMBER = re.compile(r"-?\d{1,15}(\.\d{1,15})?", re.ASCII)


class Table:
    """One table. `words` are those that are looked up as they are, in lower case."""

    def __init__(self, words: Mapping[str, Any], families: Sequence[tuple[Fits, Any]], default: Any) -> None:
        self.words = words
        self.families = families
        self.default = default

    @property
    def values(self) -> list[Any]:
        """Everything that a look-up may give."""
        return [*self.words.values(), *(value for _, value in self.families), self.default]

    def look_up(self, value: Any, scope: Scope) -> Any:
        """What the table has for a value spelled out."""
        spelled = str(value)
        word = spelled.lower()
        if word in self.words:
            return self.words[word]
        return next((found for fits, found in self.families if fits(spelled, scope)), self.default)


class Tables(dict[str, Table]):
    """The file's tables by name; `asked` are those that something was compiled with."""

    def __init__(self, tables: Mapping[str, Table]) -> None:
        super().__init__(tables)
        self.asked: set[str] = set()

    def __getitem__(self, name: str) -> Table:
        self.asked.add(name)
        return super().__getitem__(name)


def read_tables(place: Place | None) -> Tables:
    """The file's tables."""
    return Tables({name: _table(table) for name, table in place.entries().items()} if place is not None else {})


def _table(place: Place) -> Table:
    words: dict[str, Any] = {}
    families: list[tuple[Fits, Any]] = []
    for key, entry in place.entries().items():
        if (fits := _family(key, entry)) is not None:
            families.append((fits, entry.value()))
        elif key.lower() in words:
            raise entry.invalid("given twice: the case of a table's keys does not count")
        else:
            words[key.lower()] = entry.value()
    return Table(words, families, words.get(DEFAULT))


def _family(key: str, entry: Place) -> Fits | None:
    """None for a key that is a word."""
    if pattern := _PATTERN.fullmatch(key):
        return _of_pattern(pattern[1], entry)
    if (ends := _RANGE.fullmatch(key)) and key != "..":
        return _of_range(float(ends[1] or -inf), float(ends[2] or inf), entry)
    return None


def _of_pattern(source: str, entry: Place) -> Fits:
    try:
        pattern = compile_pattern(source, any_case=True)
    except ExpressionError as mistake:
        raise entry.invalid(f"bad pattern: {mistake}") from None
    return lambda spelled, scope: first_match(pattern, spelled, scope) is not None


def _of_range(lowest: float, highest: float, entry: Place) -> Fits:
    if lowest > highest:
        raise entry.invalid("a range goes from the lower number to the higher")
    return lambda spelled, _: _NUMBER.fullmatch(spelled) is not None and lowest <= float(spelled) <= highest
