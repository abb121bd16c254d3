"""What a source of a provider may be told besides its secrets: options, each declared with a type and a meaning."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, cast

from adapters.mapping_file import Place

TEXTS_MAX = 100
TEXT_CHARACTERS_MAX = 2_000

OPTION_KEYS = ("type", "meaning")
OPTION_TYPES = {
    "text": "a text",
    "texts": f"a list of 1 to {TEXTS_MAX} texts",
    "flag": "true or false",
    "number": "a number",
}


class Option(NamedTuple):
    """One entry of `options` in a mapping file."""

    name: str
    type: str
    """text, texts, flag or number."""
    meaning: str
    """One line for the operator."""

    def fits(self, value: Any) -> bool:
        """Whether `value` is of the option's type."""
        if self.type == "texts":
            return bool(option_texts(value))
        if self.type == "flag":
            return isinstance(value, bool)
        if self.type == "number":
            return isinstance(value, int | float) and not isinstance(value, bool)
        return _is_text(value)


def read_options(place: Place | None) -> tuple[Option, ...]:
    """The options that a mapping declares."""
    return () if place is None else tuple(_option(name, entry) for name, entry in place.entries().items())


def option_texts(value: Any) -> list[str]:
    """The texts of an option of type texts, of which one may stand alone; none when it is anything else."""
    texts = cast("list[Any]", value) if isinstance(value, list) else [value]
    return texts if len(texts) <= TEXTS_MAX and all(map(_is_text, texts)) else []


def check_options(declared: Sequence[Option], options: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What is wrong with a source's options: (name, sentence)."""
    by_name = {option.name: option for option in declared}
    known = f"known are {', '.join(by_name)}" if by_name else "this provider has none"
    wrong = [(name, f"unknown option; {known}") for name in options if name not in by_name]
    for name, option in by_name.items():
        if name in options and not option.fits(options[name]):
            wrong.append((name, f"must be {OPTION_TYPES[option.type]}"))
    return wrong


def _option(name: str, place: Place) -> Option:
    parts = place.section(OPTION_KEYS)
    if "type" not in parts or "meaning" not in parts:
        raise place.invalid("an option needs `type` and `meaning` (one line for the operator)")
    return Option(name, parts["type"].one_of(OPTION_TYPES), parts["meaning"].text())


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= TEXT_CHARACTERS_MAX
