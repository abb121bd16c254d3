"""What a source brought that its mapping does not name: `GET /api/sources/{name}/drift`."""

import msgspec
from litestar import Router, get
from litestar.params import FromPath

from adapters.adapter import Adapter
from adapters.errors import UnknownProvider
from app.gateway import Gateway
from app.store import drift, sources
from app.store.drift import DriftLine
from app.web.context import ApiRequest, gateway_of, principal_of
from app.web.problems import AnyRequest, not_found
from app.web.sources import NAME


class DriftShown(DriftLine, frozen=True, kw_only=True):
    """A type or key that the mapping did not name when it came."""

    named: bool
    """Whether the mapping in force names it now."""


class DriftList(msgspec.Struct):
    """Everything that was found at one source, what came last first."""

    data: list[DriftShown]


@get("/{name:str}/drift", operation_id="listDrift")
async def list_drift(request: ApiRequest, name: FromPath[str]) -> DriftList:
    """List the native types and keys that the mapping did not name."""
    return DriftList(await drift_of(request, name))


DRIFT = Router("/sources", route_handlers=[list_drift], tags=["Sources"])


async def drift_of(request: AnyRequest, name: str) -> list[DriftShown]:
    """What the source brought that its mapping did not name, what came last first. Raises Problem 404."""
    gateway, environment_id = gateway_of(request), principal_of(request).environment_id
    source = None
    if NAME.fullmatch(name):
        source = await sources.get_source(gateway.engine, gateway.vault, environment_id, name)
    if source is None:
        raise not_found("source", name[:100])
    await gateway.drifts.write()
    lines = await drift.list_drift(gateway.engine, environment_id, name)
    adapter = _adapter(gateway, source.provider)
    return [DriftShown(**msgspec.structs.asdict(line), named=_is_named(adapter, line)) for line in lines]


def _adapter(gateway: Gateway, provider: str) -> Adapter | None:
    try:
        return gateway.catalog.get(provider)
    except UnknownProvider:
        return None


def _is_named(adapter: Adapter | None, line: DriftLine) -> bool:
    if adapter is None:
        return False
    return adapter.names_type(line.name) if line.kind == drift.TYPE else adapter.names_key(line.name)
