"""How endpoints fare: noted in the commits that record their attempts, so that every node and every restart knows.

An endpoint that fails BREAKER_FAILURES times in a row is `failing`: it is tried by one delivery at a time, a probe, at
growing intervals, while the rest waits in the store without spending attempts. Attempts that were under way when the
state changed are recorded like all others, but of a failing endpoint only probes count: a burst of failures in one bad
second does not disable anybody. After DISABLE_FAILURES counted failures in a row it is disabled.

A change of state is news until it has been told, and a row has room for one: what comes before an untold one was told
takes its place. So whoever hears of failures hears once that they are over, also where a person ends them.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from app.retry import BREAKER_FAILURES, DISABLE_FAILURES, probe_in_s
from app.store.engine import insert_new, lock_rows, storable
from app.store.tables import EndpointHealthRow, table_of

_health = table_of(EndpointHealthRow)

FAILING, RECOVERED, DISABLED = "failing", "recovered", "disabled"
ENABLED, MOVED = "enabled", "moved"
"""Recovered by hand: a person enabled it, or gave it another URL."""


class Result(msgspec.Struct, frozen=True):
    """How one attempt went, as far as it matters to its endpoint; times are milliseconds since 1970."""

    at: int
    error: str | None
    """None when it was delivered."""
    probe: bool = False
    gone: bool = False
    """The endpoint asked never to be sent to again."""
    resume_at: int | None = None
    """The endpoint asked not to be sent to before."""

    @property
    def may_disable(self) -> bool:
        """True when the endpoint may have to be disabled after it."""
        return self.gone or self.probe


class Health(msgspec.Struct, frozen=True):
    """An endpoint's state as it is stored; times are milliseconds since 1970."""

    failures: int = 0
    failing_since: int | None = None
    resume_at: int | None = None
    news: str | None = None
    news_at: int | None = None
    reason: str | None = None

    @property
    def failing(self) -> bool:
        """True while only probes are sent."""
        return self.failures >= BREAKER_FAILURES

    @property
    def disabled(self) -> bool:
        """True when it was disabled just now."""
        return self.news == DISABLED

    @property
    def why_disabled(self) -> str:
        """In words."""
        if self.failures < DISABLE_FAILURES:
            return self.reason or ""
        return f"{self.failures} attempts in a row have failed; the last one: {self.reason}"

    @property
    def well(self) -> bool:
        """True when there is nothing to remember."""
        return self.failures == 0 and self.resume_at is None and self.news is None


WELL = Health()


def after(health: Health, results: Sequence[Result]) -> Health:
    """The state after these attempts. Pure."""
    for result in results:
        health = _after_success(health, result) if result.error is None else _after_failure(health, result)
    return health


def _after_success(health: Health, result: Result) -> Health:
    if health.failing:
        return Health(news=RECOVERED, news_at=result.at, failing_since=health.failing_since)
    return Health(news=health.news, news_at=health.news_at, failing_since=health.failing_since)


def _after_failure(health: Health, result: Result) -> Health:
    counts = result.probe or not health.failing
    failures = health.failures + counts
    changes: dict[str, Any] = {"failures": failures, "reason": result.error}
    if result.gone or (counts and failures == DISABLE_FAILURES):
        changes |= {"news": DISABLED, "news_at": result.at}
    elif counts and failures == BREAKER_FAILURES:
        changes |= {"news": FAILING, "news_at": result.at, "failing_since": result.at}
    if counts and failures >= BREAKER_FAILURES:
        changes["resume_at"] = result.at + round(probe_in_s(failures) * 1000)
    if result.resume_at is not None:
        changes["resume_at"] = max(result.resume_at, changes.get("resume_at", health.resume_at) or 0)
    return msgspec.structs.replace(health, **changes)


def note_results(connection: sa.Connection, results: Mapping[int, Sequence[Result]]) -> dict[int, Health]:
    """Notes how attempts went, by endpoint; the states that follow."""
    noted = dict[int, Health]()
    for endpoint_id in sorted(results):  # in one order, so that two nodes never wait for each other in a circle
        before = _locked(connection, endpoint_id)
        noted[endpoint_id] = after(before, results[endpoint_id])
        if noted[endpoint_id] != before:
            _store(connection, endpoint_id, noted[endpoint_id])
    return noted


def _locked(connection: sa.Connection, endpoint_id: int) -> Health:
    dialect = connection.dialect
    connection.execute(insert_new(dialect, _health, ("endpoint_id",)), {"endpoint_id": endpoint_id, "failures": 0})
    query = lock_rows(dialect, _OF_ONE, shared=False)
    return Health(*connection.execute(query, {"endpoint": endpoint_id}).one())


def _store(connection: sa.Connection, endpoint_id: int, health: Health) -> None:
    values = msgspec.structs.asdict(health) | {"reason": storable(health.reason)}
    connection.execute(sa.update(_health).where(_health.c.endpoint_id == endpoint_id).values(values))


def read_health(connection: sa.Connection) -> dict[int, Health]:
    """Of every endpoint that is not well."""
    rows = connection.execute(_UNWELL)
    return {endpoint_id: Health(*columns) for endpoint_id, *columns in rows}


async def health_of(engine: AsyncEngine, endpoint_id: int) -> Health:
    """How one endpoint fares."""
    async with engine.connect() as connection:
        row = (await connection.execute(_OF_ONE, {"endpoint": endpoint_id})).one_or_none()
    return Health(*row) if row else WELL


async def unwell(engine: AsyncEngine) -> Mapping[int, Health]:
    """Of every endpoint that is not well, of all environments."""
    async with engine.connect() as connection:
        return await connection.run_sync(read_health)


def take_probe(connection: sa.Connection, endpoint_id: int, now: int, until: int) -> bool:
    """Whether a probe of a failing endpoint is the caller's to send; no other is sent before `until`."""
    taken = connection.execute(_TAKE_PROBE, {"endpoint": endpoint_id, "now": now, "until": until})
    return taken.rowcount == 1


def probe_soon(connection: sa.Connection, endpoint_ids: Sequence[int], now: datetime) -> None:
    """Lets failing endpoints be probed at once, because a person wants something to be sent there."""
    connection.execute(_PROBE_SOON, {"endpoints": [*endpoint_ids], "now": now})


def news_told(connection: sa.Connection, endpoint_id: int, health: Health) -> bool:
    """Whether the news in `health` are still to be told; they are not any more after this."""
    told = connection.execute(_NEWS_TOLD, {"endpoint": endpoint_id, "what": health.news, "since": health.news_at})
    return told.rowcount == 1


def begin_anew(connection: sa.Connection, endpoint_id: int, how: str, at: int, *, was_disabled: bool) -> None:
    """Forgets how an endpoint fared that a person enables, or moves to another URL; `how` is ENABLED or MOVED.

    Where others were told that it fails or is disabled, or were about to be, that is news.
    """
    row = connection.execute(lock_rows(connection.dialect, _OF_ONE, shared=False), {"endpoint": endpoint_id})
    before = next((Health(*columns) for columns in row), None)
    if before is None:
        return
    if was_disabled or before.failing or before.news in (FAILING, DISABLED):
        _store(connection, endpoint_id, Health(news=how, news_at=at, failing_since=before.failing_since))
    elif before.news is not None:
        untold = Health(news=before.news, news_at=before.news_at, failing_since=before.failing_since)
        _store(connection, endpoint_id, untold)
    else:
        connection.execute(sa.delete(_health).where(_health.c.endpoint_id == endpoint_id))


def by_endpoint(results: Sequence[tuple[int, Result]]) -> dict[int, list[Result]]:
    """The results of each endpoint, in their order."""
    grouped = defaultdict[int, list[Result]](list)
    for endpoint_id, result in results:
        grouped[endpoint_id].append(result)
    return grouped


_TIMES = frozenset({"failing_since", "resume_at", "news_at"})
_STORED = [
    sa.type_coerce(_health.c[name], sa.BigInteger) if name in _TIMES else _health.c[name]
    for name in Health.__struct_fields__
]
_UNWELL = sa.select(_health.c.endpoint_id, *_STORED).where(
    sa.or_(_health.c.failures > 0, _health.c.resume_at.is_not(None), _health.c.news.is_not(None))
)
_OF_ONE = sa.select(*_STORED).where(_health.c.endpoint_id == sa.bindparam("endpoint"))
_TAKE_PROBE = (
    sa.update(_health)
    .where(
        _health.c.endpoint_id == sa.bindparam("endpoint"),
        _health.c.failures >= BREAKER_FAILURES,
        _health.c.resume_at <= sa.bindparam("now"),
    )
    .values(resume_at=sa.bindparam("until"))
)
_PROBE_SOON = (
    sa.update(_health)
    .where(_health.c.endpoint_id.in_(sa.bindparam("endpoints", expanding=True)), _health.c.failures >= BREAKER_FAILURES)
    .values(resume_at=sa.bindparam("now"))
)
_NEWS_TOLD = (
    sa.update(_health)
    .where(
        _health.c.endpoint_id == sa.bindparam("endpoint"),
        _health.c.news == sa.bindparam("what"),
        _health.c.news_at == sa.bindparam("since"),
    )
    .values(
        news=None,
        news_at=None,
        failing_since=sa.case((_health.c.failures > 0, _health.c.failing_since), else_=sa.null()),
    )
)
