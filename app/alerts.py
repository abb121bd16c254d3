"""Watches by the alert rules, and tells what begins and what ends.

Strategy: every few seconds one node, whichever has the duty, reads the roll-ups that the rules are about and judges.
News are events like any other: stored with their deliveries by the ledger, in one transaction with the change of state
that they tell of. A rule over a long time is judged less often, because in a few seconds it changes little.
"""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial

import msgspec
import structlog
from msgspec import UNSET
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.events import iso_millis
from adapters.notices import Notice, NoticeAlert, NoticeEndpoint, NoticeSource
from app.clock import Clock
from app.drafting import Drafts, called, noticed
from app.mails import Postbox
from app.observing import Observatory
from app.registry import Registry
from app.store.alerts import FIRING, OK, Alert, Change, State, change_state, list_alerts, read_firing
from app.store.arrivals import Arrival
from app.store.duties import take_duty
from app.store.errors import driver_message
from app.store.ledger import STORE_ERRORS, Ledger, StoreUnavailable
from app.store.rollups import SOURCE
from app.watching import BACKLOG, KINDS, SILENCE, Judgement, Limits, Observed

log = structlog.get_logger()

INTERVAL_S = 20.0
DUTY = "alerts"
DUTY_KEPT = timedelta(seconds=60)
JUDGED_SHARE = 1 / 60
"""A rule is judged again after this part of its window, but after five minutes at the latest."""
JUDGED_WAIT_S_MAX = 300.0
SETTLED_S = 600.0
"""After a start silence is no news for so long: while the gateway was down, providers had nobody to talk to."""


class Subject(msgspec.Struct, frozen=True):
    """A source or endpoint that is watched."""

    id: int
    called: str
    shown: NoticeSource | NoticeEndpoint | None


class Alerts:
    """The watch of this node."""

    def __init__(
        self,
        registry: Registry,
        engine: AsyncEngine,
        ledger: Ledger,
        drafts: Drafts,
        postbox: Postbox,
        clock: Clock,
        node: int,
    ) -> None:
        self._registry = registry
        self._engine = engine
        self._ledger = ledger
        self._drafts = drafts
        self._postbox = postbox
        self._clock = clock
        self._node = node
        self._observatory = Observatory(engine)
        self._began_at = clock.monotonic()
        self._judged_at: dict[int, float] = {}
        self._watching: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begins to watch."""
        self._watching = asyncio.create_task(self._watch_forever(), name="alerts")

    async def close(self) -> None:
        """Ends at once; another node, or the next start, goes on."""
        if self._watching is not None:
            self._watching.cancel()
            with suppress(asyncio.CancelledError):
                await self._watching

    async def _watch_forever(self) -> None:
        while True:
            await asyncio.sleep(INTERVAL_S)
            try:
                await self.watch()
            except (StoreUnavailable, *STORE_ERRORS) as error:
                log.warning("alerts.failed", error=driver_message(error))
            except Exception:
                log.exception("alerts.crashed")

    async def watch(self) -> None:
        """One round, if the duty is this node's."""
        now = self._clock.now()
        if not await take_duty(self._engine, DUTY, self._node, now, now + DUTY_KEPT):
            return
        await self._registry.reload()
        firing = await read_firing(self._engine)
        for alert in await list_alerts(self._engine):
            if alert.active and self._is_due(alert):
                await self._judge(alert, firing, now)
                self._judged_at[alert.id] = self._clock.monotonic()

    def _is_due(self, alert: Alert) -> bool:
        if alert.kind == SILENCE and self._clock.monotonic() - self._began_at < SETTLED_S:
            return False
        wait_s = min(JUDGED_WAIT_S_MAX, alert.window_s * JUDGED_SHARE)
        judged_at = self._judged_at.get(alert.id)
        return judged_at is None or self._clock.monotonic() - judged_at >= wait_s

    async def _judge(self, alert: Alert, firing: Mapping[tuple[int, int], State], now: datetime) -> None:
        """Judges every source or endpoint that the rule is about."""
        kind = KINDS[alert.kind]
        limits = Limits(alert.threshold, alert.window_s, alert.min_count)
        observed = await self._observatory.observe(alert, now)
        fires = {subject_id: state for (alert_id, subject_id), state in firing.items() if alert_id == alert.id}
        for subject in self._subjects(alert):
            judgement = kind.judge(observed.get(subject.id, Observed()), limits, subject.called)
            state = fires.pop(subject.id, None)
            if state is None and judgement.fires:
                await self._tell(alert, subject, judgement, FIRING, _since(alert, judgement, now), now)
            elif state is not None and judgement.clears:
                await self._tell(alert, subject, judgement, OK, state.since, now)
        for subject_id, state in fires.items():  # removed meanwhile, or not sent to any more
            await self._tell(alert, Subject(subject_id, "", None), _gone(kind.of), OK, state.since, now)

    def _subjects(self, alert: Alert) -> Iterator[Subject]:
        """The sources, or the endpoints that are sent to, that the rule is about."""
        if KINDS[alert.kind].of == SOURCE:
            for source in self._registry.sources():
                if source.environment_id == alert.environment_id and alert.source_id in (None, source.id):
                    yield Subject(source.id, source.name, NoticeSource(name=source.name, provider=source.provider))
            return
        for endpoint in self._registry.active_endpoints():
            if endpoint.environment_id == alert.environment_id and alert.endpoint_id in (None, endpoint.id):
                yield Subject(endpoint.id, called(endpoint), noticed(endpoint))

    async def _tell(
        self, alert: Alert, subject: Subject, judgement: Judgement, to: str, since: datetime, now: datetime
    ) -> None:
        """Stores the change together with the events that tell it, unless somebody else did."""
        notice = Notice(
            summary=judgement.summary,
            since=iso_millis(round(since.timestamp() * 1000)),
            numbers=judgement.numbers,
            endpoint=subject.shown if isinstance(subject.shown, NoticeEndpoint) else UNSET,
            source=subject.shown if isinstance(subject.shown, NoticeSource) else UNSET,
            alert=NoticeAlert(id=alert.id, name=alert.name, kind=alert.kind),
        )
        types = ["alert.fired" if to == FIRING else "alert.resolved"]
        if alert.kind == SILENCE and to == FIRING:
            types.append("source.silent")
        now_ms = round(now.timestamp() * 1000)
        events = [self._drafts.notice(alert.environment_id, name, notice, now_ms) for name in types]
        change = Change(
            alert=alert,
            subject_id=subject.id,
            to=to,
            since=since if to == FIRING else now,
            now=now,
            value=judgement.value,
            summary=judgement.summary,
            mail=self._postbox.letter(events[0], notice, alert.mail_to),
        )
        arrival = Arrival(None, events, condition=partial(change_state, change=change))
        await self._ledger.take_in(arrival)
        if arrival.stored:
            log.info("alert.changed", alert_id=alert.id, kind=alert.kind, state=to, summary=judgement.summary)
            self._postbox.bell.ring()


def _since(alert: Alert, judgement: Judgement, now: datetime) -> datetime:
    """When it began: silence and waiting are lengths of time themselves."""
    is_length = alert.kind in (SILENCE, BACKLOG)
    return now - timedelta(seconds=judgement.value or 0) if is_length else now


def _gone(of: str) -> Judgement:
    return Judgement(fires=False, clears=True, summary=f"The {of} was removed, or is out of use.", numbers={})
