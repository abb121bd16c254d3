"""Sources: the list, and one with its state, its proofs, what came lately and what nobody names."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from litestar import get, post
from litestar.params import FromPath
from litestar.response import Redirect, Template

from adapters.adapter import Adapter
from adapters.errors import UnknownProvider
from adapters.events import iso_millis
from app.figures import SourceFigures, added_up, source_figures
from app.redaction import FIELDS
from app.store import stats
from app.store.rollups import HOUR_MS, SOURCE
from app.store.sources import NONE, REQUIRED, UNREADABLE
from app.web.context import gateway_of, principal_of
from app.web.drift import drift_of
from app.web.input import fit
from app.web.pages.charts import Bar
from app.web.pages.forms import read_fields
from app.web.pages.proofs import OPTION, asked, field_name, option_text, options_in, secrets_in
from app.web.pages.rendering import page, redirect
from app.web.pages.tiles import RANGES
from app.web.problems import AnyRequest, FieldError, Problem
from app.web.receipts import ReceiptQuery, receipts_of
from app.web.sources import Source, SourcePatch, all_sources, alter_source, found_source, remove_source

DAY_MS = 24 * HOUR_MS
RECENT_SHOWN = 10
DRIFT_SHOWN = 50
STATUSES = ("accepted", "duplicate", "quarantined", "rejected")
TONES = {"accepted": "good", "duplicate": "plain", "quarantined": "warn", "rejected": "bad"}
NO_FIGURES = source_figures({})


class SourceLine(NamedTuple):
    """One source in the list."""

    source: Source
    last_at: str | None
    figures: SourceFigures
    """Of the last 24 hours."""


class State(NamedTuple):
    """How a source stands: a tone, a sentence and what there is to do."""

    tone: str
    says: str
    advice: str = ""


@get("/sources")
async def show_sources(request: AnyRequest) -> Template:
    """The sources by name, with what came in the last 24 hours."""
    gateway, environment_id = gateway_of(request), principal_of(request).environment_id
    now = gateway.clock.ms()
    sources = await all_sources(request)
    counts = await gateway.tallies.totals(environment_id, SOURCE, RANGES["24h"].starts(now))
    heard = await stats.last_heard(gateway.engine, environment_id)
    numbers = {source.name: source.id for source in gateway.registry.sources()}
    lines = [
        SourceLine(
            source,
            _heard_at(heard.get(numbers.get(source.name, 0)), now),
            source_figures(counts.get(numbers.get(source.name, 0), {})),
        )
        for source in sources
    ]
    return page(request, "sources.html", lines=lines)


@get("/sources/{name:str}")
async def show_source(request: AnyRequest, name: FromPath[str]) -> Template:
    """One source with all that belongs to it."""
    return await _shown(request, await found_source(request, name), {}, ())


@post("/sources/{name:str}/change")
async def change_source(request: AnyRequest, name: FromPath[str]) -> Template | Redirect:
    """The source with other secrets, options, proof or redaction; secrets that were left empty stay."""
    source, fields = await found_source(request, name), await read_fields(request)
    adapter = _adapter(request, source.provider)
    wanted: dict[str, Any] = {
        "secrets": _changed_secrets(source, fields),
        "verification": NONE if fields.get("verification") == NONE else REQUIRED,
        "redact": fields.get("redact", "").replace(",", " ").split(),
    }
    if adapter is not None:
        wanted["options"] = options_in(fields, adapter)
    try:
        await alter_source(request, source.name, fit(wanted, SourcePatch))
    except Problem as problem:
        if not problem.errors:
            raise
        return await _shown(request, source, fields, problem.errors)
    return redirect(request, f"/sources/{source.name}", "The change is in force.")


@get("/sources/{name:str}/delete")
async def ask_to_delete(request: AnyRequest, name: FromPath[str]) -> Template:
    """What deleting the source would mean, and the button."""
    return page(request, "source_delete.html", source=await found_source(request, name))


@post("/sources/{name:str}/delete")
async def delete_source(request: AnyRequest, name: FromPath[str]) -> Redirect:
    """Takes the source away."""
    await remove_source(request, name)
    return redirect(request, "/sources", f"The source {name} is deleted. What it brought stays in the log.")


async def _shown(
    request: AnyRequest, source: Source, fields: Mapping[str, str], errors: Sequence[FieldError]
) -> Template:
    adapter = _adapter(request, source.provider)
    figures, bars = await _figures(request, source)
    drift = await drift_of(request, source.name)
    options = {name: option_text(value) for name, value in source.options.items()}
    options |= {name.removeprefix(OPTION): text for name, text in fields.items() if name.startswith(OPTION)}
    return page(
        request,
        "source.html",
        status=422 if errors else 200,
        source=source,
        adapter=adapter,
        asked=asked(adapter) if adapter else None,
        state=_state(request, source, adapter, figures),
        figures=figures,
        bars=bars,
        statuses=STATUSES,
        tones=[TONES[status] for status in STATUSES],
        recent=await receipts_of(request, ReceiptQuery(source=source.name, limit=RECENT_SHOWN)),
        unnamed=[line for line in drift if not line.named][:DRIFT_SHOWN],
        named_since=sum(line.named for line in drift),
        options=options,
        redact=fields.get("redact", ", ".join(source.redact)),
        redactable=[*FIELDS, "metadata.KEY"],
        unverified=(fields.get("verification", "") if fields else source.verification) == NONE,
        secrets=secrets_in(fields),
        wrong={field_name(error.field): error.message for error in errors},
    )


async def _figures(request: AnyRequest, source: Source) -> tuple[SourceFigures, list[Bar]]:
    """What came in the last 24 hours, and by the hour."""
    gateway, environment_id = gateway_of(request), principal_of(request).environment_id
    kept = gateway.registry.source(source.name)
    if kept is None:
        return NO_FIGURES, []
    until = (gateway.clock.ms() // HOUR_MS + 1) * HOUR_MS
    since = until - DAY_MS
    came = await stats.counts_by_bucket(gateway.engine, environment_id, SOURCE, since, until, HOUR_MS, kept.id)
    bars = [_bar(at, came.get(at, {})) for at in range(since, until, HOUR_MS)]
    return source_figures(added_up(came)), bars


def _bar(at: int, counts: Mapping[str, int]) -> Bar:
    return Bar(f"{iso_millis(at)[11:16]} UTC", [counts.get(f"receipt.{status}", 0) for status in STATUSES])


def _state(request: AnyRequest, source: Source, adapter: Adapter | None, figures: SourceFigures) -> State:
    if adapter is None:
        advice = f"Bring {source.provider}.yaml back to MAILWEIR_MAPPINGS_DIR; the provider is told to try again."
        return State("bad", "Its mapping is gone, so nothing can be taken in.", advice)
    if UNREADABLE in source.secrets:
        advice = "Give MAILWEIR_SECRET_KEY its former value, or set the secrets anew below."
        return State("bad", "Its secrets cannot be opened, so nothing can be taken in.", advice)
    if mistake := gateway_of(request).mapping_files.broken.get(source.provider):
        place = f"{mistake.file}:{mistake.line}" if mistake.line else mistake.file
        return State("warn", "Its mapping's file is broken; the one from before is in force.", f"{place}: {mistake}")
    receipts = figures.receipts
    if not receipts:
        return State("plain", "Nothing has come in the last 24 hours.", "Test it: the page tells what to check.")
    if receipts.get("rejected", 0) == sum(receipts.values()):
        return State("bad", "All of the last day was rejected: the proof is wrong.", "Replace the key below.")
    if receipts.get("quarantined", 0):
        advice = "Mend the mapping in the playground, then read the quarantined ones again."
        return State("warn", "It works, and some of the last day could not be read.", advice)
    if source.verification == NONE:
        return State("warn", "It works, and takes requests that prove nothing.", "Ask for a proof below if you can.")
    return State("good", "It works: what comes is authentic and is read.")


def _changed_secrets(source: Source, fields: Mapping[str, str]) -> dict[str, Any]:
    """New values, and None for those that were ticked to be removed."""
    removed = {name: None for name in source.secrets if f"remove.{name}" in fields}
    return {**removed, **secrets_in(fields)}


def _adapter(request: AnyRequest, provider: str) -> Adapter | None:
    try:
        return gateway_of(request).catalog.get(provider)
    except UnknownProvider:
        return None


def _heard_at(end_ms: int | None, now: int) -> str | None:
    """When it was heard last: the roll-ups know the end of that minute, which may be still to come."""
    return None if end_ms is None else iso_millis(min(end_ms, now))


SOURCE_PAGES = [show_sources, show_source, change_source, ask_to_delete, delete_source]
