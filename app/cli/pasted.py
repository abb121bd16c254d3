"""A payload that somebody pasted, read in whatever form it has."""

import re
from typing import Any, NamedTuple

from adapters.decoders import decode, parse_json
from adapters.errors import DecodeFailed
from adapters.request import NativeRequest
from app.cli.errors import Misconfigured

PAYLOAD_BYTES_MAX = 1_000_000

_FORM = re.compile(rb"\s*[\w.\[\]%+-]+=")


class Pasted(NamedTuple):
    """A payload, and which of the decoders read it."""

    decode: str
    body: Any
    raw: bytes
    field: str | None = None
    """The only field of a form, where the body is the JSON in it."""


def pasted(given: bytes) -> Pasted:
    """JSON, JSON Lines, or the fields of a form."""
    if len(given) > PAYLOAD_BYTES_MAX:
        raise Misconfigured(f"the payload is larger than {PAYLOAD_BYTES_MAX} bytes; one event is enough")
    request = NativeRequest(headers={}, body=given.strip())
    failures = list[str]()
    for kind in ("json", "json_lines", *(["form"] if _FORM.match(given) else [])):
        try:
            return _opened(Pasted(kind, decode(kind, request), request.body))
        except DecodeFailed as failure:
            failures.append(str(failure))
    raise Misconfigured(f"the payload cannot be read: {failures[0]}")


def _opened(form: Pasted) -> Pasted:
    """The JSON inside the only field of a form; anything else as it is."""
    if form.decode != "form" or len(form.body) != 1:
        return form
    ((field, text),) = form.body.items()
    try:
        inner = parse_json(text) if isinstance(text, str) else None
    except DecodeFailed:
        return form
    return form._replace(body=inner, field=field) if isinstance(inner, dict | list) else form
