"""Many deliveries to one endpoint in one request: a JSON array of events, signed as one, with one answer for all.

Each keeps an attempt of its own, with its own number and its own part of the body. What they share is kept once: the
answer's body with the first of them.
"""

from collections.abc import Callable, Sequence
from math import inf
from typing import Any, NamedTuple

import msgspec
import structlog

from app.attempts import Attempts, record_of
from app.clock import Clock
from app.egress import Egress, PostOutcome
from app.lanes import BATCH_BYTES_MAX, Item
from app.registry import Endpoint, Registry
from app.retry import outcome_of
from app.store.ids import BATCH, DELIVERY, EVENT, public_id
from app.store.outcomes import Outcome
from app.store.tables import DELIVERED

log = structlog.get_logger()

EVENT_TYPE = "batch"
ANSWER_BYTES_MAX = 64 * 1024
"""How much of an answer is read for the events that it names; 500 ids take a fifth of it."""
_encode = msgspec.json.Encoder().encode


class Part(NamedTuple):
    """What a delivery brings into the batch; no other attempt is made after `last_ms`."""

    item: Item
    body: bytes
    last_ms: float


class Sent(NamedTuple):
    """A request that went out."""

    id: str
    headers: dict[str, str]
    attempt: int
    answer: PostOutcome


class _Acknowledgement(msgspec.Struct):
    failed: list[Any] = []


class Batches:
    """Makes the attempts of deliveries that go in one request; of an answer `kept_bytes_max` bytes are kept."""

    def __init__(
        self,
        attempts: Attempts,
        registry: Registry,
        egress: Egress,
        clock: Clock,
        *,
        next_id: Callable[[], int],
        kept_bytes_max: int,
    ) -> None:
        self._attempts = attempts
        self._registry = registry
        self._egress = egress
        self._clock = clock
        self._next_id = next_id
        self._kept_bytes_max = kept_bytes_max

    async def make(self, items: Sequence[Item]) -> list[Outcome]:
        """Attempts them all in one request, and says what became of each; those that do not fit in are put back."""
        endpoint = self._registry.endpoint(items[0].endpoint_id)
        if endpoint is None or not endpoint.active:
            return [self._attempts.decline(item) for item in items]
        outcomes, parts, size = list[Outcome](), list[Part](), 0
        for item in items:
            part = await self._part(item, endpoint)
            if isinstance(part, Outcome):
                outcomes.append(part)
            elif parts and size + len(part.body) > BATCH_BYTES_MAX:
                outcomes.append(self._attempts.postpone(item))
            else:
                parts.append(part)
                size += len(part.body)
        return outcomes + await self._send(parts, endpoint) if parts else outcomes

    async def _part(self, item: Item, endpoint: Endpoint) -> Part | Outcome:
        body = self._attempts.body_of(item, endpoint)
        if isinstance(body, Outcome):
            return body
        max_age_s = endpoint.retry_max_age_s
        last_ms = inf if max_age_s is None else await self._attempts.last_ms(item, max_age_s)
        return last_ms if isinstance(last_ms, Outcome) else Part(item, body, last_ms)

    async def _send(self, parts: Sequence[Part], endpoint: Endpoint) -> list[Outcome]:
        sent = await self._post(parts, endpoint)
        failed = named_as_failed(sent.answer)
        outcomes = [self._settled(part, endpoint, sent, parts, failed) for part in parts]
        _report(endpoint, sent, outcomes)
        return outcomes

    async def _post(self, parts: Sequence[Part], endpoint: Endpoint) -> Sent:
        batch_id, attempt = public_id(BATCH, self._next_id()), max(part.item.attempts for part in parts) + 1
        body = b"[%b]" % b",".join(part.body for part in parts)
        signed = endpoint.signer.headers(
            webhook_id=batch_id, event_type=EVENT_TYPE, body=body, attempt=attempt, unix_s=self._clock.ms() // 1000
        )
        answer = await self._egress.post(
            endpoint.url,
            headers={**endpoint.headers, **signed},
            body=body,
            timeout_s=endpoint.timeout_s,
            body_bytes_max=max(ANSWER_BYTES_MAX, self._kept_bytes_max),
        )
        return Sent(batch_id, endpoint.shown_headers(signed), attempt, answer)

    def _settled(
        self, part: Part, endpoint: Endpoint, sent: Sent, parts: Sequence[Part], failed: frozenset[str]
    ) -> Outcome:
        item, first = part.item, parts[0].item
        answer = self._kept(sent.answer, whole=item is first)
        own_body = None if part.body is item.body else part.body
        batch = _encode({"id": sent.id, "size": len(parts), "first": public_id(DELIVERY, first.delivery_id)})
        record = record_of(self._next_id(), item.attempts + 1, sent.headers, own_body, answer, batch)
        turned_down = public_id(EVENT, item.event_id) in failed
        outcome = self._attempts.settle(item, endpoint, answer, record, last_ms=part.last_ms, turned_down=turned_down)
        # A request says one thing of its endpoint, however many deliveries it had.
        return outcome if item is first or outcome.result is None else msgspec.structs.replace(outcome, result=None)

    def _kept(self, answer: PostOutcome, *, whole: bool) -> PostOutcome:
        kept = answer.body[: self._kept_bytes_max] if whole else b""
        truncated = answer.truncated or len(kept) < len(answer.body)
        return msgspec.structs.replace(answer, body=kept, truncated=truncated)


def named_as_failed(answer: PostOutcome) -> frozenset[str]:
    """The ids of events that an answer of 2xx did not take: {"failed": ["evt_…"]}. Pure."""
    if outcome_of(answer.status) != "delivered":
        return frozenset()
    try:
        acknowledgement = msgspec.json.decode(answer.body, type=_Acknowledgement)
    except (msgspec.MsgspecError, ValueError):
        return frozenset()
    return frozenset(name for name in acknowledgement.failed if isinstance(name, str))


def _report(endpoint: Endpoint, sent: Sent, outcomes: Sequence[Outcome]) -> None:
    """One line for a batch of which something failed."""
    not_taken = sum(outcome.status != DELIVERED for outcome in outcomes)
    if not_taken:
        log.info(
            "batch.attempted",
            batch_id=sent.id,
            endpoint_id=endpoint.id,
            deliveries=len(outcomes),
            not_taken=not_taken,
            attempt=sent.attempt,
            duration_ms=round(sent.answer.timing.total_ms),
            status_code=sent.answer.status,
            error=sent.answer.error,
        )
