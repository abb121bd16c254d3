"""The inbound flow: find the source, verify, read, store, answer. Reading a stored receipt again takes the same way."""

from collections.abc import Callable, Sequence
from hashlib import blake2b
from os import urandom
from typing import NamedTuple

import msgspec
import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.adapter import Adapter
from adapters.errors import VerificationFailed
from adapters.events import Event, EventData, Provider, iso_millis
from adapters.reader import MappedEvent, Quarantined, Reading
from adapters.request import NativeRequest
from app import metrics
from app.clock import Clock
from app.registry import Registry, Source
from app.settings import Settings
from app.store.accounts import authenticate
from app.store.arrivals import Arrival, NewEvent, NewReceipt
from app.store.ids import EVENT, public_id
from app.store.ledger import Ledger, StoreUnavailable
from app.store.receipts import StoredReceipt, load_receipt
from app.store.tables import REJECTED

log = structlog.get_logger()

RETRY_AFTER_S = 5
ONCE_DIGEST_BYTES = 16
URL_CHARS_MAX = 2_048
WRITING_ROLES = frozenset({"admin", "write"})

_json = msgspec.json.Encoder()


class Answer(NamedTuple):
    """What the provider is told."""

    status: int
    body: bytes
    headers: Sequence[tuple[str, str]] = ()


RECEIVED = Answer(200, b'{"received": true}')


class Reprocessed(msgspec.Struct, frozen=True):
    """What became of a receipt that was read again."""

    status: str
    events: int
    quarantined: int
    reason: str | None = None


class NotReprocessable(Exception):
    """The receipt is not there, did not verify, or its source or mapping has gone; the message says which."""


class Ingest:
    """Takes provider requests in."""

    def __init__(
        self,
        registry: Registry,
        ledger: Ledger,
        engine: AsyncEngine,
        clock: Clock,
        settings: Settings,
        next_id: Callable[[], int],
    ) -> None:
        self._registry = registry
        self._ledger = ledger
        self._engine = engine
        self._clock = clock
        self._settings = settings
        self._next_id = next_id

    async def receive(self, source_name: str | None, request: NativeRequest, *, api_key: str | None = None) -> Answer:
        """Answers one provider request; with 200 only when what it brought is durable."""
        candidates = await self._candidates(source_name, request)
        if not candidates:
            metrics.count_refusal("unknown_source")
            return _unknown_source(source_name)
        if request.method != "POST":
            metrics.count_refusal("method")
            return _problem(405, "Method not allowed", "Providers post their webhooks here.", ("Allow", "POST"))
        for source in candidates[:-1]:
            if self._verifies(source, request):
                return await self._take_in(source, request, api_key)
        return await self._take_in(candidates[-1], request, api_key)

    async def _candidates(self, name: str | None, request: NativeRequest) -> list[Source]:
        """The source of that name, or those whose provider sends requests of this shape."""
        if name is not None:
            source = self._registry.source(name)
            if source is None:  # it may have been added on another node just now
                await self._registry.reload()
                source = self._registry.source(name)
            return [source] if source else []
        return [source for source in self._registry.sources() if source.adapter and source.adapter.recognizes(request)]

    def _verifies(self, source: Source, request: NativeRequest) -> bool:
        try:
            if source.adapter is not None and source.secrets is not None:
                source.adapter.verify(request, source.secrets, self._clock.ms() / 1000)
        except VerificationFailed:
            return False
        return source.adapter is not None

    async def _take_in(self, source: Source, request: NativeRequest, api_key: str | None) -> Answer:
        adapter = source.adapter
        if adapter is None:
            return _busy(503, f"The mapping of the provider {source.provider!r} is missing.")
        now_ms = self._clock.ms()
        receipt = self._receipt(source, request)
        try:
            secrets = None if await self._has_key(adapter, source, api_key) else source.secrets
            reading = adapter.read(request, secrets, now_ms / 1000, now_ms)
        except VerificationFailed as failure:
            receipt.reason = str(failure)
            receipt.body = request.body[: self._settings.rejected_body_bytes_max]
            arrival = Arrival(receipt, [], rejected=True)
        else:
            arrival = self._arrival(source, receipt, reading, now_ms)
        return await self._store(arrival, source, adapter)

    async def _store(self, arrival: Arrival, source: Source, adapter: Adapter) -> Answer:
        try:
            await self._ledger.take_in(arrival)
        except StoreUnavailable as error:
            metrics.count_refusal("not_committed")
            return _busy(adapter.busy_status, f"Not stored, please send it again: {error}.")
        _count(arrival, source)
        if arrival.status != REJECTED:
            return RECEIVED
        log.info("inbound.rejected", source=source.name, reason=arrival.reason)
        return _problem(adapter.refused_status, "Not authentic", f"{arrival.reason}.")

    async def _has_key(self, adapter: Adapter, source: Source, api_key: str | None) -> bool:
        """True when the request carries one of the gateway's own keys, for a mapping that accepts these."""
        if api_key is None or not adapter.accepts_api_key:
            return False
        principal = await authenticate(self._engine, api_key)
        return (
            principal is not None
            and principal.environment_id == source.environment_id
            and principal.role in WRITING_ROLES
        )

    def _receipt(self, source: Source, request: NativeRequest) -> NewReceipt:
        return NewReceipt(
            id=self._next_id(),
            source_id=source.id,
            method=request.method,
            url=request.url[:URL_CHARS_MAX],
            headers=_json.encode(_without_credentials(request)),
            body=request.body,
        )

    def _arrival(self, source: Source, receipt: NewReceipt, reading: Reading, received_ms: int) -> Arrival:
        if reading.quarantined:
            receipt.problems = _json.encode(reading.quarantined)
            receipt.reason = reading.quarantined[0].reason
        if reading.once is not None:
            receipt.once_digest = blake2b(reading.once.encode(), digest_size=ONCE_DIGEST_BYTES).digest()
        received_at = iso_millis(received_ms)
        return Arrival(receipt, [self._event(source, receipt.id, mapped, received_at) for mapped in reading.events])

    def _event(self, source: Source, receipt_id: int, mapped: MappedEvent, received_at: str) -> NewEvent:
        number = self._next_id()
        data = mapped.data
        data.provider = msgspec.structs.replace(data.provider, source=source.name)
        data.received_at = received_at
        return NewEvent(
            id=number,
            environment_id=source.environment_id,
            source_id=source.id,
            receipt_id=receipt_id,
            type=mapped.type,
            recipient=data.recipient,
            email_id=data.email_id,
            occurred_at=mapped.timestamp_ms,
            dedup_key=mapped.dedup_key,
            body=self._encode(number, source.environment_id, mapped.type, mapped.timestamp_ms, data),
        )

    def _encode(self, number: int, environment_id: int, event_type: str, timestamp_ms: int, data: EventData) -> bytes:
        environment = self._registry.environment(environment_id)
        return _json.encode(
            Event(
                id=public_id(EVENT, number),
                type=event_type,
                timestamp=iso_millis(timestamp_ms),
                org_id=environment.org_id,
                env_id=environment.env_id,
                data=data,
            )
        )

    async def reprocess(self, receipt_id: int) -> Reprocessed:
        """Reads a stored receipt with the mapping of today. Raises NotReprocessable, StoreUnavailable."""
        stored = await load_receipt(self._engine, receipt_id)
        if stored is None:
            raise NotReprocessable("there is no such receipt")
        if stored.status == REJECTED:
            raise NotReprocessable("the receipt did not verify, so it never becomes an event")
        source = next((source for source in self._registry.sources() if source.id == stored.source_id), None)
        if source is None or source.adapter is None:
            raise NotReprocessable("the receipt's source, or the mapping of its provider, is gone")
        reading = source.adapter.read(_native(stored), None, None, stored.received_ms)
        reading.once = None
        arrival = self._arrival(source, _again(stored), reading, stored.received_ms)
        await self._ledger.take_in(arrival)
        return Reprocessed(arrival.status, len(arrival.stored), len(reading.quarantined), arrival.reason)

    async def send_test(self, environment_id: int, endpoint_id: int) -> int:
        """Stores a webhook.test event for one endpoint and gives its number. Raises StoreUnavailable."""
        now_ms = self._clock.ms()
        number = self._next_id()
        data = EventData(
            email_id="msg_test",
            recipient="test@example.com",
            provider=Provider(name="mailweir", source="test"),
            received_at=iso_millis(now_ms),
            subject="A test event: your endpoint works when it answers 2xx",
        )
        event = NewEvent(
            id=number,
            environment_id=environment_id,
            source_id=None,
            receipt_id=None,
            type="webhook.test",
            recipient=data.recipient,
            email_id=data.email_id,
            occurred_at=now_ms,
            dedup_key=urandom(16),
            body=self._encode(number, environment_id, "webhook.test", now_ms, data),
            endpoint_id=endpoint_id,
        )
        await self._ledger.take_in(Arrival(None, [event]))
        return number


def _without_credentials(request: NativeRequest) -> dict[str, str]:
    """The headers as they are kept: what proves who sent it stays, what would let a reader pose as them does not."""
    return {
        name: "(hidden)" if name in ("authorization", "cookie") else value for name, value in request.headers.items()
    }


def _native(stored: StoredReceipt) -> NativeRequest:
    return NativeRequest(method=stored.method, url=stored.url, headers=stored.headers, body=stored.body)


def _again(stored: StoredReceipt) -> NewReceipt:
    return NewReceipt(
        id=stored.id,
        source_id=stored.source_id,
        method=stored.method,
        url=stored.url,
        headers=b"",
        body=b"",
        again=True,
    )


def _count(arrival: Arrival, source: Source) -> None:
    metrics.count_receipt(arrival.status, source.provider)
    for event in arrival.stored:
        metrics.count_events(event.type)
    if arrival.receipt and arrival.receipt.problems:
        quarantined = len(msgspec.json.decode(arrival.receipt.problems, type=list[Quarantined]))
        metrics.count_quarantined(source.provider, quarantined)
        log.warning("inbound.quarantined", source=source.name, items=quarantined, reason=arrival.reason)


def _unknown_source(name: str | None) -> Answer:
    if name is None:
        return _problem(
            404,
            "Unknown source",
            "No source's provider sends requests of this shape; add it, or post to /api/webhooks/{source}.",
        )
    return _problem(404, "Unknown source", f"There is no source named {name[:100]!r}; add it with POST /api/sources.")


def _busy(status: int, detail: str) -> Answer:
    return _problem(status, "Try again later", detail, ("Retry-After", str(RETRY_AFTER_S)))


def _problem(status: int, title: str, detail: str, *headers: tuple[str, str]) -> Answer:
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    return Answer(status, _json.encode(body), (("Content-Type", "application/problem+json"), *headers))
