"""The inbound flow: find the source, verify, read, store, answer. Reading a stored receipt again takes the same way."""

import asyncio
from collections.abc import Callable, Mapping, Sequence

import msgspec
import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.adapter import Adapter
from adapters.errors import VerificationFailed
from adapters.handshake import Answer as Handshaken
from adapters.reader import Quarantined, Reading
from adapters.request import NativeRequest
from app import metrics
from app.answers import RECEIVED, Answer, busy, handshaken, not_authentic, unknown_source, wrong_method
from app.clock import Clock
from app.drafting import Drafts, keep_to_unread, receipt_again
from app.drift import Drifts
from app.refusals import Refusals
from app.registry import Registry, Source
from app.replies import mark_replies
from app.settings import Settings
from app.store.accounts import Principal, authenticate
from app.store.arrivals import Arrival, NewReceipt
from app.store.errors import driver_message, is_unavailable
from app.store.ledger import STORE_ERRORS, Ledger, StoreUnavailable
from app.store.receipts import StoredReceipt, load_receipt
from app.store.tables import REDACTED, REJECTED
from app.visits import Visits

log = structlog.get_logger()

WRITING_ROLES = frozenset({"admin", "write"})


class Reprocessed(msgspec.Struct, frozen=True):
    """What became of a receipt that was read again."""

    status: str
    events: int
    quarantined: int
    reason: str | None = None


class NotReprocessable(Exception):
    """The receipt is not there, did not verify, or its source or mapping has gone; the message says which."""


class _Unreachable(Exception):
    """What the gateway needs from the provider could not be fetched: our trouble, so the provider is to try again."""


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
        visits: Visits,
        drifts: Drifts,
    ) -> None:
        self._registry = registry
        self._ledger = ledger
        self._engine = engine
        self._clock = clock
        self._settings = settings
        self._drafts = Drafts(registry, next_id)
        self._visits = visits
        self._refusals = Refusals(clock)
        self._drifts = drifts

    async def receive(self, source_name: str | None, request: NativeRequest, *, api_key: str | None = None) -> Answer:
        """Answers one provider request; with 200 only when what it brought is durable."""
        try:
            return await self._receive(source_name, request, api_key)
        except Exception as error:
            if not is_unavailable(error):
                raise
            log.error("store.unavailable", source=source_name, error=driver_message(error))  # noqa: TRY400 - no fault of ours
            metrics.count_refusal("not_committed")
            return busy(
                self.busy_status(source_name, request), "The store cannot be used just now, please send it again."
            )

    def busy_status(self, source_name: str | None, request: NativeRequest) -> int:
        """What makes the provider of that source try again, or whose request it looks like; 503 where none is known."""
        source = self._registry.source(source_name) if source_name is not None else None
        sources = [source] if source is not None else [] if source_name is not None else self._recognizing(request)
        return next((source.adapter.busy_status for source in sources if source.adapter), 503)

    async def _receive(self, source_name: str | None, request: NativeRequest, api_key: str | None) -> Answer:
        candidates = await self._candidates(source_name, request)
        if not candidates:
            metrics.count_refusal("unknown_source")
            return unknown_source(source_name)
        caller = None if api_key is None else await self._caller(candidates, api_key)
        for source in candidates[:-1]:
            if await self._verifies(source, request, caller):
                return await self._take_in(source, request, caller)
            await asyncio.sleep(0)  # other requests have their turn: each of many sources may digest the whole body
        return await self._take_in(candidates[-1], request, caller)

    async def _candidates(self, name: str | None, request: NativeRequest) -> list[Source]:
        """The source of that name, or those whose provider sends requests of this shape."""
        if name is None:
            return self._recognizing(request)
        if (source := self._registry.source(name)) is None:  # it may have been added on another node just now
            await self._registry.reload()
            source = self._registry.source(name)
        return [source] if source else []

    def _recognizing(self, request: NativeRequest) -> list[Source]:
        sources = self._registry.sources()
        adapters = {source.adapter for source in sources if source.adapter}
        recognizing = {adapter for adapter in adapters if adapter.recognizes(request)}
        return sorted((source for source in sources if source.adapter in recognizing), key=_turn)

    async def _caller(self, candidates: Sequence[Source], api_key: str) -> Principal | None:
        """Whose of the gateway's own keys the request carries, where a mapping accepts these."""
        if not any(source.adapter and source.adapter.accepts_api_key for source in candidates):
            return None
        return await authenticate(self._engine, api_key)

    async def _verifies(self, source: Source, request: NativeRequest, caller: Principal | None) -> bool:
        adapter, secrets = source.adapter, source.secrets
        if adapter is None or source.trouble is not None:
            return False
        if secrets is None or _may_post(caller, adapter, source):
            return True
        try:
            certificate = await self._certificate(source, adapter, request)
            adapter.verify(request, secrets, self._clock.ms() / 1000, options=source.options, certificate=certificate)
        except (VerificationFailed, _Unreachable):
            return False
        return True

    async def _take_in(self, source: Source, request: NativeRequest, caller: Principal | None) -> Answer:
        adapter = source.adapter
        if adapter is None:
            return busy(503, f"The mapping of the provider {source.provider!r} is missing.")
        if source.trouble is not None:
            return busy(adapter.busy_status, f"{source.trouble}.")
        if request.method != "POST" and (answer := adapter.handshake(request)):
            return handshaken(answer)
        if request.method not in adapter.methods:
            metrics.count_refusal("method")
            return wrong_method(adapter)
        now_ms = self._clock.ms()
        receipt = self._drafts.receipt(source, adapter, request)
        try:
            secrets = None if _may_post(caller, adapter, source) else source.secrets
            reading = await self._read(source, adapter, request, secrets, now_ms)
            if reading.answer is not None:
                receipt.reason = await self._consent(source, adapter, reading.answer)
            await mark_replies(self._engine, source.environment_id, reading.events)
        except VerificationFailed as failure:
            receipt.reason = str(failure)
            return await self._refuse(receipt, source, adapter)
        except _Unreachable as unreachable:
            metrics.count_refusal("unreachable")
            return busy(adapter.busy_status, f"{unreachable}.")
        except STORE_ERRORS as error:
            metrics.count_refusal("not_committed")
            return busy(adapter.busy_status, f"Not stored, please send it again: {type(error).__name__}.")
        answer = RECEIVED if reading.answer is None else handshaken(reading.answer)
        arrival = self._drafts.arrival(source, receipt, reading, now_ms)
        unnamed = reading.unnamed
        request.decoded.clear()
        del reading  # what it waits with is bounded by its bytes, and decoded these are ten times as large
        said = await self._store(arrival, source, adapter, answer)
        if unnamed and said is answer:
            self._drifts.note(source.id, receipt.id, unnamed)
        return said

    async def _read(
        self,
        source: Source,
        adapter: Adapter,
        request: NativeRequest,
        secrets: Mapping[str, Sequence[str]] | None,
        now_ms: int,
    ) -> Reading:
        certificate = None
        if secrets is not None and adapter.verification.by_topic:
            certificate = await self._certificate(source, adapter, request)
        return adapter.read(request, secrets, now_ms / 1000, now_ms, options=source.options, certificate=certificate)

    async def _certificate(self, source: Source, adapter: Adapter, request: NativeRequest) -> bytes | None:
        url = adapter.certificate_url(request, source.options)
        if url is None:
            return None
        pem = await self._visits.certificate(url)
        if pem is None:
            raise _Unreachable(f"The certificate that verifies this request cannot be had: {url}")
        return pem

    async def _consent(self, source: Source, adapter: Adapter, answer: Handshaken) -> str:
        """What the receipt of a handshake says; visits the URL where the provider asks for consent."""
        url = answer.confirm
        if url is None:
            return "the provider's handshake, answered"
        if source.secrets is None or not adapter.verification.proves_sender(source.options, source.secrets):
            return "subscription not confirmed, because nothing proves whose it is: visit its URL, or set topic_arns"
        if failure := await self._visits.consent(url):
            raise _Unreachable(f"The subscription could not be confirmed: {failure}")
        log.info("subscription.confirmed", source=source.name)
        return "subscription confirmed"

    async def _refuse(self, receipt: NewReceipt, source: Source, adapter: Adapter) -> Answer:
        if not self._refusals.keeps(source.name):
            return _not_authentic(source, adapter, receipt.reason)
        receipt.body = receipt.body[: self._settings.rejected_body_bytes_max]
        return await self._store(Arrival(receipt, [], rejected=True), source, adapter, RECEIVED)

    async def _store(self, arrival: Arrival, source: Source, adapter: Adapter, answer: Answer) -> Answer:
        try:
            await self._ledger.take_in(arrival)
        except StoreUnavailable as error:
            metrics.count_refusal("not_committed")
            return busy(adapter.busy_status, f"Not stored, please send it again: {error}.")
        _count(arrival, source)
        if arrival.status != REJECTED:
            return answer
        log.info("inbound.rejected", source=source.name, reason=arrival.reason)
        return _not_authentic(source, adapter, arrival.reason)

    async def reprocess(self, receipt_id: int) -> Reprocessed:
        """Reads a stored receipt with the mapping of today. Raises NotReprocessable, StoreUnavailable."""
        stored = await load_receipt(self._engine, receipt_id)
        if stored is None:
            raise NotReprocessable("there is no such receipt")
        if stored.status == REJECTED:
            raise NotReprocessable("the receipt did not verify, so it never becomes an event")
        if stored.withheld == REDACTED or (stored.withheld is not None and not stored.body):
            raise NotReprocessable("its body is not kept any more")
        source = next((source for source in self._registry.sources() if source.id == stored.source_id), None)
        if source is None or source.adapter is None:
            raise NotReprocessable("the receipt's source, or the mapping of its provider, is gone")
        reading = source.adapter.read(_native(stored), None, None, stored.received_ms)
        reading.once = None
        if stored.withheld is not None or source.redaction is not None:
            keep_to_unread(reading, stored)
        await mark_replies(self._engine, source.environment_id, reading.events)
        arrival = self._drafts.arrival(source, receipt_again(source, stored), reading, stored.received_ms)
        await self._ledger.take_in(arrival)
        return Reprocessed(arrival.status, len(arrival.stored), len(reading.quarantined), arrival.reason)

    async def send_test(self, environment_id: int, endpoint_id: int) -> int:
        """Stores a webhook.test event for one endpoint and gives its number. Raises StoreUnavailable."""
        event = self._drafts.test_event(environment_id, endpoint_id, self._clock.ms())
        await self._ledger.take_in(Arrival(None, [event]))
        return event.id


def _turn(source: Source) -> tuple[bool, bool]:
    """Sorts sources of one shape: what a secret proves, what nothing proves, what may belong to a source in trouble."""
    proves = source.secrets is not None and (
        any(source.secrets.values()) or bool(source.adapter and source.adapter.signs)
    )
    return source.trouble is not None, not proves


def _may_post(caller: Principal | None, adapter: Adapter, source: Source) -> bool:
    """Whether the key that the request carries is proof enough for this source."""
    return (
        caller is not None
        and adapter.accepts_api_key
        and caller.environment_id == source.environment_id
        and caller.role in WRITING_ROLES
    )


def _not_authentic(source: Source, adapter: Adapter, reason: str | None) -> Answer:
    return not_authentic(adapter, reason, by_password="basic_auth" in (source.secrets or {}))


def _native(stored: StoredReceipt) -> NativeRequest:
    return NativeRequest(method=stored.method, url=stored.url, headers=stored.headers, body=stored.body)


def _count(arrival: Arrival, source: Source) -> None:
    metrics.count_receipt(arrival.status, source.provider)
    for event in arrival.stored:
        metrics.count_events(event.type)
    if arrival.receipt and arrival.receipt.problems:
        quarantined = len(msgspec.json.decode(arrival.receipt.problems, type=list[Quarantined]))
        metrics.count_quarantined(source.provider, quarantined)
        log.warning("inbound.quarantined", source=source.name, items=quarantined, reason=arrival.reason)
