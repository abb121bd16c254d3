"""What providers send that no mapping names: native types, and keys at the top of native items, by source."""

from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from app.store.engine import insert_new
from app.store.ids import RECEIPT, public_id
from app.store.tables import DriftRow, SourceRow, table_of
from app.store.views import shown

TYPE, KEY = "type", "key"
NAMES_MAX = 200
"""How many a source may have; when there are more, the first ones stay."""

_drift, _source = table_of(DriftRow), table_of(SourceRow)
_identity = (_drift.c.source_id, _drift.c.kind, _drift.c.name)

_COUNT_UP = (
    sa.update(_drift)
    .where(*(column == sa.bindparam(f"the_{column.name}") for column in _identity))
    .values(
        count=_drift.c.count + sa.bindparam("more"),
        last_seen=sa.bindparam("now_seen"),
        receipt_id=sa.bindparam("in_receipt"),
        sample=sa.bindparam("a_sample"),
    )
)


class Drift(msgspec.Struct, kw_only=True):
    """One name that came `count` times since the last record; times are milliseconds since 1970."""

    source_id: int
    kind: str
    name: str
    count: int = 0
    first_seen: int
    last_seen: int
    receipt_id: int
    sample: str

    @property
    def identity(self) -> tuple[int, str, str]:
        return self.source_id, self.kind, self.name


class DriftLine(msgspec.Struct, frozen=True):
    """A type or key that the mapping did not name when it came."""

    kind: str
    """type or key."""
    name: str
    count: int
    first_seen: str
    last_seen: str
    receipt_id: str
    """One of the last requests that brought it."""
    sample: str
    """The value of the key there, or the item of that type; cut."""


def record_drift(connection: sa.Connection, found: Sequence[Drift]) -> None:
    """Adds what was found to what is known, within the caller's transaction."""
    known = _known(connection, {drift.source_id for drift in found})
    kept = _kept(found, known)
    if not kept:
        return
    new = [drift for drift in kept if drift.identity not in known]
    if new:
        insert = insert_new(connection.dialect, _drift, [column.name for column in _identity])
        connection.execute(insert, [{**msgspec.structs.asdict(drift), "count": 0} for drift in new])
    connection.execute(_COUNT_UP, [_counted(drift) for drift in kept])


def prune_drift(connection: sa.Connection, before: datetime) -> int:
    """Removes what was last seen before then, whose samples are pieces of requests of that age; how many rows."""
    return connection.execute(sa.delete(_drift).where(_drift.c.last_seen < before)).rowcount


async def list_drift(engine: AsyncEngine, environment_id: int, source: str) -> Sequence[DriftLine]:
    """What was found at a source of the environment, what came last first."""
    living = sa.and_(_source.c.environment_id == environment_id, _source.c.deleted_at.is_(None))
    query = (
        sa.select(_drift)
        .join(_source, _source.c.id == _drift.c.source_id)
        .where(living, _source.c.name == source)
        .order_by(_drift.c.last_seen.desc(), _drift.c.kind.desc(), _drift.c.name)
    )
    async with engine.connect() as connection:
        return [_line(row) for row in (await connection.execute(query)).mappings()]


async def recent_types(
    engine: AsyncEngine, environment_id: int, since: datetime, limit: int
) -> Mapping[int, list[str]]:
    """The native types that were met since then, by the number of the source, what came last first; `limit` in all."""
    query = (
        sa.select(_drift.c.source_id, _drift.c.name)
        .join(_source, _source.c.id == _drift.c.source_id)
        .where(_source.c.environment_id == environment_id, _drift.c.kind == TYPE, _drift.c.last_seen >= since)
        .order_by(_drift.c.last_seen.desc(), _drift.c.name)
        .limit(limit)
    )
    found: dict[int, list[str]] = {}
    async with engine.connect() as connection:
        for source_id, name in await connection.execute(query):
            found.setdefault(source_id, []).append(name)
    return found


def _known(connection: sa.Connection, source_ids: set[int]) -> set[tuple[int, str, str]]:
    rows = connection.execute(sa.select(*_identity).where(_drift.c.source_id.in_(source_ids)))
    return {(source_id, kind, name) for source_id, kind, name in rows}


def _kept(found: Sequence[Drift], known: set[tuple[int, str, str]]) -> list[Drift]:
    """What is known, and what there is room for; in one order, so that two nodes never wait for each other."""
    names = dict.fromkeys(sorted(drift.source_id for drift in found), 0)
    for source_id, _, _ in known:
        names[source_id] += 1
    kept: list[Drift] = []
    for drift in sorted(found, key=lambda drift: drift.identity):
        if drift.identity not in known:
            if names[drift.source_id] >= NAMES_MAX:
                continue
            names[drift.source_id] += 1
        kept.append(drift)
    return kept


def _counted(drift: Drift) -> dict[str, object]:
    return {
        "the_source_id": drift.source_id,
        "the_kind": drift.kind,
        "the_name": drift.name,
        "more": drift.count,
        "now_seen": drift.last_seen,
        "in_receipt": drift.receipt_id,
        "a_sample": drift.sample,
    }


def _line(row: sa.RowMapping) -> DriftLine:
    return DriftLine(
        kind=row["kind"],
        name=row["name"],
        count=row["count"],
        first_seen=shown(row["first_seen"]),
        last_seen=shown(row["last_seen"]),
        receipt_id=public_id(RECEIPT, row["receipt_id"]),
        sample=row["sample"],
    )
