"""All sources and endpoints at once, for those who keep them in memory, and the versions that tell if it is stale."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from app.store.engine import lock_rows
from app.store.tables import EndpointRow, EnvironmentRow, OrganizationRow, SourceRow, table_of

_environment, _organization = table_of(EnvironmentRow), table_of(OrganizationRow)
_source, _endpoint = table_of(SourceRow), table_of(EndpointRow)

_VERSIONS = sa.select(_environment.c.id, _environment.c.config_version).order_by(_environment.c.id)
_ENVIRONMENTS = sa.select(
    _environment.c.id,
    _environment.c.public_id.label("env_id"),
    _organization.c.public_id.label("org_id"),
    _environment.c.pseudonym_key_sealed,
).join(_organization, _organization.c.id == _environment.c.organization_id)
_SOURCES = sa.select(_source).where(_source.c.deleted_at.is_(None)).order_by(_source.c.id)
_ENDPOINTS = sa.select(_endpoint).where(_endpoint.c.deleted_at.is_(None)).order_by(_endpoint.c.id)

Versions = tuple[tuple[int, int], ...]
"""(environment id, config version) of every environment."""


class Roster(NamedTuple):
    """One consistent look at the configuration: rows of environments, sources and living endpoints."""

    versions: Versions
    environments: Sequence[Any]
    sources: Sequence[Any]
    endpoints: Sequence[Any]


def read_versions(connection: sa.Connection) -> Versions:
    """The versions now; cheap enough for every commit."""
    return tuple((row[0], row[1]) for row in connection.execute(_VERSIONS))


def hold_versions(connection: sa.Connection, *, to_change: bool) -> Versions:
    """The versions, which stay so until the transaction ends; `to_change` for one that will raise them itself."""
    query = lock_rows(connection.dialect, _VERSIONS, shared=not to_change)
    return tuple((row[0], row[1]) for row in connection.execute(query))


def read_roster(connection: sa.Connection) -> Roster:
    """Everything, within the caller's transaction."""
    return Roster(
        versions=read_versions(connection),
        environments=(connection.execute(_ENVIRONMENTS)).all(),
        sources=(connection.execute(_SOURCES)).all(),
        endpoints=(connection.execute(_ENDPOINTS)).all(),
    )
