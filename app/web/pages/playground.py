"""The playground: a native request, a mapping in YAML, and what the mapping makes of it, while it is written."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import msgspec
from litestar import get, post
from litestar.response import Template
from msgspec import Meta

from adapters.catalog import mapping_text
from adapters.errors import MappingInvalid, UnknownProvider
from app.comparing import Comparison, compare_on_recent
from app.gateway import Gateway
from app.sandbox import FILE, TrialTooLarge
from app.trial import Tried, WireRequest
from app.web.context import gateway_of, principal_of
from app.web.input import fit
from app.web.pages.forms import read_filters, read_form
from app.web.pages.rendering import page
from app.web.problems import AnyRequest, FieldError, Problem, not_found
from app.web.receipts import found_receipt
from app.web.trials import MAPPING_CHARACTERS_MAX, MistakeInMapping, TryMapping, tried

BODY_SHOWN_MAX = 60_000
"""Characters of a receipt's body in the form; a longer one is taken from the receipt when it is tried."""
BODY_CHARACTERS_MAX = 1_000_000
HEADERS_CHARACTERS_MAX = 50_000
LINES_AROUND = 2

START = """provider: acme
verify: none
native_type: event
fields:
  recipient: to
  timestamp: at
types:
  sent: email.sent
"""
START_BODY = """{"event": "sent", "to": "ann@example.com", "at": 1767225600}"""


class PlaygroundQuery(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Whose mapping is the start, and which receipt is the request."""

    provider: str = ""
    receipt: str = ""


class PlaygroundForm(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What is tried."""

    mapping: Annotated[str, Meta(max_length=MAPPING_CHARACTERS_MAX * 2)] = START
    body: Annotated[str, Meta(max_length=BODY_CHARACTERS_MAX)] = ""
    headers: Annotated[str, Meta(max_length=HEADERS_CHARACTERS_MAX)] = ""
    method: Literal["POST", "GET"] = "POST"
    query: Annotated[str, Meta(max_length=10_000)] = ""
    provider: Annotated[str, Meta(max_length=100)] = ""
    receipt: Annotated[str, Meta(max_length=100)] = ""
    action: Literal["try", "compare"] = "try"


class Mistake(msgspec.Struct, frozen=True):
    """What is wrong with the mapping, and the lines around it."""

    message: str
    line: int | None = None
    key: str = ""
    excerpt: str = ""


class Result(msgspec.Struct, frozen=True):
    """What came of it: one of the three."""

    tried: Tried | None = None
    mistake: Mistake | None = None
    comparison: Comparison | None = None

    @property
    def events(self) -> list[str]:
        """Each event as subscribers would receive it, indented."""
        if self.tried is None:
            return []
        return [msgspec.json.format(msgspec.json.encode(event), indent=2).decode() for event in self.tried.events]


@get("/playground")
async def show_playground(request: AnyRequest) -> Template:
    """The form, with a provider's mapping and a receipt's request where they were asked for."""
    query = read_filters(request, PlaygroundQuery)
    form = await _of_receipt(request, query.receipt) if query.receipt else PlaygroundForm(body=START_BODY)
    provider = query.provider or form.provider
    if provider:
        form = msgspec.structs.replace(form, provider=provider, mapping=_mapping_of(gateway_of(request), provider))
        if not query.receipt:
            form = msgspec.structs.replace(form, body="")
    return _shown(request, form, Result())


@post("/playground")
async def play(request: AnyRequest) -> Template:
    """The same page with what came of it; modules take the result out of it while somebody types."""
    form = await read_form(request, PlaygroundForm)
    form = msgspec.structs.replace(form, mapping=_lines(form.mapping), body=_lines(form.body))
    if form.action == "compare":
        return _shown(request, form, await _compared(request, form))
    return _shown(request, form, await _tried(request, form))


async def _tried(request: AnyRequest, form: PlaygroundForm) -> Result:
    body = form.body
    if form.receipt and not body:
        body = (await found_receipt(request, form.receipt)).request.body
    native = WireRequest(
        method=form.method,
        path="/api/webhooks/playground",
        query=form.query or None,
        headers=_headers(form.headers),
        body=body,
    )
    try:
        wanted = fit({"mapping": form.mapping, "request": msgspec.to_builtins(native)}, TryMapping)
        return Result(tried=await tried(gateway_of(request), wanted))
    except Problem as refused:
        if not refused.errors:
            raise
        return Result(mistake=_mistake(refused.errors, form.mapping))


async def _compared(request: AnyRequest, form: PlaygroundForm) -> Result:
    gateway = gateway_of(request)
    try:
        adapter = gateway.catalog.get(form.provider)
        comparison = await compare_on_recent(
            gateway.engine,
            principal_of(request).environment_id,
            adapter,
            form.mapping,
            body_bytes_max=gateway.settings.body_bytes_max,
        )
    except UnknownProvider:
        return Result(mistake=Mistake("Choose the provider whose receipts are to be read."))
    except MappingInvalid as mistake:
        wrong = MistakeInMapping(FILE, mistake.message, line=mistake.line, key=mistake.key)
        return Result(mistake=_mistake([wrong], form.mapping))
    except TrialTooLarge as refused:
        return Result(mistake=Mistake(f"The trial was ended: {refused}."))
    return Result(comparison=comparison)


def _mistake(errors: Sequence[FieldError], mapping: str) -> Mistake:
    first = errors[0]
    if not isinstance(first, MistakeInMapping) or first.line is None:
        return Mistake(first.message, key=first.key if isinstance(first, MistakeInMapping) else "")
    lines = mapping.split("\n")
    around = range(max(first.line - 1 - LINES_AROUND, 0), min(first.line + LINES_AROUND, len(lines)))
    excerpt = "\n".join(f"{'→' if at == first.line - 1 else ' '} {at + 1:>4}  {lines[at]}" for at in around)
    return Mistake(first.message, first.line, first.key, excerpt)


async def _of_receipt(request: AnyRequest, receipt_id: str) -> PlaygroundForm:
    found = await found_receipt(request, receipt_id)
    headers = msgspec.json.decode(found.request.headers, type=dict[str, str])
    return PlaygroundForm(
        body=found.request.body if len(found.request.body) <= BODY_SHOWN_MAX else "",
        headers="\n".join(f"{name}: {text}" for name, text in headers.items()),
        method="GET" if found.request.method == "GET" else "POST",
        query=urlsplit(found.request.url).query,
        provider=found.receipt.provider,
        receipt=found.receipt.id,
    )


def _mapping_of(gateway: Gateway, provider: str) -> str:
    try:
        text = mapping_text(provider, gateway.settings.mappings_dir)
    except MappingInvalid:
        text = None
    if text is None:
        raise not_found("mapping", provider[:100])
    return text


def _shown(request: AnyRequest, form: PlaygroundForm, result: Result) -> Template:
    shown: dict[str, Any] = {
        "form": form,
        "result": result,
        "providers": gateway_of(request).catalog.names(),
        "body_is_elsewhere": bool(form.receipt) and not form.body,
    }
    return page(request, "playground.html", **shown)


def _headers(text: str) -> dict[str, str]:
    pairs = (line.partition(":") for line in text.splitlines())
    return {name.strip(): value.strip() for name, colon, value in pairs if colon and name.strip()}


def _lines(text: str) -> str:
    """As it was written: forms send line ends as CR LF."""
    return text.replace("\r\n", "\n")


PLAYGROUND = [show_playground, play]
