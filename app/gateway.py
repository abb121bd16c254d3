"""Every part of the running gateway, built once and wired."""

import random
from collections.abc import Sequence
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Self

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.catalog import Catalog
from app import metrics
from app.admission import Admission
from app.alerts import Alerts
from app.announcements import Announcements
from app.attempts import Attempts
from app.batches import Batches
from app.bell import Bell, FarBell
from app.bulk import BulkWork, Plans
from app.clock import Clock
from app.delivery import Sender
from app.drafting import Drafts
from app.drift import Drifts
from app.egress import Egress
from app.far_sender import FarSender
from app.forgetting import Forgetting
from app.guard import Guard
from app.housekeeping import Housekeeping
from app.ingest import Ingest
from app.intercom import COMMITTED, DUE, JOBS, LOOK, REGISTRATIONS, Intercom
from app.mails import Postbox
from app.mapping_files import MappingFiles
from app.place import ALONE, Place
from app.proxies import TrustedProxies
from app.registry import Registry
from app.routing import Router
from app.settings import Settings
from app.signer import USER_AGENT
from app.store.accounts import first_start
from app.store.engine import Writer, is_sqlite, open_engine, open_writer
from app.store.ids import IdSource
from app.store.jobs import release_jobs
from app.store.leases import return_all_of
from app.store.ledger import Ledger
from app.store.locks import sole_user
from app.store.migrate import migrate
from app.store.nodes import FIRST_NODE, join
from app.store.outcomes import begun
from app.store.sealing import reseal_secrets
from app.store.settling import settle_endpoints
from app.stream import Stream
from app.tallies import Tallies
from app.turns import Turns
from app.vault import Vault
from app.visits import Visits

log = structlog.get_logger()


class Gateway:
    """The parts that routes use. Made by `open`, ended by `close`."""

    settings: Settings
    place: Place
    node: int
    """Its number among all processes that ever worked on the database."""
    clock: Clock
    engine: AsyncEngine
    vault: Vault
    mapping_files: MappingFiles
    catalog: Catalog
    """What the mapping files made last."""
    guard: Guard
    proxies: TrustedProxies
    registry: Registry
    ledger: Ledger
    admission: Admission
    drifts: Drifts
    tallies: Tallies
    ingest: Ingest
    sender: Sender | FarSender
    plans: Plans
    bulk: BulkWork
    forgetting: Forgetting
    postbox: Postbox
    alerts: Alerts
    housekeeping: Housekeeping
    ids: IdSource
    intercom: Intercom
    turns: Turns
    first_key: str | None
    """The admin key, when this start generated it."""
    is_first_start: bool
    """Whether no gateway served from this database before."""

    @classmethod
    async def open(cls, settings: Settings, clock: Clock | None = None, place: Place = ALONE) -> Self:
        """Brings the database up to date, makes the first key, and starts to write and send.

        As one of several workers it does of this what its place says; the delivery worker has to be open first.
        """
        gateway = cls()
        gateway.place = place
        gateway.settings = settings
        gateway.clock = clock or Clock()
        gateway._closing = AsyncExitStack()
        try:
            await gateway._open_store()
            await gateway._start()
        except BaseException:
            await gateway._closing.aclose()
            raise
        return gateway

    async def close(self) -> None:
        """Ends what is in flight, writes what is queued, and lets go of the database."""
        await self._closing.aclose()

    _closing: AsyncExitStack
    _writer: Writer
    _drafts: Drafts

    async def _open_store(self) -> None:
        settings = self.settings
        self.mapping_files = MappingFiles(settings.mappings_dir)
        self.catalog = self.mapping_files.catalog
        self.vault = Vault.from_settings(settings)
        self.engine = open_engine(settings.database_url)
        self._closing.push_async_callback(self.engine.dispose)
        if is_sqlite(self.engine) and not self.place.has_others:  # else the process that started all of them holds it
            self._closing.enter_context(sole_user(Path(self.engine.url.database or "")))
        self.first_key = await self._bring_up_to_date() if self.place.sends else None
        self.node = await join(self.engine, self.clock)
        self.is_first_start = self.node == FIRST_NODE
        self._writer = await open_writer(self.engine, shared=self.place.has_others)
        self._closing.push_async_callback(self._writer.close)
        if self.place.sends:
            await self._take_over()

    async def _bring_up_to_date(self) -> str | None:
        """The admin key, if this start makes it."""
        await migrate(self.engine)
        first_key = await first_start(self.engine, self.clock, self.settings.api_key)
        await reseal_secrets(self.engine, self.vault)
        await settle_endpoints(self.engine, self.clock.now())
        return first_key

    async def _take_over(self) -> None:
        """Gives back at once what the one before had in its hands; on SQLite anyone, because one at a time sends."""
        one_sends = is_sqlite(self.engine)
        if one_sends or self.place.predecessor is not None:
            before = None if one_sends else self.place.predecessor
            returned = await self._writer.run(partial(return_all_of, node=before))
            await self._writer.run(partial(release_jobs, node=before))
            log.info("store.opened", deliveries_resumed=returned)

    async def _start(self) -> None:
        await self._open_registrations()
        egress = self._open_egress()
        self._drafts = Drafts(self.registry, self.ids.next)
        self.sender = self._sender(egress) if self.place.sends else self._far_sender()
        self._open_ledger()
        self._open_intake(egress)
        self._start_sending()
        self._open_jobs()
        self._open_duties()
        self._hear_others()
        metrics.note_worker(self.place.role, self.place.restarts)

    async def _open_registrations(self) -> None:
        settings = self.settings
        self.intercom = Intercom(self.place)
        self._closing.callback(self.intercom.close)
        self.turns = Turns(self.place.shared_folder)
        self._closing.callback(self.turns.close)
        self.ids = IdSource(self.node, self.clock.ms)
        self.guard = Guard(settings.allow_networks)
        self.proxies = TrustedProxies(settings.trusted_proxies)
        self.registry = Registry(self.engine, self.vault, self.catalog, settings)
        await self.registry.reload()
        self.registry.on_change = partial(self.intercom.tell, REGISTRATIONS)
        self.mapping_files.follow(self._put_in_force)
        self._closing.push_async_callback(self.mapping_files.close)

    def _open_egress(self) -> Egress:
        egress = Egress(
            self.guard,
            user_agent=USER_AGENT,
            connections_max=self.settings.sending_max,
            body_bytes_max=self.settings.response_bytes_max,
        )
        self._closing.push_async_callback(egress.aclose)
        return egress

    def _sender(self, egress: Egress) -> Sender:
        jitter = random.SystemRandom()
        attempts = Attempts(
            self.registry,
            egress,
            self.clock,
            next_id=self.ids.next,
            begun=partial(begun, self.engine),
            jitter=lambda: jitter.uniform(-1, 1),
            node=self.node,
        )
        batches = Batches(
            attempts,
            self.registry,
            egress,
            self.clock,
            next_id=self.ids.next,
            kept_bytes_max=self.settings.response_bytes_max,
        )
        announcements = Announcements(self.registry, self._drafts)
        return Sender(
            self.registry, self.engine, attempts, batches, announcements, self.clock, self.settings, self.node
        )

    def _far_sender(self) -> FarSender:
        return FarSender(self.registry, self.intercom, self.clock, poll_interval_s=self.settings.poll_interval_s)

    def _open_ledger(self) -> None:
        settings = self.settings
        self.ledger = Ledger(
            self._writer,
            Router(self.registry, self.sender, self.ids.next),
            items_max=settings.commit_items_max,
            waiting_max=settings.inbound_waiting_max,
            waiting_bytes_max=settings.inbound_waiting_bytes_max,
            timeout_s=settings.commit_timeout_s,
            on_commit=self._on_commit,
        )
        self.admission = Admission(
            self.ledger.expected_wait_s,
            self.clock.monotonic,
            wait_s_max=settings.inbound_wait_s_max,
            bytes_max=settings.inbound_waiting_bytes_max,
        )
        several = self.place.has_others or not is_sqlite(self.engine)
        self.stream = Stream(self.engine, self.clock, settings, several_nodes=several)
        self._closing.push_async_callback(self.stream.close)
        self.ledger.start()
        self._closing.push_async_callback(self.ledger.close)

    def _open_intake(self, egress: Egress) -> None:
        visits = Visits(egress, self.clock)
        self.drifts = Drifts(self.ledger)
        self.tallies = Tallies(self.engine, self.clock)
        counted = [*self.registry.sources(), *self.registry.active_endpoints()]
        self.tallies.start({one.environment_id for one in counted})
        self._closing.push_async_callback(self.tallies.close)
        self.ingest = Ingest(
            self.registry, self.ledger, self.engine, self.clock, self.settings, self.ids.next, visits, self.drifts
        )
        self.forgetting = Forgetting(self.engine, self.ledger, self.clock, self.registry)
        self.drifts.start()
        self._closing.push_async_callback(self.drifts.close)

    def _start_sending(self) -> None:
        if isinstance(self.sender, Sender):
            self.sender.start(self.ledger)
        else:
            self.sender.start()
        self._closing.push_async_callback(self.sender.close)

    def _open_jobs(self) -> None:
        bell = Bell() if self.place.sends else FarBell(partial(self.intercom.tell, JOBS))
        self.plans = Plans(self.registry, self.engine, self.clock)
        self.bulk = BulkWork(
            self.plans,
            self.engine,
            self.ledger,
            self.clock,
            self.ids,
            self.node,
            bell=bell,
            due=self.sender.bell,
        )
        if self.place.sends:
            self.bulk.start()
        self._closing.push_async_callback(self.bulk.close)

    def _open_duties(self) -> None:
        """What only one of several workers does."""
        settings = self.settings
        self.postbox = Postbox(self.engine, self.clock, settings)
        self.alerts = Alerts(self.registry, self.engine, self.ledger, self._drafts, self.postbox, self.clock, self.node)
        self.housekeeping = Housekeeping(self.engine, self.ledger, self.clock, kept_days=settings.retention_days)
        for duty in (self.postbox, self.alerts, self.housekeeping):
            if self.place.sends:
                duty.start()
            self._closing.push_async_callback(duty.close)

    def _hear_others(self) -> None:
        self.intercom.on(COMMITTED, lambda _: self.stream.ring())
        sender = self.sender
        if isinstance(sender, Sender):
            self.intercom.on(DUE, self._on_due)
            self.intercom.on(LOOK, lambda _: sender.bell.ring())
            self.intercom.on(JOBS, lambda _: self.bulk.bell.ring())
            self.intercom.on(REGISTRATIONS, lambda _: sender.bell.ring())  # it looks for new ones first
        else:
            self.intercom.on(REGISTRATIONS, lambda _: sender.refresh())
        self.intercom.start()

    def _on_due(self, endpoint_ids: Sequence[int]) -> None:
        """Another worker has committed deliveries to these endpoints, of which this one may not have heard yet."""
        self.sender.released(endpoint_ids)
        if any(self.registry.endpoint(number) is None for number in endpoint_ids):
            self.sender.bell.ring()

    def _on_commit(self, writes: int, duration_s: float) -> None:
        metrics.count_commit(writes, duration_s)
        self.stream.ring()
        self.intercom.tell_now_and_then(COMMITTED)

    def _put_in_force(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self.registry.use(catalog)
