"""Every part of the running gateway, built once and wired."""

import random
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Self

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.catalog import Catalog
from app import metrics
from app.alerts import Alerts
from app.announcements import Announcements
from app.attempts import Attempts
from app.batches import Batches
from app.bulk import BulkWork, Plans
from app.clock import Clock
from app.delivery import Sender
from app.drafting import Drafts
from app.drift import Drifts
from app.egress import Egress
from app.forgetting import Forgetting
from app.guard import Guard
from app.housekeeping import Housekeeping
from app.ingest import Ingest
from app.mails import Postbox
from app.mapping_files import MappingFiles
from app.proxies import TrustedProxies
from app.registry import Registry
from app.routing import Router
from app.settings import Settings
from app.signer import USER_AGENT
from app.store.accounts import first_start
from app.store.engine import Writer, is_sqlite, open_engine, open_writer
from app.store.ids import IdSource
from app.store.jobs import release_jobs
from app.store.leases import begun, return_all_of
from app.store.ledger import Ledger
from app.store.migrate import migrate
from app.store.nodes import FIRST_NODE, join, sole_user
from app.store.sealing import reseal_secrets
from app.store.settling import settle_endpoints
from app.stream import Stream
from app.tallies import Tallies
from app.vault import Vault
from app.visits import Visits

log = structlog.get_logger()


class Gateway:
    """The parts that routes use. Made by `open`, ended by `close`."""

    settings: Settings
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
    drifts: Drifts
    tallies: Tallies
    ingest: Ingest
    sender: Sender
    plans: Plans
    bulk: BulkWork
    forgetting: Forgetting
    postbox: Postbox
    alerts: Alerts
    housekeeping: Housekeeping
    ids: IdSource
    first_key: str | None
    """The admin key, when this start generated it."""
    is_first_start: bool
    """Whether no gateway served from this database before."""

    @classmethod
    async def open(cls, settings: Settings, clock: Clock | None = None) -> Self:
        """Brings the database up to date, makes the first key, and starts to write and send."""
        gateway = cls()
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
    _node: int
    _writer: Writer

    async def _open_store(self) -> None:
        settings = self.settings
        self.mapping_files = MappingFiles(settings.mappings_dir)
        self.catalog = self.mapping_files.catalog
        self.vault = Vault.from_settings(settings)
        self.engine = open_engine(settings.database_url)
        self._closing.push_async_callback(self.engine.dispose)
        alone = is_sqlite(self.engine)
        if alone:
            self._closing.enter_context(sole_user(Path(self.engine.url.database or "")))
        await migrate(self.engine)
        self.first_key = await first_start(self.engine, self.clock, settings.api_key)
        await reseal_secrets(self.engine, self.vault)
        await settle_endpoints(self.engine, self.clock.now())
        self._node = await join(self.engine, self.clock)
        self.is_first_start = self._node == FIRST_NODE
        self._writer = await open_writer(self.engine)
        self._closing.push_async_callback(self._writer.close)
        if alone:
            returned = await self._writer.run(partial(return_all_of, node=None))
            await self._writer.run(partial(release_jobs, node=None))
            log.info("store.opened", deliveries_resumed=returned)

    async def _start(self) -> None:
        settings = self.settings
        self.ids = IdSource(self._node, self.clock.ms)
        self.guard = Guard(settings.allow_networks)
        self.proxies = TrustedProxies(settings.trusted_proxies)
        self.registry = Registry(self.engine, self.vault, self.catalog, settings)
        await self.registry.reload()
        self.mapping_files.follow(self._put_in_force)
        self._closing.push_async_callback(self.mapping_files.close)
        egress = Egress(
            self.guard,
            user_agent=USER_AGENT,
            connections_max=settings.sending_max,
            body_bytes_max=settings.response_bytes_max,
        )
        self._closing.push_async_callback(egress.aclose)
        jitter = random.SystemRandom()
        attempts = Attempts(
            self.registry,
            egress,
            self.clock,
            next_id=self.ids.next,
            begun=partial(begun, self.engine),
            jitter=lambda: jitter.uniform(-1, 1),
            node=self._node,
        )
        drafts = Drafts(self.registry, self.ids.next)
        announcements = Announcements(self.registry, drafts)
        batches = Batches(
            attempts,
            self.registry,
            egress,
            self.clock,
            next_id=self.ids.next,
            kept_bytes_max=settings.response_bytes_max,
        )
        self.sender = Sender(
            self.registry, self.engine, attempts, batches, announcements, self.clock, settings, self._node
        )
        self.ledger = Ledger(
            self._writer,
            Router(self.registry, self.sender, self.ids.next),
            items_max=settings.commit_items_max,
            waiting_max=settings.inbound_waiting_max,
            waiting_bytes_max=settings.inbound_waiting_bytes_max,
            timeout_s=settings.commit_timeout_s,
            on_commit=self._on_commit,
        )
        self.stream = Stream(self.engine, self.clock, settings)
        self._closing.push_async_callback(self.stream.close)
        visits = Visits(egress, self.clock)
        self.drifts = Drifts(self.ledger)
        self.tallies = Tallies(self.engine, self.clock)
        counted = [*self.registry.sources(), *self.registry.active_endpoints()]
        self.tallies.start({one.environment_id for one in counted})
        self._closing.push_async_callback(self.tallies.close)
        self.ingest = Ingest(
            self.registry, self.ledger, self.engine, self.clock, settings, self.ids.next, visits, self.drifts
        )
        self.ledger.start()
        self._closing.push_async_callback(self.ledger.close)
        self.drifts.start()
        self._closing.push_async_callback(self.drifts.close)
        self.sender.start(self.ledger)
        self._closing.push_async_callback(self.sender.close)
        self.plans = Plans(self.registry, self.engine, self.clock)
        self.bulk = BulkWork(self.plans, self.engine, self.ledger, self.sender, self.clock, self.ids, self._node)
        self.bulk.start()
        self._closing.push_async_callback(self.bulk.close)
        self.forgetting = Forgetting(self.engine, self.ledger, self.clock, self.registry)
        self.postbox = Postbox(self.engine, self.clock, settings)
        self.postbox.start()
        self._closing.push_async_callback(self.postbox.close)
        self.alerts = Alerts(self.registry, self.engine, self.ledger, drafts, self.postbox, self.clock, self._node)
        self.alerts.start()
        self._closing.push_async_callback(self.alerts.close)
        self.housekeeping = Housekeeping(self.engine, self.ledger, self.clock, kept_days=settings.retention_days)
        self.housekeeping.start()
        self._closing.push_async_callback(self.housekeeping.close)

    def _on_commit(self, writes: int, duration_s: float) -> None:
        metrics.count_commit(writes, duration_s)
        self.stream.ring()

    def _put_in_force(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self.registry.use(catalog)
