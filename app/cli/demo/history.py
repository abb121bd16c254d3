"""Writes a day that is past into the store: through the code that stores live requests and attempts, many at a time.

Strategy: ids carry their time, so everything gets ids of its moment, from a node of its own so that they meet no
others. Requests are read by the mappings; what they are owed is stored as if a sender had it in its hands, and settled
in the same transaction by the record of its attempts. An attempt after the first takes the delivery anew, as a sender
would.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from math import log
from random import Random
from typing import NamedTuple

import msgspec
import sqlalchemy as sa

from adapters.closures import is_true
from adapters.errors import VerificationFailed
from adapters.reader import Reading
from adapters.request import NativeRequest
from app.cli.demo.accounts import Account
from app.cli.demo.day import FORGED, ON_TIME, REPEATED, UNMAPPED, Happening
from app.cli.demo.world import BILLING, DOWN_FOR_S, OLD_CRM, PAUSED_FOR_S, PIPELINE, unique
from app.drafting import Drafts
from app.gateway import Gateway
from app.registry import Endpoint, Source
from app.retry import BREAKER_FAILURES
from app.store.arrivals import Arrival, NewDelivery, NewEvent
from app.store.health import Result
from app.store.ids import EVENT, NODES_MAX, SEQUENCE_BITS, first_id_at, public_id
from app.store.intake import store_arrivals
from app.store.leases import Claim, claim_due
from app.store.outcomes import AttemptRecord, Outcome, record_outcomes
from app.store.rollups import count_up
from app.store.shortening import short_times
from app.store.tables import DELIVERED, FAILED, HELD, PENDING, SENDING

REQUESTS_A_COMMIT = 300
FAILED_FOR_GOOD, FAILURES_COUNTED = 40, 8
"""Of an endpoint that is down: how many deliveries have used up their attempts, how many failures its health knows."""
_HICCUPS = 0.015
_LATENCY_MS = {PIPELINE: 120.0}
_encode = msgspec.json.encode


class Try(NamedTuple):
    """One attempt as it went; `at` is milliseconds since 1970."""

    at: int
    status: int
    duration_ms: int


class Page:
    """The part of a day that is written in one transaction."""

    def __init__(self, node: int) -> None:
        self.arrivals: list[Arrival] = []
        self._node = node
        self._rounds: defaultdict[int, list[Outcome]] = defaultdict(list)

    def add(self, outcome: Outcome) -> None:
        """An attempt of a delivery in `arrivals`; those of one delivery in their order."""
        if outcome.attempt is not None:
            self._rounds[outcome.attempt.number].append(outcome)

    def write(self, connection: sa.Connection) -> None:
        """Everything, counted as well."""
        store_arrivals(connection, self.arrivals)
        for number in sorted(self._rounds):
            if number > 1:
                self._take_again(connection, self._rounds[number])
            record_outcomes(connection, self._rounds[number])
        count_up(connection, self.arrivals, [outcome for made in self._rounds.values() for outcome in made])

    def _take_again(self, connection: sa.Connection, outcomes: Sequence[Outcome]) -> None:
        """Claims them; `History` has let them be due before all others."""
        wanted = Counter(outcome.counted_for[1] for outcome in outcomes if outcome.counted_for)
        for endpoint_id, limit in wanted.items():
            claim_due(connection, Claim(endpoint_id, limit, self._node, now=len(outcomes), lease_until=1))


class History:
    """Writes the past as `node`. `subscribers` says which endpoint listens where."""

    def __init__(
        self,
        gateway: Gateway,
        accounts: Mapping[str, Account],
        subscribers: Mapping[int, str],
        dice: Random,
        node: int,
    ) -> None:
        self._gateway = gateway
        self._accounts = accounts
        self._subscribers = subscribers
        self._dice = dice
        self._node = node
        self._now = gateway.clock.ms()
        self._ms = 0
        self._numbers = Counter[int]()
        self._drafts = Drafts(gateway.registry, lambda: self._number(self._ms))
        self._failed = 0
        self._requests: dict[tuple[str, str, str], NativeRequest] = {}

    async def write(self, happened: Sequence[Happening]) -> None:
        """All of it, in transactions that share the ledger's commits."""
        for start in range(0, len(happened), REQUESTS_A_COMMIT):
            page = Page(self._node)
            for one in happened[start : start + REQUESTS_A_COMMIT]:
                page.arrivals.append(self._arrival(one))
                if one.manner == ON_TIME:
                    self._deliver(page, page.arrivals[-1])
            await self._gateway.ledger.run(page.write)
            self._gateway.tallies.forget()

    def _number(self, at: int) -> int:
        self._numbers[at] += 1
        return first_id_at(at) | self._node % NODES_MAX << SEQUENCE_BITS | self._numbers[at] - 1

    # What came in.

    def _arrival(self, one: Happening) -> Arrival:
        source = self._gateway.registry.source(one.source)
        account = self._accounts[one.source]
        if source is None:
            raise LookupError(one.source)
        self._ms = round((one.at_s + self._dice.uniform(0.2, 1.5)) * 1000)
        request = self._request(account, one)
        receipt = self._drafts.receipt(source, account.adapter, request)
        try:
            reading = self._read(account, source, one, request)
        except VerificationFailed as failure:
            receipt.reason = str(failure)
            return Arrival(receipt, [], rejected=True)
        if reading.unnamed:
            self._gateway.drifts.note(source.id, receipt.id, reading.unnamed)
        return self._drafts.arrival(source, receipt, reading, self._ms)

    def _request(self, account: Account, one: Happening) -> NativeRequest:
        known = (one.source, one.kind, one.message)
        if one.manner == REPEATED:
            return self._requests[known]
        make = account.forged if one.manner == FORGED else account.request
        request = make(
            one.kind, at=one.at_s, recipient=one.recipient, message=one.message, unique=lambda: unique(self._dice)
        )
        self._requests[known] = request
        return account.unmapped(request, one.at_s) if one.manner == UNMAPPED else request

    def _read(self, account: Account, source: Source, one: Happening, request: NativeRequest) -> Reading:
        """Only what is forged has to be verified: the others are known to be right."""
        secrets = source.secrets if one.manner == FORGED else None
        reading = account.adapter.read(request, secrets, one.at_s, self._ms, options=source.options)
        if one.manner == REPEATED:
            reading.once = None
        return reading

    # What went out.

    def _deliver(self, page: Page, arrival: Arrival) -> None:
        for event in arrival.events:
            for endpoint in self._gateway.registry.wanting(event.environment_id, event.type):
                if endpoint.filter is None or is_true(endpoint.filter(event.document())):
                    arrival.deliveries = [*arrival.deliveries, self._delivery(page, event, endpoint)]

    def _delivery(self, page: Page, event: NewEvent, endpoint: Endpoint) -> NewDelivery:
        path = self._subscribers.get(endpoint.id, "")
        delivery = NewDelivery(self._number(self._ms), event, endpoint.id, PENDING, self._ms)
        if path == OLD_CRM and self._ms >= self._now - PAUSED_FOR_S * 1000:
            delivery.status, delivery.error = HELD, endpoint.why_held
        elif tries := self._tries(path, endpoint):
            delivery.status, delivery.lease_node, delivery.lease_until = SENDING, self._node, self._ms
            for number, attempt in enumerate(tries, 1):
                page.add(self._outcome(delivery, endpoint, attempt, number, is_last=number == len(tries)))
        return delivery

    def _tries(self, path: str, endpoint: Endpoint) -> list[Try]:
        """What became of a delivery that arrived now; nothing while its endpoint is failing."""
        if path == BILLING and self._ms >= self._now - DOWN_FOR_S * 1000:
            if self._failed >= FAILED_FOR_GOOD:
                return []
            self._failed += 1
            waits_s = [0.0, *endpoint.schedule_s]
            return [self._try(path, sum(waits_s[: at + 1]), 503) for at in range(len(waits_s))]
        if self._dice.random() < _HICCUPS:
            first = self._try(path, 0, self._dice.choice((500, 502, 503)))
            return [first, self._try(path, endpoint.schedule_s[0] * self._dice.uniform(0.9, 1.1), 200)]
        return [self._try(path, 0, 200)]

    def _try(self, path: str, after_s: float, status: int) -> Try:
        duration_ms = self._dice.lognormvariate(log(_LATENCY_MS.get(path, 35.0)), 0.5)
        return Try(self._ms + round(after_s * 1000), status, round(duration_ms))

    def _outcome(
        self, delivery: NewDelivery, endpoint: Endpoint, attempt: Try, number: int, *, is_last: bool
    ) -> Outcome:
        ended = attempt.at + attempt.duration_ms
        error = None if attempt.status == 200 else f"answered {attempt.status}"
        status = DELIVERED if error is None else FAILED if is_last else PENDING
        return Outcome(
            delivery_id=delivery.id,
            node=self._node,
            status=status,
            due_at=0 if status == PENDING else ended,  # before all others: see Page
            finished_at=None if status == PENDING else ended,
            error=error,
            attempt=self._record(delivery, endpoint, attempt, number),
            counted_for=(endpoint.environment_id, endpoint.id),
            latency_ms=ended - self._ms if number == 1 else None,
            result=self._result(endpoint, ended, error) if number == 1 else None,
        )

    def _result(self, endpoint: Endpoint, at: int, error: str | None) -> Result | None:
        """Of the endpoint that is down: its first failures, and the probes after them."""
        if self._subscribers.get(endpoint.id) != BILLING or not 0 < self._failed <= FAILURES_COUNTED:
            return None
        return Result(at=at, error=error, probe=self._failed > BREAKER_FAILURES)

    def _record(self, delivery: NewDelivery, endpoint: Endpoint, attempt: Try, number: int) -> AttemptRecord:
        event = delivery.event
        headers = endpoint.signer.headers(
            webhook_id=public_id(EVENT, event.id),
            event_type=event.type,
            body=event.body,
            attempt=number,
            unix_s=attempt.at // 1000,
        )
        total_ms = float(attempt.duration_ms)
        good = attempt.status == 200
        return AttemptRecord(
            id=self._number(attempt.at),
            number=number,
            status_code=attempt.status,
            error_kind=None,
            error=None,
            duration_ms=attempt.duration_ms,
            timing=short_times((None, None, None, total_ms * 0.95, total_ms * 0.05, total_ms)),
            request_headers=_encode(endpoint.shown_headers(headers)),
            request_body=None,
            response_headers=_encode([("content-type", "application/json")]),
            response_body=b'{"ok":true}' if good else b'{"error":"out of order"}',
            response_truncated=False,
        )
