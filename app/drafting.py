"""What is about to be stored: a request's receipt and its events, numbered and written out as subscribers get them."""

from collections.abc import Callable
from hashlib import blake2b
from os import urandom
from urllib.parse import urlsplit

import msgspec

from adapters.adapter import Adapter
from adapters.events import Event, EventData, Provider, iso_millis
from adapters.notices import Notice, NoticeEndpoint, OperationalEvent
from adapters.reader import MappedEvent, Quarantined, Reading
from adapters.request import NativeRequest
from app.erasure import FORGOTTEN
from app.redaction import HEADERS_KEPT, Redaction
from app.registry import Endpoint, Registry, Source
from app.store.arrivals import Arrival, NewEvent, NewReceipt
from app.store.ids import EVENT, public_id
from app.store.receipts import StoredReceipt
from app.store.tables import REDACTED

ONCE_DIGEST_BYTES = 16
URL_CHARS_MAX = 2_048

_json = msgspec.json.Encoder()


class Drafts:
    """Makes arrivals; `next_id` numbers them."""

    def __init__(self, registry: Registry, next_id: Callable[[], int]) -> None:
        self._registry = registry
        self._next_id = next_id

    def receipt(self, source: Source, adapter: Adapter, request: NativeRequest) -> NewReceipt:
        """The request as it is kept: what proves who sent it stays, what would let a reader pose as them does not."""
        if source.redaction is not None:
            return self._redacted_receipt(source, source.redaction, request)
        return NewReceipt(
            id=self._next_id(),
            environment_id=source.environment_id,
            source_id=source.id,
            method=request.method,
            url=adapter.carriers.without_query(request.url)[:URL_CHARS_MAX],
            headers=_json.encode(adapter.carriers.without_headers(request.headers)),
            body=request.body,
        )

    def _redacted_receipt(self, source: Source, redaction: Redaction, request: NativeRequest) -> NewReceipt:
        headers = {name: value for name, value in request.headers.items() if name in HEADERS_KEPT}
        return NewReceipt(
            id=self._next_id(),
            environment_id=source.environment_id,
            source_id=source.id,
            method=request.method,
            url=request.url.partition("?")[0][:URL_CHARS_MAX],
            headers=_json.encode(headers),
            body=redaction.of_body(request.body),
            withheld=REDACTED,
        )

    def arrival(self, source: Source, receipt: NewReceipt, reading: Reading, received_ms: int) -> Arrival:
        """The receipt with everything that was read from it; `received_ms` is milliseconds since 1970."""
        if source.redaction is not None:
            _redact(reading, source.redaction)
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
        data.provider.source = source.name
        data.received_at = received_at
        return NewEvent(
            id=number,
            environment_id=source.environment_id,
            source_id=source.id,
            receipt_id=receipt_id,
            type=mapped.type,
            recipient=data.recipient,
            email_id=data.email_id,
            message_id=data.message_id if data.message_id != data.email_id else None,
            bounce_class=data.bounce.class_ if data.bounce else None,
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

    def test_event(self, environment_id: int, endpoint_id: int, now_ms: int) -> NewEvent:
        """A webhook.test for one endpoint, whatever that asks for."""
        number = self._next_id()
        data = EventData(
            email_id="msg_test",
            recipient="test@example.com",
            provider=Provider(name="mailweir", source="test"),
            received_at=iso_millis(now_ms),
            subject="A test event: your endpoint works when it answers 2xx",
        )
        return NewEvent(
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

    def notice(self, environment_id: int, event_type: str, notice: Notice, now_ms: int) -> NewEvent:
        """What the gateway says about itself, for the endpoints that ask for it by name."""
        number = self._next_id()
        environment = self._registry.environment(environment_id)
        event = OperationalEvent(
            id=public_id(EVENT, number),
            type=event_type,
            timestamp=iso_millis(now_ms),
            org_id=environment.org_id,
            env_id=environment.env_id,
            data=notice,
        )
        return NewEvent(
            id=number,
            environment_id=environment_id,
            source_id=None,
            receipt_id=None,
            type=event_type,
            recipient=None,
            email_id=None,
            occurred_at=now_ms,
            dedup_key=urandom(16),
            body=_json.encode(event),
        )


def _redact(reading: Reading, redaction: Redaction) -> None:
    reading.quarantined = redaction.of_quarantined(reading.quarantined)
    reading.unnamed = redaction.of_unnamed(reading.unnamed)
    for mapped in reading.events:
        mapped.data = redaction.of_event(mapped.data)
        mapped.dedup_key = redaction.of_dedup_key(mapped.dedup_key)


def keep_to_unread(reading: Reading, stored: StoredReceipt) -> None:
    """Of a receipt that addresses were or are taken out of, only what could not be read before may become events.

    The rest was events already, and without the addresses it would not be recognised as the same.
    """
    unread = {problem.index for problem in msgspec.json.decode(stored.problems or b"[]", type=list[Quarantined])}
    reading.events = [
        mapped
        for mapped in reading.events
        if (mapped.index in unread or None in unread) and mapped.data.recipient != FORGOTTEN
    ]


def noticed(endpoint: Endpoint) -> NoticeEndpoint:
    """The endpoint as the gateway's own news show it."""
    url = urlsplit(endpoint.url)
    return NoticeEndpoint(id=endpoint.id, url=f"{url.scheme}://{url.netloc}", description=endpoint.description)


def called(endpoint: Endpoint) -> str:
    """What sentences for people call it: "https://example.com (CRM)"."""
    shown = noticed(endpoint)
    return f"{shown.url} ({shown.description or f'endpoint {shown.id}'})"


def receipt_again(source: Source, stored: StoredReceipt) -> NewReceipt:
    """A stored receipt that is about to change: what it holds stays, what became of it is written anew."""
    return NewReceipt(
        id=stored.id,
        environment_id=source.environment_id,
        source_id=stored.source_id,
        method=stored.method,
        url=stored.url,
        headers=b"",
        body=b"",
        again=True,
    )
