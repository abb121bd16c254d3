"""The provider accounts that post to us: `/api/sources`."""

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import msgspec
from litestar import Router, delete, get, patch, post
from litestar.params import FromPath
from msgspec import UNSET, Meta, UnsetType

from adapters.adapter import Adapter
from adapters.errors import UnknownProvider
from adapters.signatures.networks import NETWORKS_OPTION
from app.gateway import Gateway
from app.redaction import FIELDS, WORDS_MAX, unknown_words
from app.store import sources
from app.store.sources import NONE, NewSource, SourceChange
from app.web.complaints import closest
from app.web.context import ApiRequest, gateway_of, principal_of
from app.web.inbound import PATH as INBOUND_PATH
from app.web.inbound import RESERVED_NAMES
from app.web.input import read_body
from app.web.problems import AnyRequest, FieldError, invalid, not_found

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
SECRETS_PER_NAME_MAX = 5
PAGE_NAMES = frozenset({"new"})
"""Names that no source may have, because they are pages of the dashboard."""

SecretText = Annotated[str, Meta(min_length=1, max_length=10_000)]
SecretTexts = SecretText | Annotated[list[SecretText], Meta(max_length=SECRETS_PER_NAME_MAX)]
Verification = Annotated[
    Literal["required", "none"], Meta(description="none takes requests that prove nothing; only where they cannot.")
]
Redact = Annotated[
    list[Annotated[str, Meta(min_length=1, max_length=200)]],
    Meta(
        max_length=WORDS_MAX,
        description=f"What is taken out before anything is stored: {', '.join(FIELDS)}, metadata.KEY.",
    ),
]
Options = Annotated[dict[str, Any], Meta(description="What is not secret, such as the topic_arns of ses.")]


class SourceNew(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A source to be added."""

    name: Annotated[
        str,
        Meta(
            description="Part of the URL: small letters, digits, - and _.",
            examples=["prod"],
            extra_json_schema={"pattern": f"^{NAME.pattern}$"},
        ),
    ]
    provider: Annotated[str, Meta(description="One of GET /api/mappings.", examples=["resend"])]
    secrets: Annotated[dict[str, SecretTexts], Meta(description="A list while a secret rotates.")] = {}
    options: Options = {}
    verification: Verification = "required"
    redact: Redact = []


class SourcePatch(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What may be changed; secrets one by one (null removes one), options as a whole."""

    secrets: dict[str, SecretTexts | None] | UnsetType = UNSET
    options: Options | UnsetType = UNSET
    verification: Verification | UnsetType = UNSET
    redact: Redact | UnsetType = UNSET


class Source(sources.Source, frozen=True, kw_only=True):
    """A source; of its secrets it is told only which are set."""

    url: str
    """What the provider is to post to."""


class SourceList(msgspec.Struct):
    """Every source of the environment, by name."""

    data: list[Source]


@get("/", operation_id="listSources")
async def list_sources(request: ApiRequest) -> SourceList:
    """List the sources."""
    return SourceList(await all_sources(request))


@post("/", operation_id="createSource", opt={"body": SourceNew, "fails": [409]})
async def create_source(request: ApiRequest) -> Source:
    """Add a source. Its provider may post to `url` at once."""
    return await add_source(request, await read_body(request, SourceNew))


@get("/{name:str}", operation_id="getSource")
async def get_source(request: ApiRequest, name: FromPath[str]) -> Source:
    """Show one source."""
    return await found_source(request, name)


@patch("/{name:str}", operation_id="changeSource", opt={"body": SourcePatch})
async def change_source(request: ApiRequest, name: FromPath[str]) -> Source:
    """Change secrets, options, verification or what is redacted; a source's name and provider stay."""
    return await alter_source(request, name, await read_body(request, SourcePatch))


@delete("/{name:str}", operation_id="deleteSource")
async def delete_source(request: ApiRequest, name: FromPath[str]) -> None:
    """Take a source away: its requests are answered 404 from now on. What it brought stays in the log."""
    await remove_source(request, name)


SOURCES = Router(
    "/sources",
    route_handlers=[list_sources, create_source, get_source, change_source, delete_source],
    tags=["Sources"],
)


async def all_sources(request: AnyRequest) -> list[Source]:
    """The sources of the caller's environment, by name."""
    gateway = gateway_of(request)
    rows = await sources.list_sources(gateway.engine, gateway.vault, principal_of(request).environment_id)
    return [_shown(gateway, row) for row in rows]


async def found_source(request: AnyRequest, name: str) -> Source:
    """The source. Raises Problem 404."""
    return _shown(gateway_of(request), await _found(request, name))


async def add_source(request: AnyRequest, wanted: SourceNew) -> Source:
    """A new source, in force at once. Raises Problem 422, and NameTaken."""
    gateway = gateway_of(request)
    new = NewSource(
        name=wanted.name,
        provider=wanted.provider,
        secrets=_listed(wanted.secrets),
        options=wanted.options,
        verification=wanted.verification,
        redact=wanted.redact,
    )
    _check_new(gateway, new)
    environment_id = principal_of(request).environment_id
    made = await sources.create_source(gateway.engine, gateway.vault, environment_id, new, gateway.clock.now())
    await gateway.registry.reload()
    return _shown(gateway, made)


async def alter_source(request: AnyRequest, name: str, wanted: SourcePatch) -> Source:
    """The source as it is after the change, which is in force at once. Raises Problem 404 and 422."""
    gateway, environment_id = gateway_of(request), principal_of(request).environment_id
    present = await _found(request, name)
    change = SourceChange(
        secrets=UNSET if wanted.secrets is UNSET else _listed(wanted.secrets),
        options=wanted.options,
        verification=wanted.verification,
        redact=wanted.redact,
    )
    kept = await sources.source_secrets(gateway.engine, gateway.vault, environment_id, name) or {}
    _check_change(gateway, present, sources.changed_secrets(kept, change.secrets or {}), change)
    changed = await sources.change_source(
        gateway.engine, gateway.vault, environment_id, name, change, gateway.clock.now()
    )
    if changed is None:
        raise not_found("source", name)
    await gateway.registry.reload()
    return _shown(gateway, changed)


async def remove_source(request: AnyRequest, name: str) -> None:
    """Takes the source away. Raises Problem 404."""
    gateway = gateway_of(request)
    present = await _found(request, name)
    environment_id = principal_of(request).environment_id
    await sources.delete_source(gateway.engine, gateway.vault, environment_id, present.name, gateway.clock.now())
    await gateway.registry.reload()


async def _found(request: AnyRequest, name: str) -> sources.Source:
    gateway = gateway_of(request)
    environment_id = principal_of(request).environment_id
    found = (
        await sources.get_source(gateway.engine, gateway.vault, environment_id, name) if NAME.fullmatch(name) else None
    )
    if found is None:
        raise not_found("source", name)
    return found


def _shown(gateway: Gateway, source: sources.Source) -> Source:
    url = f"{gateway.settings.base_url}{INBOUND_PATH}/{source.name}"
    return Source(**msgspec.structs.asdict(source), url=url)


def _listed(secrets: Mapping[str, Any]) -> dict[str, Any]:
    """Every secret as a list; None (to be removed) stays None."""
    return {name: [value] if isinstance(value, str) else value for name, value in secrets.items()}


def _check_new(gateway: Gateway, new: NewSource) -> None:
    errors = list[FieldError]()
    if not NAME.fullmatch(new.name):
        message = "a name has 1 to 63 small letters, digits, - and _, and begins with a letter or digit."
        errors.append(FieldError("name", message))
    elif new.name in RESERVED_NAMES | PAGE_NAMES:
        errors.append(FieldError("name", f'"{new.name}" is a path of ours; choose another name.'))
    try:
        errors += _check_proofs(gateway.catalog.get(new.provider), new.secrets, new.options, new.verification)
    except UnknownProvider:
        near = closest(new.provider, gateway.catalog.names())
        message = f'there is no mapping "{new.provider[:100]}"{near or "; GET /api/mappings lists them."}'
        errors.append(FieldError("provider", message))
    if errors := [*errors, *_check_words(new.redact)]:
        raise invalid(errors)


def _check_words(words: Sequence[str]) -> list[FieldError]:
    known = f"{', '.join(FIELDS)} and metadata.KEY"
    return [
        FieldError("redact", f'"{word}" is nothing that can be redacted: {known} are.') for word in unknown_words(words)
    ]


def _check_change(
    gateway: Gateway, present: sources.Source, secrets: Mapping[str, Sequence[str]], change: SourceChange
) -> None:
    verification = present.verification if change.verification is UNSET else change.verification
    try:
        adapter = gateway.catalog.get(present.provider)
    except UnknownProvider as unknown:
        message = f"the mapping {present.provider} is gone; bring it back to MAILWEIR_MAPPINGS_DIR first."
        raise invalid([FieldError("provider", message)]) from unknown
    options = present.options if change.options is UNSET else change.options
    errors = _check_proofs(adapter, secrets, options, verification) + _check_words(change.redact or ())
    if errors:
        raise invalid(errors)


def _check_proofs(
    adapter: Adapter, secrets: Mapping[str, Sequence[str]], options: Mapping[str, Any], verification: str
) -> list[FieldError]:
    """What is wrong with secrets and options; a source that needs no proof may lack them, but not have wrong ones."""
    if verification == NONE and adapter.verification.asks_networks and NETWORKS_OPTION in options:
        message = f'"verification": "{NONE}" takes requests from everywhere; leave this out, or let it be "required".'
        return [FieldError(f"options.{NETWORKS_OPTION}", message)]
    wrong = [("secrets", secrets, adapter.check_secrets(secrets, options))]
    wrong.append(("options", options, adapter.check_options(options, secrets)))
    return [
        FieldError(f"{field}.{name}", message)
        for field, given, found in wrong
        for name, message in found
        if verification != NONE or name in given
    ]
