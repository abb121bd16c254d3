"""`mailweir normalize`: provider requests on standard input, unified events on standard output, no server."""

import sys
import time
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import msgspec
import rich_click as click
from click import argument, option

from adapters.adapter import Adapter
from adapters.errors import MappingInvalid, VerificationFailed
from adapters.events import Event, iso_millis
from adapters.mapping import load_mapping
from adapters.reader import MappedEvent, Reading
from adapters.request import NativeRequest
from app.cli.configuration import settings_in_force
from app.cli.errors import Misconfigured
from app.cli.mappings import find_adapter
from app.store.ids import EVENT, IdSource, public_id

ORG_ID, ENV_ID = "org_local", "env_local"
TOKENS_REMEMBERED_MAX = 1_000_000
_NODE = 0

Secrets = Mapping[str, str | Sequence[str] | None]


class WireRequest(msgspec.Struct):
    """A provider's request in JSON; the body is text or, where it is none, base64."""

    method: str = "POST"
    scheme: str = "https"
    host: str = "localhost"
    path: str = "/"
    query: str | dict[str, str] | None = None
    headers: dict[str, str] = {}
    content_type: str | None = None
    body: str | None = None
    body_b64: bytes | None = None


class Line(msgspec.Struct):
    """One line of input."""

    request: WireRequest
    secrets: Secrets | None = None
    """None takes the request as authentic."""
    at: float | None = None
    """Now, in seconds since 1970. None leaves time out of it: neither the request's age nor its token is checked."""
    options: dict[str, Any] = {}
    """What the source would be told besides its secrets, as the `topic_arns` of SNS."""
    certificates: dict[str, str] = {}
    """Certificates in PEM by the URL where they lie, which the gateway would fetch."""


class QuarantinedItem(msgspec.Struct):
    """An item that cannot be read; `index` is its place in the batch, None for the whole body."""

    index: int | None
    reason: str


class Result(msgspec.Struct):
    """One line of output."""

    status: int
    """What the gateway would answer."""
    events: Sequence[Event] = ()
    quarantined: Sequence[QuarantinedItem] = ()
    error: str | None = None


class _CertificateMissing(Exception):
    """The gateway would fetch a certificate; the line does not hold it."""


@click.command()
@argument("provider")
@option(
    "--mapping",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Read the mapping from this file instead.",
)
def normalize(provider: str, mapping: Path | None) -> None:
    """Turn requests of PROVIDER into unified events, without a server.

    Each line of standard input is a request in JSON, each line of standard output its result: the status that the
    gateway would answer, the events, and what was quarantined. `"secrets": null` skips verification; `"at": null` skips
    the checks of the request's age and of single-use tokens, which otherwise count once in a run.

    \b
    Input:
        {"request": {"method", "scheme", "host", "path", "query", "headers": {}, "content_type",
         "body" or "body_b64"}, "secrets": {"signing_secret": "…"}, "at": 1772525700,
         "options": {"topic_arns": ["…"]}, "certificates": {"https://sns.…pem": "-----BEGIN…"}}

    \b
    Examples:
        mailweir normalize sendgrid < requests.jsonl > events.jsonl
        mailweir normalize acme --mapping acme.yaml < requests.jsonl
    """
    adapter = find_adapter(provider) if mapping is None else _from_file(mapping, provider)
    normalizer = Normalizer(adapter, body_bytes_max=settings_in_force().body_bytes_max)
    encode = msgspec.json.Encoder().encode
    write, flush = sys.stdout.buffer.write, sys.stdout.buffer.flush
    for line in sys.stdin.buffer:
        write(encode(normalizer.result(line)) + b"\n")
        flush()


class Normalizer:
    """One provider's adapter with what the gateway's store would add: event ids, and which tokens were spent."""

    def __init__(self, adapter: Adapter, *, body_bytes_max: int) -> None:
        self._adapter = adapter
        self._body_bytes_max = body_bytes_max
        self._decode = msgspec.json.Decoder(Line, strict=False).decode
        self._ids = IdSource(_NODE, lambda: time.time_ns() // 1_000_000)
        self._spent: dict[bytes, None] = {}

    def result(self, line: bytes) -> Result:
        """What becomes of one line; never raises."""
        try:
            return self._result(self._decode(line))
        except (msgspec.MsgspecError, ValueError, RecursionError) as mistake:
            return Result(400, error=f"the line is not a request: {mistake}")
        except Exception as fault:  # noqa: BLE001  one bad line must not end the stream: the gateway would answer 500
            return Result(500, error=f"{type(fault).__name__}: {fault}")

    def _result(self, line: Line) -> Result:
        request = _native(line.request)
        if len(request.body) > self._body_bytes_max:
            return Result(413, error=f"the body is larger than {self._body_bytes_max} bytes")
        if request.method != "POST" and (answer := self._adapter.handshake(request)):
            return Result(answer.status)
        if request.method not in self._adapter.methods:
            return Result(405, error=f"this provider uses {', '.join(self._adapter.answered_methods)}")
        received_ms = time.time_ns() // 1_000_000 if line.at is None else round(line.at * 1000)
        try:
            reading = self._read(request, line, received_ms)
            if line.at is not None:
                self._spend(reading)
        except VerificationFailed as failure:
            return Result(self._adapter.refused_status, error=str(failure))
        except _CertificateMissing as missing:
            return Result(self._adapter.busy_status, error=str(missing))
        return Result(
            200 if reading.answer is None else reading.answer.status,
            events=[self._event(mapped, received_ms) for mapped in reading.events],
            quarantined=[QuarantinedItem(item.index, item.reason) for item in reading.quarantined],
        )

    def _read(self, request: NativeRequest, line: Line, received_ms: int) -> Reading:
        secrets, certificate = _listed(line.secrets), None
        if secrets is not None and (url := self._adapter.certificate_url(request, line.options)):
            if url not in line.certificates:
                raise _CertificateMissing(f"the certificate at {url} is needed; give it under certificates")
            certificate = line.certificates[url].encode()
        return self._adapter.read(request, secrets, line.at, received_ms, options=line.options, certificate=certificate)

    def _spend(self, reading: Reading) -> None:
        """Refuses a single-use token that a line before this one had."""
        if reading.once is None:
            return
        token = blake2b(reading.once.encode(), digest_size=16).digest()
        if token in self._spent:
            raise VerificationFailed("the single-use token was accepted before")
        self._spent[token] = None
        if len(self._spent) > TOKENS_REMEMBERED_MAX:
            del self._spent[next(iter(self._spent))]

    def _event(self, mapped: MappedEvent, received_ms: int) -> Event:
        data = mapped.data
        data.provider = msgspec.structs.replace(data.provider, source=self._adapter.name)
        data.received_at = iso_millis(received_ms)
        return Event(
            id=public_id(EVENT, self._ids.next()),
            type=mapped.type,
            timestamp=iso_millis(mapped.timestamp_ms),
            org_id=ORG_ID,
            env_id=ENV_ID,
            data=data,
        )


def _from_file(path: Path, provider: str) -> Adapter:
    try:
        adapter = load_mapping(path.read_text("utf-8"), str(path))
    except (MappingInvalid, OSError, UnicodeDecodeError) as error:
        raise Misconfigured(str(error)) from error
    if adapter.name != provider:
        raise Misconfigured(f"{path} is the mapping of '{adapter.name}', not of '{provider}'")
    return adapter


def _native(wire: WireRequest) -> NativeRequest:
    headers = {name.lower(): value for name, value in wire.headers.items()}
    if wire.content_type is not None:
        headers.setdefault("content-type", wire.content_type)
    query = urlencode(wire.query) if isinstance(wire.query, dict) else wire.query
    url = f"{wire.scheme}://{wire.host}{wire.path}" + (f"?{query}" if query else "")
    body = wire.body_b64 if wire.body_b64 is not None else (wire.body or "").encode()
    return NativeRequest(method=wire.method.upper(), url=url, headers=headers, body=body)


def _listed(secrets: Secrets | None) -> dict[str, Sequence[str]] | None:
    """Every secret as a list; a source may have several while one rotates."""
    if secrets is None:
        return None
    return {name: [value] if isinstance(value, str) else value for name, value in secrets.items() if value is not None}
