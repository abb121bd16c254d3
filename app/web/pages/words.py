"""How values are written on a page: times, numbers, and texts that strangers chose.

Templates escape every value by themselves. Texts from payloads go through `visible` as well, because a text may also
lie by what cannot be seen: a mark that turns the direction of what follows, a character without width.
"""

import re
import unicodedata
from datetime import datetime
from functools import cache

from markupsafe import Markup, escape

TEXT_SHOWN_MAX = 20_000
"""Characters of a text on a page; the rest is behind a link to its raw form."""

NOTHING = "\u2013"
"""In place of a value that there is not."""

_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)
_LONGER = ((86_400 * 365, "y"), (86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


def visible(text: object) -> Markup:
    """The text as HTML that says everything that is in it, isolated from the direction of what is around it."""
    escaped = str(escape("" if text is None else str(text)))
    return Markup(f'<bdi dir="auto">{_UNSEEN.sub(_named, escaped)}</bdi>')  # noqa: S704 - escaped just now


def spelled(text: object) -> str:
    """The text with what cannot be seen spelled out, for places that hold no markup: an option, a title."""
    return _UNSEEN.sub(lambda found: f"U+{ord(found[0]):04X}", "" if text is None else str(text))


def clipped(text: str, characters_max: int = TEXT_SHOWN_MAX) -> str:
    """The beginning of the text."""
    return text if len(text) <= characters_max else text[:characters_max]


def moment(iso: str) -> str:
    """ "2026-03-03T08:15:00.123Z" as "2026-03-03 08:15:00"."""
    return iso[:19].replace("T", " ")


def ago(iso: str, now: datetime) -> str:
    """How long before `now` that was, or how long after: "3 min ago", "in 2 h"."""
    seconds = (now - datetime.fromisoformat(iso)).total_seconds()
    span = abs(seconds)
    for unit_s, unit in _LONGER:
        if span >= unit_s:
            return f"{int(span // unit_s)} {unit} ago" if seconds > 0 else f"in {int(span // unit_s)} {unit}"
    return "now"


def count(number: int) -> str:
    """A number with its thousands apart: 12 345."""
    return f"{number:,}".replace(",", "\u202f")


def size(number: int) -> str:
    """A number of bytes: "3.2 MB", with thousands of bytes."""
    amount = float(number)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.0f} B" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} TB"


def percent(rate: float | None) -> str:
    """A part of 1 for people, to hundredths of a percent; what is not quite all or nothing does not look so."""
    if rate is None:
        return NOTHING
    text = f"{rate * 100:.2f}".rstrip("0").rstrip(".")
    if text == "100" and rate < 1:
        return "> 99.99 %"
    return "< 0.01 %" if text == "0" and rate > 0 else f"{text} %"


def duration(milliseconds: float) -> str:
    """A length of time: "12 ms", "1.5 s", "3 min", "2 h", "4 d"."""
    if milliseconds < 1_000:
        return f"{milliseconds:.3g} ms"
    if milliseconds < 60_000:
        return f"{milliseconds / 1_000:.2g} s"
    seconds = milliseconds / 1_000
    unit_s, unit = next(longer for longer in _LONGER if seconds >= longer[0])
    return f"{seconds / unit_s:.0f} {unit}"


def _named(found: re.Match[str]) -> str:
    character = found[0]
    return f'<span class="unseen" title="{_title(character)}">U+{ord(character):04X}</span>'


@cache
def _title(character: str) -> str:
    return unicodedata.name(character, "CONTROL CHARACTER")
