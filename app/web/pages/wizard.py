"""The way to a new source: choose the provider, tell it the URL, paste its key."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
from litestar import get, post
from litestar.response import Redirect, Template

from adapters.adapter import Adapter
from adapters.errors import UnknownProvider
from app.gateway import Gateway
from app.store.errors import NameTaken
from app.store.sources import NONE, REQUIRED
from app.web.context import gateway_of
from app.web.inbound import PATH as INBOUND_PATH
from app.web.input import fit
from app.web.pages.forms import Given, read_fields, read_filters
from app.web.pages.proofs import OPTION, asked, field_name, generated, options_in, secrets_in, told
from app.web.pages.reach import is_reachable
from app.web.pages.rendering import page, redirect
from app.web.problems import AnyRequest, FieldError, Problem, not_found
from app.web.sources import SourceNew, add_source, all_sources

TYPES_OFFERED = ("delivered", "bounced", "deferred", "complaint", "open", "click", "unsubscribe", "received")


class WizardQuery(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What is looked for, or what was chosen."""

    q: str = ""
    provider: str = ""
    name: str = ""


class Offer(NamedTuple):
    """One provider in the list."""

    adapter: Adapter
    proof: str
    types: Sequence[str]
    sources: int


@get("/sources/new")
async def show_wizard(request: AnyRequest) -> Template:
    """The providers there are; of one that was chosen, what it takes."""
    query = read_filters(request, WizardQuery)
    if not query.provider:
        return await _choosing(request, query.q)
    adapter = _adapter(gateway_of(request), query.provider)
    name = query.name or _free_name(adapter.name, [source.name for source in await all_sources(request)])
    return _form(request, adapter, name, generated(adapter), {})


@post("/sources/new")
async def make_source(request: AnyRequest) -> Template | Redirect:
    """The source, and on to its first event; or the form again, with what is wrong beside each field."""
    fields = await read_fields(request)
    adapter = _adapter(gateway_of(request), fields.get("provider", ""))
    name, secrets = fields.get("name", "").strip(), secrets_in(fields)
    wanted = {
        "name": name,
        "provider": adapter.name,
        "secrets": secrets,
        "options": options_in(fields, adapter),
        "verification": NONE if fields.get("verification") == NONE else REQUIRED,
    }
    try:
        made = await add_source(request, fit(wanted, SourceNew))
    except NameTaken as taken:
        return _form(request, adapter, name, secrets, fields, [FieldError("name", str(taken))])
    except Problem as problem:
        if not problem.errors:
            raise
        return _form(request, adapter, name, secrets, fields, problem.errors)
    return redirect(request, f"/sources/{made.name}/waiting", f"The source {made.name} is there.")


async def _choosing(request: AnyRequest, looked_for: str) -> Template:
    gateway = gateway_of(request)
    present = [source.provider for source in await all_sources(request)]
    offers = [_offer(adapter, present) for adapter in await asyncio.to_thread(gateway.catalog.all)]
    words = looked_for.lower().split()
    found = [offer for offer in offers if all(word in _searched(offer) for word in words)]
    return page(request, "wizard_providers.html", offers=found, given=Given(request))


def _form(
    request: AnyRequest,
    adapter: Adapter,
    name: str,
    secrets: Mapping[str, str],
    fields: Mapping[str, Any],
    errors: Sequence[FieldError] = (),
) -> Template:
    base_url = gateway_of(request).settings.base_url
    to_tell = told(adapter, f"{base_url}{INBOUND_PATH}")
    return page(
        request,
        "wizard_source.html",
        status=422 if errors else 200,
        adapter=adapter,
        name=name,
        asked=asked(adapter),
        secrets=secrets,
        options={name.removeprefix(OPTION): text for name, text in fields.items() if name.startswith(OPTION)},
        unverified=fields.get("verification") == NONE,
        chosen_by_us=bool(generated(adapter)),
        to_tell=to_tell,
        told=to_tell.filled(name, secrets),
        reachable=is_reachable(base_url),
        wrong={field_name(error.field): error.message for error in errors},
    )


def _adapter(gateway: Gateway, provider: str) -> Adapter:
    try:
        return gateway.catalog.get(provider)
    except UnknownProvider as unknown:
        raise not_found("provider", provider[:100]) from unknown


def _free_name(wanted: str, taken: Sequence[str]) -> str:
    names = (wanted, *(f"{wanted}-{number}" for number in range(2, len(taken) + 3)))
    return next(name for name in names if name not in taken)


def _offer(adapter: Adapter, present: Sequence[str]) -> Offer:
    unified = {unified for native in adapter.native_types for unified in adapter.unified_types(native)}
    types = [name for name in TYPES_OFFERED if f"email.{name}" in unified]
    return Offer(adapter, ". ".join(_proofs(adapter)), types, present.count(adapter.name))


def _proofs(adapter: Adapter) -> Iterator[str]:
    names = {name for name, _ in adapter.secret_names}
    if names & {"signing_secret", "public_key"} or adapter.verification.by_topic:
        yield "Signs its requests"
    elif adapter.signs:
        yield "Sends a password or token"
    if adapter.accepts_api_key:
        yield "Takes API keys"
    if not adapter.signs and not adapter.accepts_api_key:
        yield "Proves nothing"


def _searched(offer: Offer) -> str:
    return f"{offer.adapter.name} {offer.adapter.title} {offer.proof} {' '.join(offer.types)}".lower()


WIZARD = [show_wizard, make_source]
