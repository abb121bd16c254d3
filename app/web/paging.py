"""What all lists have in common: a limit, a cursor, a stretch of time."""

import base64
import binascii
from datetime import datetime
from typing import Annotated, TypeVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

from adapters.events import canonical_type
from app.store.walks import Span
from app.web.event_words import unknown_word
from app.web.problems import FieldError, invalid

LIMIT_MAX = 200
LIMIT_DEFAULT = 50
_CURSOR_BYTES = 8

Filter = TypeVar("Filter", bound=msgspec.Struct)
Text = Annotated[str, Meta(max_length=500)]
Moment = Annotated[datetime, Meta(tz=True)]
"""A time with its offset: 2026-03-03T08:15:00Z."""
Cursor = Annotated[str, Meta(max_length=20, description="The next_cursor of the page before.")]


class Wanted(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What came since one time and before another; filters are added by each log."""

    since: Moment | UnsetType = UNSET
    until: Moment | UnsetType = UNSET

    def wanted(self, shape: type[Filter]) -> Filter:
        """The store's filter, of what was given. Raises Problem 422 for a type that nobody knows."""
        return wanted(self, shape)


def wanted(query: msgspec.Struct, shape: type[Filter]) -> Filter:
    """The store's filter, of what a query gave. Raises Problem 422 for a type that nobody knows."""
    names = shape.__struct_fields__
    given = {name: value for name in names if (value := getattr(query, name)) is not UNSET}
    if "type" in given:
        given["type"] = _known_type(given["type"])
    return shape(**given)


class LogQuery(Wanted, kw_only=True, forbid_unknown_fields=True):
    """Which page of that."""

    limit: Annotated[int, Meta(ge=1, le=LIMIT_MAX)] = LIMIT_DEFAULT
    cursor: Cursor | UnsetType = UNSET

    def span(self) -> Span:
        """As the store takes it. Raises Problem 422."""
        return Span(since=self.since or None, until=self.until or None, cursor=cursor_number(self.cursor))


def cursor_text(number: int | None) -> str | None:
    """The opaque text of a cursor."""
    return None if number is None else base64.urlsafe_b64encode(number.to_bytes(_CURSOR_BYTES)).decode().rstrip("=")


def cursor_number(text: str | UnsetType) -> int | None:
    """What `cursor_text` made a text of. Raises Problem 422."""
    if text is UNSET:
        return None
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != _CURSOR_BYTES or raw[0] > 127:
        raise invalid([FieldError("cursor", "is not a cursor of this list; take next_cursor from the page before.")])
    return int.from_bytes(raw)


def _known_type(word: str) -> str:
    name = canonical_type(word)
    if name is None:
        raise invalid([FieldError("type", unknown_word(word))])
    return name
