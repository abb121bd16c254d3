"""The providers there are: `/api/mappings`."""

import asyncio

import msgspec
from litestar import Router, get
from litestar.params import FromPath

from adapters.adapter import Adapter
from adapters.errors import MappingInvalid, UnknownProvider
from app.gateway import Gateway
from app.web.context import ApiRequest, gateway_of
from app.web.problems import not_found
from app.web.trials import try_mapping


class SecretName(msgspec.Struct):
    """A secret that a source of this provider may have."""

    name: str
    required: bool


class OptionName(msgspec.Struct):
    """What a source of this provider may be told besides its secrets."""

    name: str
    type: str
    """text, texts, flag or number."""
    meaning: str


class MappingMistake(msgspec.Struct):
    """Why a file of MAILWEIR_MAPPINGS_DIR is not in force as it is now."""

    file: str
    line: int | None
    key: str
    message: str


class Mapping(msgspec.Struct):
    """How one provider is understood."""

    provider: str
    title: str
    documentation: list[str]
    """The provider's own pages about its webhooks."""
    console: list[str]
    """What is to be done in the provider's own pages so that it posts to a source, step by step."""
    signs: bool
    """Whether a source needs a secret."""
    secrets: list[SecretName]
    options: list[OptionName]
    native_types: list[str]
    """The provider's event types that are mapped, in its words."""
    samples: list[str]
    """The native events that can be played."""
    error: MappingMistake | None
    """A mistake in its file, in spite of which this mapping is in force: it is the one from before."""


class MappingList(msgspec.Struct):
    """Every mapping: the shipped ones, and those of MAILWEIR_MAPPINGS_DIR."""

    data: list[Mapping]
    errors: list[MappingMistake]
    """Of all files that are broken now, also where no mapping of that name is in force."""


@get("/", operation_id="listMappings")
async def list_mappings(request: ApiRequest) -> MappingList:
    """List the providers."""
    gateway = gateway_of(request)
    broken = gateway.mapping_files.broken
    return MappingList(
        data=[_shown(gateway, adapter) for adapter in await asyncio.to_thread(gateway.catalog.all)],
        errors=[_mistake(broken[name]) for name in sorted(broken)],
    )


@get("/{provider:str}", operation_id="getMapping")
async def get_mapping(request: ApiRequest, provider: FromPath[str]) -> Mapping:
    """Show one provider."""
    try:
        gateway = gateway_of(request)
        return _shown(gateway, gateway.catalog.get(provider))
    except UnknownProvider as unknown:
        raise not_found("mapping", provider[:100]) from unknown


MAPPINGS = Router("/mappings", route_handlers=[list_mappings, get_mapping, try_mapping], tags=["Mappings"])


def _shown(gateway: Gateway, adapter: Adapter) -> Mapping:
    mistake = gateway.mapping_files.broken.get(adapter.name)
    return Mapping(
        provider=adapter.name,
        title=adapter.title,
        documentation=list(adapter.documentation),
        console=list(adapter.console),
        signs=adapter.signs,
        secrets=[SecretName(name, required) for name, required in adapter.secret_names],
        options=[OptionName(*option) for option in adapter.options],
        native_types=list(adapter.native_types),
        samples=list(adapter.samples),
        error=None if mistake is None else _mistake(mistake),
    )


def _mistake(mistake: MappingInvalid) -> MappingMistake:
    return MappingMistake(mistake.file, mistake.line, mistake.key, mistake.message)
