"""The providers there are: `/api/mappings`."""

import msgspec
from litestar import Router, get
from litestar.params import FromPath

from adapters.adapter import Adapter
from adapters.errors import UnknownProvider
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


class Mapping(msgspec.Struct):
    """How one provider is understood."""

    provider: str
    title: str
    documentation: list[str]
    """The provider's own pages about its webhooks."""
    signs: bool
    """Whether a source needs a secret."""
    secrets: list[SecretName]
    options: list[OptionName]
    native_types: list[str]
    """The provider's event types that are mapped, in its words."""
    samples: list[str]
    """The native events that can be played."""


class MappingList(msgspec.Struct):
    """Every mapping: the shipped ones, and those of MAILWEIR_MAPPINGS_DIR."""

    data: list[Mapping]


@get("/", operation_id="listMappings")
async def list_mappings(request: ApiRequest) -> MappingList:
    """List the providers."""
    catalog = gateway_of(request).catalog
    return MappingList([_shown(catalog.get(name)) for name in sorted(catalog.names())])


@get("/{provider:str}", operation_id="getMapping")
async def get_mapping(request: ApiRequest, provider: FromPath[str]) -> Mapping:
    """Show one provider."""
    try:
        return _shown(gateway_of(request).catalog.get(provider))
    except UnknownProvider as unknown:
        raise not_found("mapping", provider[:100]) from unknown


MAPPINGS = Router("/mappings", route_handlers=[list_mappings, get_mapping, try_mapping], tags=["Mappings"])


def _shown(adapter: Adapter) -> Mapping:
    return Mapping(
        provider=adapter.name,
        title=adapter.title,
        documentation=list(adapter.documentation),
        signs=adapter.signs,
        secrets=[SecretName(name, required) for name, required in adapter.secret_names],
        options=[OptionName(*option) for option in adapter.options],
        native_types=list(adapter.native_types),
        samples=list(adapter.samples),
    )
