"""What all lists have in common: a limit, a cursor, a stretch of time."""

import base64
import binascii
from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from adapters.events import canonical_type
from app.store.walks import Span
from app.web.event_words import unknown_word
from app.web.problems import FieldError, invalid

LIMIT_MAX = 200
LIMIT_DEFAULT = 50
_CURSOR_BYTES = 8

Text = Annotated[str, Meta(max_length=500)]
Moment = Annotated[datetime, Meta(tz=True)]
"""A time with its offset: 2026-03-03T08:15:00Z."""


class PageQuery(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Which page; `cursor` is the `next_cursor` of the page before."""

    limit: Annotated[int, Meta(ge=1, le=LIMIT_MAX)] = LIMIT_DEFAULT
    cursor: Annotated[str, Meta(max_length=20)] | None = None


class SpanQuery(PageQuery, kw_only=True, forbid_unknown_fields=True):
    """A page of what came since one time and before another."""

    since: Moment | None = None
    until: Moment | None = None

    def span(self) -> Span:
        """As the store takes it."""
        return Span(since=self.since, until=self.until, cursor=cursor_number(self.cursor))


def cursor_text(number: int | None) -> str | None:
    """The opaque text of a cursor."""
    return None if number is None else base64.urlsafe_b64encode(number.to_bytes(_CURSOR_BYTES)).decode().rstrip("=")


def cursor_number(text: str | None) -> int | None:
    """What `cursor_text` made a text of. Raises Problem 422."""
    if text is None:
        return None
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != _CURSOR_BYTES or raw[0] > 127:
        raise invalid([FieldError("cursor", "is not a cursor of this list; take next_cursor from the page before.")])
    return int.from_bytes(raw)


def known_type(word: str | None) -> str | None:
    """The event type that a filter means, in whichever form. Raises Problem 422."""
    if word is None:
        return None
    name = canonical_type(word)
    if name is None:
        raise invalid([FieldError("type", unknown_word(word))])
    return name
