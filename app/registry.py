"""The sources and endpoints as ingest and delivery need them: opened, compiled, in memory, and never stale.

Every change of a source or endpoint raises its environment's `config_version` in the same transaction. The ledger
compares the versions in each commit, so that an event is matched against the registrations that were in force when it
was committed, whichever node took them.

A row that cannot be read, because its secrets were sealed with another key or its filter no longer compiles, is kept
apart: nothing is sent to such an endpoint and nothing accepted from such a source, and the others work on.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.adapter import Adapter
from adapters.catalog import Catalog
from adapters.errors import UnknownProvider
from adapters.events import MESSAGE_TYPES, OPT_IN_TYPES, canonical_type
from adapters.expressions import Expression
from app import shaping
from app.redaction import Redaction
from app.retry import DEFAULT_SCHEDULE_S
from app.settings import Settings
from app.signer import Signer, generate_secret
from app.store.roster import Roster, Versions, read_roster, read_versions
from app.store.sources import NONE
from app.store.tables import BATCH, NOT_ACTIVE, RECIPIENT
from app.store.views import HIDDEN
from app.vault import Vault, VaultError

log = structlog.get_logger()

BATCH_EVENTS_DEFAULT, BATCH_WAIT_MS_DEFAULT = 100, 1_000
ALL_WORDS = frozenset({"*", "email.*"})
_ALL_TYPES = frozenset(MESSAGE_TYPES) - OPT_IN_TYPES


class Environment(msgspec.Struct, frozen=True):
    """The public names that every event of an environment carries."""

    env_id: str
    org_id: str
    pseudonym_key: bytes | None = None
    """None where no source ever redacted, or where it cannot be opened."""


class Source(msgspec.Struct, frozen=True):
    """A source ready to verify and read requests; `adapter` is None when its mapping has gone."""

    id: int
    environment_id: int
    name: str
    provider: str
    adapter: Adapter | None
    secrets: dict[str, list[str]] | None
    """None where the source was added with "verification": "none"."""
    options: dict[str, Any]
    redaction: Redaction | None = None
    """None where everything is kept."""
    trouble: str | None = None
    """Why nothing can be accepted from it now, though the provider is to try again."""


class BatchLimits(msgspec.Struct, frozen=True):
    """When a batch is sent: as soon as so many events wait, or one has waited so long."""

    events_max: int
    wait_s: float


class Endpoint(msgspec.Struct, frozen=True):
    """An endpoint ready to be matched and sent to."""

    id: int
    environment_id: int
    url: str
    types: frozenset[str]
    active: bool
    filter: Expression | None
    transform: Expression | None
    headers: dict[str, str]
    signer: Signer
    in_flight_max: int
    rate_limit_per_s: float | None
    timeout_s: float
    schedule_s: tuple[float, ...]
    retry_max_age_s: float | None = None
    """No attempt is made later than this after the first."""
    retry_on: frozenset[int | str] | None = None
    """As `is_tried_again` takes it."""
    description: str = ""
    ordered: bool = False
    """It gets the events of one recipient one after the other."""
    batch: BatchLimits | None = None
    """None: it gets a request for each event."""
    why_held: str = NOT_ACTIVE
    """What its deliveries say while it is not active."""

    def shown_headers(self, signed: Mapping[str, str]) -> dict[str, str]:
        """The headers of an attempt as the log keeps them: the subscriber's own by name alone, then those we signed."""
        return {**dict.fromkeys(self.headers, HIDDEN), **signed}


def subscribed_types(events: str) -> frozenset[str]:
    """The event types that a subscriber's comma-separated words stand for; unknown words stand for none."""
    types: set[str] = set()
    for word in (part.strip().lower() for part in events.split(",")):
        if word in ALL_WORDS:
            types |= _ALL_TYPES
        elif known := canonical_type(word):
            types.add(known)
    return frozenset(types)


class Registry:
    """The configuration of all environments at one version."""

    def __init__(self, engine: AsyncEngine, vault: Vault, catalog: Catalog, settings: Settings) -> None:
        self._engine = engine
        self._vault = vault
        self._catalog = catalog
        self._settings = settings
        self._versions: Versions = ()
        self._environments: dict[int, Environment] = {}
        self._sources: dict[str, Source] = {}
        self._endpoints: dict[int, Endpoint] = {}
        self._rows: dict[int, Any] = {}
        """What the endpoints were opened from."""
        self._wanting: dict[tuple[int, str], list[Endpoint]] = {}
        self.on_change: Callable[[], None] | None = None
        """Called when a configuration was loaded that is not the one before."""

    def source(self, name: str) -> Source | None:
        """The source of that name."""
        return self._sources.get(name)

    def sources(self) -> Sequence[Source]:
        """Every source, of all environments."""
        return list(self._sources.values())

    def endpoint(self, endpoint_id: int) -> Endpoint | None:
        """The endpoint, unless it was deleted."""
        return self._endpoints.get(endpoint_id)

    def active_endpoints(self) -> list[Endpoint]:
        """Every endpoint that may be sent to."""
        return [endpoint for endpoint in self._endpoints.values() if endpoint.active]

    def environment(self, environment_id: int) -> Environment:
        """The environment's public names."""
        return self._environments[environment_id]

    def find_environment(self, environment_id: int) -> Environment | None:
        """The same; None for one that it has not heard of."""
        return self._environments.get(environment_id)

    def wanting(self, environment_id: int, event_type: str) -> Sequence[Endpoint]:
        """The endpoints of the environment that asked for the type, paused ones included; filters not yet applied."""
        return self._wanting.get((environment_id, event_type), ())

    @property
    def versions(self) -> Versions:
        """The versions it was loaded at."""
        return self._versions

    async def reload(self) -> None:
        """Reads the configuration anew if it has changed."""
        async with self._engine.connect() as connection:
            if await connection.run_sync(read_versions) != self._versions:
                self._load(await connection.run_sync(read_roster))
                if self.on_change is not None:
                    self.on_change()

    def use(self, catalog: Catalog) -> None:
        """Puts other mappings in force: what comes in from now on is read by them."""
        self._catalog = catalog
        self._sources = {
            name: msgspec.structs.replace(source, adapter=self._adapter(name, source.provider))
            for name, source in self._sources.items()
        }

    def _load(self, roster: Roster) -> None:
        self._environments = {row.id: self._open_environment(row) for row in roster.environments}
        self._sources = {row.name: self._open_source(row) for row in roster.sources}
        self._endpoints = {row.id: self._opened_endpoint(row) for row in roster.endpoints}
        self._rows = {row.id: row for row in roster.endpoints}
        wanting: defaultdict[tuple[int, str], list[Endpoint]] = defaultdict(list)
        for endpoint in self._endpoints.values():
            for event_type in endpoint.types:
                wanting[endpoint.environment_id, event_type].append(endpoint)
        self._wanting = dict(wanting)
        self._versions = roster.versions

    def _open_environment(self, row: Any) -> Environment:
        key: bytes | None = None
        if row.pseudonym_key_sealed is not None:
            try:
                key = bytes.fromhex(self._vault.open(row.pseudonym_key_sealed))
            except VaultError as error:
                log.error("environment.unreadable", env_id=row.env_id, error=str(error))  # noqa: TRY400 - it says it all
        return Environment(env_id=row.env_id, org_id=row.org_id, pseudonym_key=key)

    def _open_source(self, row: Any) -> Source:
        secrets: dict[str, list[str]] | None = None
        trouble = None
        if row.verification != NONE:
            try:
                secrets = self._vault.open(row.secrets_sealed)
            except VaultError as error:
                # Without secrets nothing verifies; None would let everything in.
                secrets = {}
                trouble = "The secrets of this source cannot be opened"
                log.error("source.unreadable", source=row.name, error=str(error))  # noqa: TRY400 - it says it all
        key = self._environments[row.environment_id].pseudonym_key
        if row.redact and key is None:
            trouble = "The key for what this source redacts cannot be opened"
        return Source(
            id=row.id,
            environment_id=row.environment_id,
            name=row.name,
            provider=row.provider,
            adapter=self._adapter(row.name, row.provider),
            secrets=secrets,
            options=row.options,
            redaction=Redaction(row.redact, key) if row.redact and key else None,
            trouble=trouble,
        )

    def _adapter(self, source: str, provider: str) -> Adapter | None:
        try:
            return self._catalog.get(provider)
        except UnknownProvider:
            log.exception("source.without_mapping", source=source, provider=provider)
            return None

    def _opened_endpoint(self, row: Any) -> Endpoint:
        """The endpoint as it was opened before, unless its row has changed."""
        if self._rows.get(row.id) == row:
            return self._endpoints[row.id]
        try:
            return self._open_endpoint(row)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with one row, the others are to work
            advice = f"its deliveries are held until PATCH /api/webhooks/manage/{row.id} has mended it"
            log.error("endpoint.unreadable", endpoint_id=row.id, error=str(error), advice=advice)  # noqa: TRY400 - it says what to mend
            return self._out_of_use(row, f"the endpoint cannot be used: {error}")

    def _open_endpoint(self, row: Any) -> Endpoint:
        return Endpoint(
            id=row.id,
            environment_id=row.environment_id,
            url=row.url,
            description=row.description,
            types=subscribed_types(row.events),
            active=row.active,
            filter=shaping.compiled(row.filter) if row.filter else None,
            transform=shaping.compiled(row.transform) if row.transform else None,
            headers={name: self._vault.open(value.encode()) for name, value in row.headers.items()},
            signer=Signer(
                self._vault.open(row.secrets_sealed),
                row.signature,
                ends_at_s=[end_ms / 1000 for end_ms in row.old_secrets_end_at or ()],
            ),
            in_flight_max=row.max_in_flight or self._settings.endpoint_in_flight_max,
            rate_limit_per_s=row.rate_limit_per_s,
            timeout_s=row.timeout_s or self._settings.attempt_timeout_s,
            schedule_s=tuple(row.retry_schedule_s) if row.retry_schedule_s is not None else DEFAULT_SCHEDULE_S,
            retry_max_age_s=row.retry_max_age_s,
            retry_on=None if row.retry_on is None else frozenset(row.retry_on),
            ordered=row.ordering == RECIPIENT,
            batch=_batch_limits(row) if row.delivery == BATCH else None,
        )

    def _out_of_use(self, row: Any, reason: str) -> Endpoint:
        return Endpoint(
            id=row.id,
            environment_id=row.environment_id,
            url=row.url,
            description=row.description,
            types=subscribed_types(row.events),
            active=False,
            filter=None,
            transform=None,
            headers={},
            signer=Signer([generate_secret()]),  # of no use to anybody, because nothing is sent
            in_flight_max=1,
            rate_limit_per_s=None,
            timeout_s=self._settings.attempt_timeout_s,
            schedule_s=(),
            ordered=row.ordering == RECIPIENT,
            why_held=reason,
        )


def _batch_limits(row: Any) -> BatchLimits:
    wait_ms = BATCH_WAIT_MS_DEFAULT if row.batch_max_wait_ms is None else row.batch_max_wait_ms
    return BatchLimits(row.batch_max_events or BATCH_EVENTS_DEFAULT, wait_ms / 1000)
