"""`mailweir mappings try`: what a mapping file makes of a request, without a server."""

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast
from urllib.parse import urlsplit

import msgspec
import rich_click as click
from click import argument

from adapters.adapter import Adapter
from adapters.catalog import read_file
from adapters.errors import MappingInvalid
from adapters.mapping import load_mapping
from adapters.request import NativeRequest
from app.cli.configuration import settings_in_force
from app.cli.errors import CheckFailed, Misconfigured
from app.cli.output import json_option, wants_json
from app.cli.samples import RECIPIENT, unique
from app.trial import Attempted, Trial, Tried, WireRequest

_REQUEST_FIELDS = frozenset(WireRequest.__struct_fields__)


class TriedSample(Tried, kw_only=True):
    """What became of one of the mapping's own samples."""

    sample: str


@click.command("try")
@argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@argument("request", type=click.File("rb"), required=False)
@json_option
def try_mapping(file: Path, request: BinaryIO | None) -> None:
    """Show what the mapping in FILE makes of a REQUEST, or else of each of its own samples.

    REQUEST is a file, or - for standard input: a body as the provider posts it, or a request in JSON as `mailweir
    normalize` takes it, with its headers and secrets. The exit code is 1 when something could not be read.

    \b
    Examples:
        mailweir mappings try acme.yaml
        mailweir mappings try acme.yaml payload.json
        pbpaste | mailweir mappings try acme.yaml -
    """
    adapter = adapter_in(file)
    trial = Trial(adapter, body_bytes_max=settings_in_force().body_bytes_max)
    tried = list(_samples(adapter, trial)) if request is None else [trial.read(_attempted(request.read()))]
    for one in tried:
        _show(one)
    unread = sum(len(one.quarantined) + bool(one.error) for one in tried)
    if unread:
        raise CheckFailed(f"{unread} of what was tried could not be read")


def adapter_in(file: Path) -> Adapter:
    """The adapter that a file declares. Raises Misconfigured."""
    try:
        return load_mapping(read_file(file), str(file))
    except MappingInvalid as error:
        raise Misconfigured(str(error)) from error


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


def _show(tried: Tried) -> None:
    """A line of JSON, or the same spread out for a person."""
    line = msgspec.json.encode(tried)
    sys.stdout.write((line if wants_json() else msgspec.json.format(line, indent=2)).decode() + "\n")
