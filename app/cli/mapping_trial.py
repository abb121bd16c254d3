"""What a mapping file makes of a request, without a server."""

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import msgspec

from adapters.adapter import Adapter
from adapters.request import NativeRequest
from app.cli.configuration import settings_in_force
from app.cli.errors import Misconfigured
from app.cli.given import RECIPIENT
from app.cli.output import wants_json
from app.cli.providers import adapter_in
from app.cli.samples import unique
from app.trial import Attempted, Trial, Tried, WireRequest

_REQUEST_FIELDS = frozenset(WireRequest.__struct_fields__)


class TriedSample(Tried, kw_only=True):
    """What became of one of the mapping's own samples."""

    sample: str


def tried(file: Path, given: bytes | None) -> Iterator[Tried]:
    """What the mapping in `file` makes of what is given, or else of each of its own samples. Raises Misconfigured."""
    adapter = adapter_in(file)
    trial = Trial(adapter, body_bytes_max=settings_in_force().body_bytes_max)
    if given is None:
        yield from _samples(adapter, trial)
    else:
        yield trial.read(_attempted(given))


def _samples(adapter: Adapter, trial: Trial) -> Iterator[TriedSample]:
    for sample in adapter.samples:
        native = adapter.sample_request(
            [sample], signing={}, url="https://localhost/", at=time.time(), recipient=RECIPIENT, unique=unique
        )
        tried = trial.read(Attempted(request=_wire(native)))
        yield TriedSample(sample=sample, **{name: getattr(tried, name) for name in tried.__struct_fields__})


def _wire(native: NativeRequest) -> WireRequest:
    url = urlsplit(native.url)
    return WireRequest(
        method=native.method,
        path=url.path,
        query=url.query or None,
        headers=dict(native.headers),
        body_b64=native.body,
    )


def _attempted(given: bytes) -> Attempted:
    """A request in JSON, with or without what is around it; anything else is the body itself."""
    try:
        native = json.loads(given)
    except (ValueError, RecursionError):
        native = None
    try:
        if _is_object_with(native, {"request"}):
            return msgspec.convert(native, Attempted, strict=False)
        if _is_object_with(native, {"body", "body_b64"}) and _REQUEST_FIELDS.issuperset(cast("Any", native)):
            return Attempted(request=msgspec.convert(native, WireRequest, strict=False))
    except msgspec.ValidationError as mistake:
        raise Misconfigured(f"this is not a request: {mistake}") from mistake
    content_type = "application/json" if native is not None else None
    return Attempted(request=WireRequest(content_type=content_type, body_b64=given))


def _is_object_with(native: Any, names: set[str]) -> bool:
    return isinstance(native, dict) and not names.isdisjoint(cast("dict[str, Any]", native))


def show_tried(tried: Tried) -> None:
    """A line of JSON, or the same spread out for a person."""
    line = msgspec.json.encode(tried)
    sys.stdout.write((line if wants_json() else msgspec.json.format(line, indent=2)).decode() + "\n")
