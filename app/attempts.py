"""One attempt of one delivery: the body, the signature, the POST, and what follows from the answer."""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from math import inf

import msgspec
import structlog

from adapters.errors import ExpressionError
from app import metrics
from app.clock import Clock
from app.egress import Egress, PostOutcome, Timing
from app.lanes import Item
from app.registry import Endpoint, Registry
from app.retry import is_tried_again, next_attempt_in_s, outcome_of, pause_in_s
from app.shaping import transformed
from app.store.health import Result
from app.store.ids import DELIVERY, EVENT, public_id, time_ms
from app.store.ledger import STORE_ERRORS
from app.store.outcomes import AttemptRecord, Begun, Outcome
from app.store.shortening import short_times
from app.store.tables import CANCELLED, DELIVERED, FAILED, HELD, PENDING

log = structlog.get_logger()

SENT_AGAIN_AFTER_MS = 60_000
"""A delivery that is so much younger than its event is a replay: a new event waits for its commit alone."""
TURNED_DOWN = "the answer to the batch names it as failed"
NO_TIME = Timing(None, None, None, None, None, 0.0)
_encode = msgspec.json.Encoder().encode


class Attempts:
    """Makes attempts; `jitter` gives a number from -1 to 1, `next_id` the attempt's number.

    `begun` tells how a delivery began; it is asked before retries to endpoints that have a `retry_max_age_s`.
    """

    def __init__(
        self,
        registry: Registry,
        egress: Egress,
        clock: Clock,
        *,
        next_id: Callable[[], int],
        begun: Callable[[int], Awaitable[Begun | None]],
        jitter: Callable[[], float],
        node: int,
    ) -> None:
        self._registry = registry
        self._egress = egress
        self._clock = clock
        self._next_id = next_id
        self._begun = begun
        self._jitter = jitter
        self._node = node

    async def make(self, item: Item) -> Outcome:
        """Attempts the delivery, unless its endpoint has gone or is paused, and says what became of it."""
        endpoint = self._registry.endpoint(item.endpoint_id)
        if endpoint is None or not endpoint.active:
            return self.decline(item)
        body = self.body_of(item, endpoint)
        if isinstance(body, Outcome):
            return body
        last_ms = inf if endpoint.retry_max_age_s is None else await self.last_ms(item, endpoint.retry_max_age_s)
        if isinstance(last_ms, Outcome):
            return last_ms
        return await self._post(item, endpoint, body, last_ms)

    def body_of(self, item: Item, endpoint: Endpoint) -> bytes | Outcome:
        """What is sent for the event; the outcome where nothing can be."""
        try:
            return item.body if endpoint.transform is None else transformed(endpoint.transform, item.body)
        except ExpressionError as error:
            return self._without_attempt(item, HELD, f"the transform failed: {error}")

    def postpone(self, item: Item) -> Outcome:
        """The outcome of a delivery that is given back unattempted, because its endpoint is to be left alone."""
        return Outcome(item.delivery_id, self._node, PENDING, due_at=self._clock.ms(), line=item.line)

    def decline(self, item: Item) -> Outcome:
        """The outcome of a delivery whose endpoint is not to be sent to any more, or not for now."""
        endpoint = self._registry.endpoint(item.endpoint_id)
        if endpoint is None:
            return self._without_attempt(item, CANCELLED, "the endpoint was deleted")
        return self._without_attempt(item, HELD, endpoint.why_held)

    def crashed(self, item: Item, fault: Exception) -> Outcome:
        """The outcome of an attempt that a fault of ours ended: a failure like any other, with its place in the log."""
        endpoint = self._registry.endpoint(item.endpoint_id)
        if endpoint is None:
            return self.decline(item)
        error = f"a fault of the gateway itself, {type(fault).__name__}; its log says more"
        answer = PostOutcome(None, [], b"", False, NO_TIME, error, "protocol")
        record = record_of(self._next_id(), item.attempts + 1, {}, None, answer)
        return msgspec.structs.replace(self.settle(item, endpoint, answer, record), result=None)

    async def last_ms(self, item: Item, max_age_s: float) -> float | Outcome:
        """When the last attempt may be made; the outcome where a retry comes too late for one.

        One that somebody asked for by hand never comes too late.
        """
        now_ms = self._clock.ms()
        begun = await self._how_begun(item) if item.attempts else Begun(now_ms, now_ms)
        last_ms = begun.first_attempt_at + round(max_age_s * 1000)
        if begun.due_at <= last_ms < now_ms:
            reason = f"the first attempt was longer ago than retry_max_age_s allows ({max_age_s:g} s)"
            return self._without_attempt(item, FAILED, reason)
        return last_ms

    async def _how_begun(self, item: Item) -> Begun:
        """What the store says, or that it begins now, where it says nothing."""
        now_ms = self._clock.ms()
        with suppress(*STORE_ERRORS):
            return await self._begun(item.delivery_id) or Begun(now_ms, now_ms)
        return Begun(now_ms, now_ms)

    async def _post(self, item: Item, endpoint: Endpoint, body: bytes, last_ms: float) -> Outcome:
        number = item.attempts + 1
        attempt_id = self._next_id()
        signed = endpoint.signer.headers(
            webhook_id=public_id(EVENT, item.event_id),
            event_type=item.event_type,
            body=body,
            attempt=number,
            unix_s=self._clock.ms() // 1000,
        )
        headers = {**endpoint.headers, **signed} if endpoint.headers else signed
        answer = await self._egress.post(endpoint.url, headers=headers, body=body, timeout_s=endpoint.timeout_s)
        shown = endpoint.shown_headers(signed)
        record = record_of(attempt_id, number, shown, None if body is item.body else body, answer)
        return self.settle(item, endpoint, answer, record, last_ms=last_ms)

    def settle(
        self,
        item: Item,
        endpoint: Endpoint,
        answer: PostOutcome,
        record: AttemptRecord,
        *,
        last_ms: float = inf,
        turned_down: bool = False,
    ) -> Outcome:
        """What follows from the answer; `turned_down` when it took the batch, but not this delivery of it."""
        now_ms = self._clock.ms()
        kind = "failed" if turned_down else outcome_of(answer.status)
        wait_s = self._wait_s(endpoint, answer, record.number, now_ms) if kind == "failed" else None
        if wait_s is not None and now_ms + wait_s * 1000 > last_ms:
            wait_s = None
        status = DELIVERED if kind == "delivered" else FAILED if wait_s is None else PENDING
        why = TURNED_DOWN if turned_down else _why(endpoint, answer, status, record.number)
        metrics.count_attempt(status, answer.timing.total_ms / 1000)
        if record.batch is None:
            _report(item, endpoint, record, status, wait_s)
        return Outcome(
            delivery_id=item.delivery_id,
            node=self._node,
            status=status,
            due_at=now_ms + round((wait_s or 0) * 1000),
            finished_at=None if status == PENDING else now_ms,
            error=why,
            attempt=record,
            counted_for=(endpoint.environment_id, endpoint.id),
            latency_ms=now_ms - _owed_since(item) if record.number == 1 else None,
            result=self._result(item, answer, None if turned_down else why, wait_s, now_ms),
            line=item.line,
        )

    def _result(
        self, item: Item, answer: PostOutcome, why: str | None, wait_s: float | None, now_ms: int
    ) -> Result | None:
        kind = outcome_of(answer.status)
        if kind == "delivered" and not item.heals:
            return None
        pause_s = pause_in_s(_retry_after(answer), answer.status, wait_s, now_ms / 1000)
        return Result(
            at=now_ms,
            error=why,
            probe=item.probe,
            gone=kind == "gone",
            resume_at=None if why is None or pause_s is None else now_ms + round(pause_s * 1000),
        )

    def _wait_s(self, endpoint: Endpoint, answer: PostOutcome, number: int, now_ms: int) -> float | None:
        taken = outcome_of(answer.status) == "delivered"  # but for some, which retry rules have no word for
        if not taken and not is_tried_again(answer.status, answer.error_kind, endpoint.retry_on):
            return None
        return next_attempt_in_s(
            number,
            endpoint.schedule_s,
            retry_after=_retry_after(answer),
            status=answer.status,
            jitter=self._jitter(),
            now=now_ms / 1000,
        )

    def _without_attempt(self, item: Item, status: str, reason: str) -> Outcome:
        delivery_id = public_id(DELIVERY, item.delivery_id)
        log.info("delivery.not_attempted", delivery_id=delivery_id, status=status, reason=reason)
        now_ms = self._clock.ms()
        finished_at = None if status == HELD else now_ms
        endpoint = self._registry.endpoint(item.endpoint_id)
        return Outcome(
            delivery_id=item.delivery_id,
            node=self._node,
            status=status,
            due_at=now_ms,
            finished_at=finished_at,
            error=reason,
            counted_for=(endpoint.environment_id, endpoint.id) if endpoint else None,
            line=item.line,
        )


def _owed_since(item: Item) -> int:
    """Milliseconds since 1970: when its event arrived or, if it is sent once more, when that was asked for."""
    arrived, asked = time_ms(item.event_id), time_ms(item.delivery_id)
    return arrived if asked - arrived < SENT_AGAIN_AFTER_MS else asked


def record_of(
    attempt_id: int,
    number: int,
    headers: Mapping[str, str],
    own_body: bytes | None,
    answer: PostOutcome,
    batch: bytes | None = None,
) -> AttemptRecord:
    """The attempt as it is kept; `own_body` where the event's was not what was sent."""
    return AttemptRecord(
        id=attempt_id,
        number=number,
        status_code=answer.status,
        error_kind=answer.error_kind,
        error=answer.error,
        duration_ms=round(answer.timing.total_ms),
        timing=short_times(msgspec.structs.astuple(answer.timing)),
        request_headers=_encode(headers),
        request_body=own_body,
        response_headers=_encode(answer.headers),
        response_body=answer.body,
        response_truncated=answer.truncated,
        batch=batch,
    )


def _retry_after(answer: PostOutcome) -> str | None:
    return next((value for name, value in answer.headers if name.lower() == "retry-after"), None)


def _why(endpoint: Endpoint, answer: PostOutcome, status: str, number: int) -> str | None:
    """In words, why the delivery is not done."""
    if status == DELIVERED:
        return None
    if answer.status == 410:
        return "answered 410 Gone, so the endpoint was disabled"
    what = answer.error if answer.status is None else f"answered {answer.status}"
    ended_early = status == FAILED and number <= len(endpoint.schedule_s)
    return f"{what}; the endpoint's retry rules allow no other attempt" if ended_early else what


def _report(item: Item, endpoint: Endpoint, record: AttemptRecord, status: str, wait_s: float | None) -> None:
    """One line for an attempt that failed; what went well is counted and stored, not logged."""
    if status == DELIVERED:
        return
    log.info(
        "delivery.attempted",
        delivery_id=public_id(DELIVERY, item.delivery_id),
        event_id=public_id(EVENT, item.event_id),
        endpoint_id=endpoint.id,
        attempt=record.number,
        attempts_max=len(endpoint.schedule_s) + 1,
        duration_ms=record.duration_ms,
        status_code=record.status_code,
        error=record.error,
        status=status,
        next_attempt_in_s=None if wait_s is None else round(wait_s, 1),
    )
