"""Native item and unified event side by side: both as indented JSON, with what became of what marked in both.

Strategy: nobody records which native value a field was made of, so it is found again by its value. A unified value is
linked to the native one that is equal to it, that is the same moment, or that holds it; of several, to the one whose
key is most alike. Values that say too little by themselves (true, 3) are linked only under the same key.
"""

import json
import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias, cast

from markupsafe import Markup, escape

from adapters.errors import MapFailed
from adapters.events import iso_millis
from adapters.times import time_reader
from app.web.pages.words import visible

Path: TypeAlias = tuple[str | int, ...]

LINES_MAX = 600
TEXT_CHARS_MAX = 600
LEAVES_MAX = 2_000
"""Of a native item; of an event no more than lines are shown."""
HELD_CHARS_MIN = 5
NUMBER_TELLING_MIN = 100
OUR_OWN: Collection[Path] = {
    ("id",),
    ("org_id",),
    ("env_id",),
    ("schema_version",),
    ("data", "received_at"),
    ("data", "attribution"),
    ("data", "provider", "name"),
    ("data", "provider", "source"),
}
"""What the gateway itself says in an event."""
_read_time = time_reader()
_MOMENT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]{9,}")


class Leaf(NamedTuple):
    """A value that holds no others, and where it stands."""

    path: Path
    value: Any

    @property
    def key(self) -> str:
        """The innermost name on the way to it."""
        return next((step for step in reversed(self.path) if isinstance(step, str)), "")


class Links(NamedTuple):
    """By place, the number of the link: the same in both."""

    native: Mapping[Path, int]
    unified: Mapping[Path, int]


class _Natives(NamedTuple):
    """The native leaves by their form, and those that are texts in small letters."""

    by_form: Mapping[str, Sequence[Leaf]]
    texts: Sequence[tuple[str, Leaf]]


def link(native: Any, unified: Any) -> Links:
    """Which native value each value of the event was made of, as far as that can be seen."""
    natives = _natives(native)
    in_native, in_unified = dict[Path, int](), dict[Path, int]()
    for leaf in _leaves(unified, LINES_MAX):
        origin = None if leaf.path in OUR_OWN else _origin(leaf, natives)
        if origin is not None:
            in_unified[leaf.path] = in_native.setdefault(origin.path, len(in_native) + 1)
    return Links(in_native, in_unified)


def shown(value: Any, links: Mapping[Path, int], unmapped: Collection[str] = ()) -> Markup:
    """The value as lines of JSON; `unmapped` are keys at its top that the mapping does not name."""
    lines = list[Markup]()
    for line in _Printer(links, unmapped).lines(value, (), 0, ""):
        if len(lines) == LINES_MAX:
            lines.append(Markup('<span class="cut-line">… cut here</span>'))
            break
        lines.append(line)
    return Markup("\n").join(lines)


def _natives(native: Any) -> _Natives:
    by_form, texts = defaultdict[str, list[Leaf]](list), list[tuple[str, Leaf]]()
    for leaf in _leaves(native, LEAVES_MAX):
        if (form := _form(leaf.value)) is not None:
            by_form[form].append(leaf)
        if isinstance(leaf.value, str):
            texts.append((leaf.value.lower(), leaf))
    return _Natives(by_form, texts)


def _origin(leaf: Leaf, natives: _Natives) -> Leaf | None:
    """The native leaf behind a unified one."""
    form = _form(leaf.value)
    if form is None:
        return None
    equal = natives.by_form.get(form, ())
    if not _is_telling(leaf.value):
        return next((native for native in equal if native.key == leaf.key), None)
    found = equal or [native for text, native in natives.texts if _holds(text, form)]
    return max(found, key=lambda native: _likeness(native, leaf), default=None)


def _likeness(native: Leaf, unified: Leaf) -> tuple[int, int]:
    """The more alike the keys are, and the less deep the native value lies."""
    ours, theirs = set(unified.key.lower().split("_")), set(re.split(r"[_\-. ]", native.key.lower()))
    if unified.key == "email_id":
        ours = {"message", *ours}  # what we call the email's id, most providers call the message's
    return len(ours & theirs) * 2 + (native.key.lower() == unified.key.lower()), -len(native.path)


def _form(value: Any) -> str | None:
    """What equal values have in common: case, brackets and the ways of writing a time do not count."""
    if value is None or value == "" or isinstance(value, bool):
        return None
    text = str(value).strip()
    if len(text) <= 40 and _MOMENT.search(text):
        try:
            return iso_millis(_read_time(value))
        except (MapFailed, ValueError, OverflowError):
            return text.lower()
    return text.removeprefix("<").removesuffix(">").lower()


def _is_telling(value: Any) -> bool:
    return len(value) > 1 if isinstance(value, str) else isinstance(value, int | float) and value >= NUMBER_TELLING_MIN


def _holds(text: str, form: str) -> bool:
    """Whether a longer native text has it inside: an address in angle brackets, a code in an answer."""
    if len(text) <= len(form):
        return False
    if len(form) >= HELD_CHARS_MIN:
        return form in text
    return len(form) == 3 and form.isdecimal() and re.search(rf"\b{form}\b", text) is not None


def _leaves(value: Any, leaves_max: int) -> Iterator[Leaf]:
    """The leaves in their order, so many at most; without recursion, because a stranger chose the depth."""
    waiting: list[Leaf] = [Leaf((), value)]
    given = 0
    while waiting and given < leaves_max:
        path, part = waiting.pop()
        if isinstance(part, dict):
            entries = cast("dict[str, Any]", part)
            waiting += [Leaf((*path, key), inner) for key, inner in reversed(list(entries.items()))]
        elif isinstance(part, list):
            elements = cast("list[Any]", part)
            waiting += [Leaf((*path, at), inner) for at, inner in reversed(list(enumerate(elements)))]
        else:
            given += 1
            yield Leaf(path, part)


class _Printer:
    def __init__(self, links: Mapping[Path, int], unmapped: Collection[str]) -> None:
        self._links = links
        self._unmapped = unmapped

    def lines(self, value: Any, path: Path, depth: int, comma: str) -> Iterator[Markup]:
        """The lines of a value whose key, if it has one, stands before the first."""
        start = escape("  " * depth) + self._key(path)
        if isinstance(value, dict) and value:
            yield from self._block(start, cast("dict[str, Any]", value).items(), "{}", path, depth, comma)
        elif isinstance(value, list) and value:
            yield from self._block(start, enumerate(cast("list[Any]", value)), "[]", path, depth, comma)
        else:
            yield start + self._value(value, path) + comma

    def _block(
        self, start: Markup, entries: Any, brackets: str, path: Path, depth: int, comma: str
    ) -> Iterator[Markup]:
        yield start + brackets[0]
        parts = list(entries)
        for at, (step, inner) in enumerate(parts):
            yield from self.lines(inner, (*path, step), depth + 1, "," if at < len(parts) - 1 else "")
        yield escape("  " * depth) + brackets[1] + comma

    def _key(self, path: Path) -> Markup:
        if not path or not isinstance(path[-1], str):
            return Markup("")
        name = Markup('<span class="k">{}</span>').format(_quoted(path[-1]))
        if len(path) == 1 and path[0] in self._unmapped:
            name = Markup('<span class="unmapped" title="No field reads it">{}</span>').format(name)
        return name + ": "

    def _value(self, value: Any, path: Path) -> Markup:
        text = Markup('<span class="{}">{}</span>').format(_kind(value), _literal(value))
        number = self._links.get(path)
        if number is None:
            return text
        return Markup('<mark class="link" data-link="{0}">{1}<sup>{0}</sup></mark>').format(number, text)


def _kind(value: Any) -> str:
    return "s" if isinstance(value, str) else "n" if isinstance(value, int | float) and value is not True else "w"


def _literal(value: Any) -> Markup:
    if isinstance(value, str):
        return _quoted(value)
    return escape(json.dumps(value, ensure_ascii=False, default=str))


def _quoted(text: str) -> Markup:
    """A text between quotes, as JSON has it, but for what cannot be seen, which is named instead."""
    if len(text) <= TEXT_CHARS_MAX:
        return visible(json.dumps(text, ensure_ascii=False))
    cut = visible(json.dumps(text[:TEXT_CHARS_MAX], ensure_ascii=False))
    return cut + Markup('<span class="cut-text"> … {} characters in all</span>').format(len(text))
