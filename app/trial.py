"""One provider request read as the gateway would read it, and nothing kept: `normalize`, and trying a mapping."""

import time
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any
from urllib.parse import urlencode

import msgspec

from adapters.adapter import Adapter
from adapters.errors import VerificationFailed
from adapters.events import Event, iso_millis
from adapters.reader import MappedEvent, Reading
from adapters.request import NativeRequest
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
    client: str = ""
    """The address it came from, for sources that are verified by networks."""

    def native(self) -> NativeRequest:
        """The request as the adapters take it."""
        headers = {name.lower(): value for name, value in self.headers.items()}
        if self.content_type is not None:
            headers.setdefault("content-type", self.content_type)
        query = urlencode(self.query) if isinstance(self.query, dict) else self.query
        url = f"{self.scheme}://{self.host}{self.path}" + (f"?{query}" if query else "")
        body = self.body_b64 if self.body_b64 is not None else (self.body or "").encode()
        return NativeRequest(method=self.method.upper(), url=url, headers=headers, body=body, client=self.client)


class Attempted(msgspec.Struct, kw_only=True):
    """What is to be read, and what the gateway would know besides the mapping."""

    request: WireRequest
    secrets: Secrets | None = None
    """None takes the request as authentic."""
    at: float | None = None
    """Now, in seconds since 1970; None leaves out the checks of the request's age and of single-use tokens."""
    options: dict[str, Any] = {}
    """What the source would be told besides its secrets, as the `topic_arns` of SNS."""
    certificates: dict[str, str] = {}
    """Certificates in PEM by the URL where they lie, which the gateway would fetch."""


class QuarantinedItem(msgspec.Struct):
    """An item that cannot be read; `index` is its place in the batch, None for the whole body."""

    index: int | None
    reason: str


class UnnamedKeys(msgspec.Struct):
    """What an item has that the mapping does not name."""

    index: int
    native_type: str | None
    """The type, where that is what is not named."""
    keys: Sequence[str]
    """Keys at the top of the item that no field reads."""


class Normalized(msgspec.Struct, kw_only=True):
    """What the gateway would answer and store."""

    status: int
    """Of the answer."""
    events: Sequence[Event] = ()
    quarantined: Sequence[QuarantinedItem] = ()
    error: str | None = None


class Tried(Normalized, kw_only=True):
    """The same, and what whoever writes a mapping wants to know."""

    ignored: int = 0
    """Items that the mapping leaves out on purpose."""
    unnamed: Sequence[UnnamedKeys] = ()


class _CertificateMissing(Exception):
    """The gateway would fetch a certificate; the attempt does not hold it."""


class Trial:
    """One provider's adapter with what the gateway's store would add: event ids, and which tokens were spent."""

    def __init__(self, adapter: Adapter, *, body_bytes_max: int) -> None:
        self._adapter = adapter
        self._body_bytes_max = body_bytes_max
        self._ids = IdSource(_NODE, lambda: time.time_ns() // 1_000_000)
        self._spent: dict[bytes, None] = {}

    def read(self, attempted: Attempted) -> Tried:
        """What becomes of one request; never raises."""
        try:
            return self._read(attempted)
        except Exception as fault:  # noqa: BLE001  the gateway would answer 500 and go on, and so do those who ask here
            return Tried(status=500, error=f"{type(fault).__name__}: {fault}")

    def _read(self, attempted: Attempted) -> Tried:
        request = attempted.request.native()
        if len(request.body) > self._body_bytes_max:
            return Tried(status=413, error=f"the body is larger than {self._body_bytes_max} bytes")
        if request.method != "POST" and (answer := self._adapter.handshake(request)):
            return Tried(status=answer.status)
        if request.method not in self._adapter.methods:
            return Tried(status=405, error=f"this provider uses {', '.join(self._adapter.answered_methods)}")
        received_ms = time.time_ns() // 1_000_000 if attempted.at is None else round(attempted.at * 1000)
        try:
            reading = self._reading(request, attempted, received_ms)
            if attempted.at is not None:
                self._spend(reading)
        except VerificationFailed as failure:
            return Tried(status=self._adapter.refused_status, error=str(failure))
        except _CertificateMissing as missing:
            return Tried(status=self._adapter.busy_status, error=str(missing))
        return self._tried(reading, received_ms)

    def _reading(self, request: NativeRequest, attempted: Attempted, received_ms: int) -> Reading:
        secrets, options, certificate = _listed(attempted.secrets), attempted.options, None
        if secrets is not None and (url := self._adapter.certificate_url(request, options)):
            if url not in attempted.certificates:
                raise _CertificateMissing(f"the certificate at {url} is needed; give it under certificates")
            certificate = attempted.certificates[url].encode()
        return self._adapter.read(request, secrets, attempted.at, received_ms, options=options, certificate=certificate)

    def _spend(self, reading: Reading) -> None:
        """Refuses a single-use token that a request before this one had."""
        if reading.once is None:
            return
        token = blake2b(reading.once.encode(), digest_size=16).digest()
        if token in self._spent:
            raise VerificationFailed("the single-use token was accepted before")
        self._spent[token] = None
        if len(self._spent) > TOKENS_REMEMBERED_MAX:
            del self._spent[next(iter(self._spent))]

    def _tried(self, reading: Reading, received_ms: int) -> Tried:
        return Tried(
            status=200 if reading.answer is None else reading.answer.status,
            events=[self._event(mapped, received_ms) for mapped in reading.events],
            quarantined=[QuarantinedItem(item.index, item.reason) for item in reading.quarantined],
            ignored=reading.ignored,
            unnamed=[UnnamedKeys(found.index, found.native_type, found.keys) for found in reading.unnamed],
        )

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


def _listed(secrets: Secrets | None) -> dict[str, Sequence[str]] | None:
    """Every secret as a list; a source may have several while one rotates."""
    if secrets is None:
        return None
    return {name: [value] if isinstance(value, str) else value for name, value in secrets.items() if value is not None}
