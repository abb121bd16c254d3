"""Trying a mapping on a request: `POST /api/mappings/try`."""

import asyncio
from typing import Annotated

import msgspec
from litestar import post
from msgspec import UNSET, Meta, UnsetType

from adapters.errors import MappingInvalid, UnknownProvider
from app.gateway import Gateway
from app.sandbox import FILE, TrialTooLarge, try_apart
from app.trial import Attempted, Trial, Tried
from app.web.complaints import closest
from app.web.context import ApiRequest, gateway_of
from app.web.input import read_body
from app.web.problems import FieldError, invalid

MAPPING_CHARACTERS_MAX = 200_000


class TryMapping(Attempted, kw_only=True, forbid_unknown_fields=True):
    """A request, and what is to read it: a provider's mapping in force, or one that is given."""

    provider: Annotated[str, Meta(description="One of GET /api/mappings.", max_length=100)] | UnsetType = UNSET
    mapping: Annotated[str, Meta(description="YAML.", max_length=MAPPING_CHARACTERS_MAX)] | UnsetType = UNSET


class MistakeInMapping(FieldError, frozen=True, kw_only=True):
    """A mistake in the mapping that was given."""

    file: str = FILE
    line: int | None
    key: str
    """The dotted path in the mapping: "types.bounce"."""


@post("/try", operation_id="tryMapping", status_code=200, opt={"body": TryMapping})
async def try_mapping(request: ApiRequest) -> Tried:
    """Read a provider's request as the gateway would, and keep nothing of it."""
    return await tried(gateway_of(request), await read_body(request, TryMapping))


async def tried(gateway: Gateway, wanted: TryMapping) -> Tried:
    """What the mapping makes of the request. Raises Problem 422, with the place of a mistake in the mapping."""
    if (wanted.provider is UNSET) == (wanted.mapping is UNSET):
        raise invalid([FieldError("mapping", "give either this or provider.")])
    attempted = msgspec.convert(wanted, Attempted, from_attributes=True)
    if wanted.mapping is not UNSET:
        return await _try_given(gateway, wanted.mapping, attempted)
    return await _try_in_force(gateway, wanted.provider or "", attempted)


async def _try_in_force(gateway: Gateway, provider: str, attempted: Attempted) -> Tried:
    try:
        trial = Trial(gateway.catalog.get(provider), body_bytes_max=gateway.settings.body_bytes_max)
    except UnknownProvider as unknown:
        near = closest(provider, gateway.catalog.names())
        message = f'there is no mapping "{provider}"{near or "; GET /api/mappings lists them."}'
        raise invalid([FieldError("provider", message)]) from unknown
    return await asyncio.to_thread(trial.read, attempted)


async def _try_given(gateway: Gateway, mapping: str, attempted: Attempted) -> Tried:
    try:
        return await try_apart(mapping, attempted, body_bytes_max=gateway.settings.body_bytes_max)
    except MappingInvalid as mistake:
        wrong = MistakeInMapping(FILE, mistake.message, line=mistake.line, key=mistake.key)
        raise invalid([wrong]) from mistake
    except TrialTooLarge as refused:
        raise invalid([FieldError(FILE, f"the trial was ended: {refused}.")]) from refused
