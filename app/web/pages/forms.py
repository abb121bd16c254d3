"""What a page's forms bring: filters in the URL, and fields of a POST."""

from collections.abc import Container, Mapping
from datetime import UTC, datetime
from typing import TypeVar
from urllib.parse import urlencode

import msgspec

from app.web.input import fit_texts
from app.web.problems import AnyRequest, FieldError, invalid
from app.web.sessions import FORM_FIELD
from app.web.stream import StreamQuery

Shape = TypeVar("Shape", bound=msgspec.Struct)
ROWS_MAX = 100
"""Of a list; more would make the page heavy."""
_STREAM, _STREAM_FILTERS = "/api/stream", StreamQuery.__struct_fields__
_TIMES = ("since", "until")
_PAGING = {"cursor", "limit"}


class Given:
    """The filters in force as the URL has them, for a form to show and for links to keep: `given["type"]`."""

    def __init__(self, request: AnyRequest) -> None:
        self._texts = {name: text for name, text in request.query_params.items() if text.strip()}

    def __getitem__(self, name: str) -> str:
        """The text of a filter, empty where it is not in use."""
        return self._texts.get(name, "")

    def __bool__(self) -> bool:
        """Whether any filter is in use, of which paging is none."""
        return bool(self._texts.keys() - _PAGING)

    def query(self, **changes: str | None) -> str:
        """The query of a link to the same list with these filters changed; None takes one away."""
        return _query(self._texts | changes)

    def only(self, names: Container[str]) -> str:
        """The query of a link with the filters of these names."""
        return _query({name: text for name, text in self._texts.items() if name in names})


def stream_of(given: Given) -> str:
    """What a list with these filters follows: the part of them that the live stream knows; nothing in the past."""
    if given["cursor"] or given["until"]:
        return ""
    return _STREAM + given.only(_STREAM_FILTERS)


def read_filters(request: AnyRequest, shape: type[Shape]) -> Shape:
    """The query as `shape`; a field that was left empty was not given, and times are UTC. Raises Problem 422."""
    given = {name: text.strip() for name, text in request.query_params.items() if text.strip()}
    return fit_texts({name: _in_utc(text) if name in _TIMES else text for name, text in given.items()}, shape)


async def read_form(request: AnyRequest, shape: type[Shape]) -> Shape:
    """The fields of a form as `shape`, without the proof. Raises Problem 422.

    A field that was left empty takes its default; of a repeated one the last counts.
    """
    fields = ((name, str(text)) for name, text in (await request.form()).items())
    return fit_texts({name: text for name, text in fields if name != FORM_FIELD and text.strip()}, shape)


async def read_fields(request: AnyRequest) -> dict[str, str]:
    """The fields of a form whose names are known only when it is read, without the proof. Raises Problem 422."""
    fields = {name: str(text) for name, text in (await request.form()).items() if name != FORM_FIELD}
    if errors := [FieldError(name, "may not hold the character NUL.") for name in fields if "\x00" in fields[name]]:
        raise invalid(errors)
    return fields


async def read_many(request: AnyRequest, name: str) -> list[str]:
    """All values of one field: the boxes that were ticked."""
    return [str(value) for value in (await request.form()).getall(name, [])]


def _query(texts: Mapping[str, str | None]) -> str:
    kept = {name: text for name, text in texts.items() if text}
    return f"?{urlencode(kept)}" if kept else ""


def _in_utc(text: str) -> str:
    """A time as a browser's own field gives it, which knows no zone."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return text
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).isoformat()
