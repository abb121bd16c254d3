"""From a mapping file to an `Adapter`: reads every key, refuses what is wrong, compiles the rest once.

`docs/mappings.md` explains the language to those who write mappings. In short: the file says how the body is
decoded and verified, how the events of one request are found (`each`), what names their type (`native_type`), what the
native types mean (`types`) and where each unified field stands (`fields`). Where a provider has several payload
formats, `variants` gives each its own `when`; what a variant does not say it takes from the top of the file.
"""

import re
from collections.abc import Mapping, Sequence

from adapters.adapter import Adapter
from adapters.conditions import check_choices, check_condition
from adapters.decoders import DECODERS
from adapters.fields import Read, expressed, read_expression, read_value
from adapters.handshake import Handshake
from adapters.mapping_file import Place, parse
from adapters.naming import named_keys
from adapters.options import read_options
from adapters.reader import Ignore, Reader
from adapters.rules import Format, Rule, extended, read_rules
from adapters.samples import MEDIA_TYPES, Samples, native_name
from adapters.tables import Table, Tables, read_tables
from adapters.verification import read_verification
from adapters.writing import compiled

READER_KEYS = ("each", "ignore", "native_type", "recipients", "dedup", "fields", "types", "unknown", "unused")
FILE_KEYS = (
    "provider",
    "title",
    "documentation",
    "console",
    "recognize",
    "decode",
    "verify",
    "api_key",
    "options",
    "refused_status",
    "busy_status",
    "methods",
    "handshake",
    "tables",
    "variants",
    "samples",
    *READER_KEYS,
)
_NAME = re.compile(r"[a-z][a-z0-9_]*", re.ASCII)
METHODS = ("POST", "GET", "HEAD", "OPTIONS")
HANDSHAKE_KEYS = ("method", "when", "status", "headers", "body", "confirm")
IGNORE_KEYS = ("when", "because")
SAMPLE_KEYS = ("events", "envelope", "batches", "body", "headers")


def load_mapping(text: str, file: str) -> Adapter:
    """The adapter that the mapping `text` declares. `file` names it in errors; raises `MappingInvalid`."""
    root = parse(text, file)
    parts = root.section(FILE_KEYS)
    for key in ("provider", "verify"):
        if key not in parts:
            raise root.invalid(
                f"the key '{key}' is missing" + ("; say `verify: none` to trust every request" * (key == "verify"))
            )
    provider = _name(parts["provider"])
    tables = read_tables(parts.get("tables"))
    readers = _readers(parts, root, provider, tables)
    handshakes = [_handshake(item, tables) for item in parts["handshake"].items()] if "handshake" in parts else []
    _refuse_unused(parts.get("tables"), tables)
    options = read_options(parts.get("options"))
    return Adapter(
        name=provider,
        title=parts["title"].text() if "title" in parts else provider,
        documentation=[url.text() for url in parts["documentation"].items()] if "documentation" in parts else [],
        console=[step.text() for step in parts["console"].items()] if "console" in parts else [],
        decoders=[kind.one_of(DECODERS) for kind in parts["decode"].items()] if "decode" in parts else ["json"],
        verification=read_verification(parts["verify"], "api_key" in parts and parts["api_key"].flag(), options),
        refused_status=_status(parts.get("refused_status"), 401),
        busy_status=_status(parts.get("busy_status"), 503),
        recognize=read_expression(parts["recognize"]) if "recognize" in parts else None,
        readers=readers,
        samples=_samples(parts.get("samples"), readers),
        methods=[method.one_of(METHODS) for method in parts["methods"].items()] if "methods" in parts else ["POST"],
        handshakes=handshakes,
        options=options,
    )


def _name(place: Place) -> str:
    """Of the provider; it is part of URLs, and the name of the file."""
    if not _NAME.fullmatch(place.text()):
        raise place.invalid("a name of lower-case letters, digits and _ is needed here, beginning with a letter")
    return place.text()


def _refuse_unused(place: Place | None, tables: Tables) -> None:
    for name, table in place.entries().items() if place else ():
        if name not in tables.asked:
            raise table.invalid(f"nothing asks this table: read it by {{table: {name}, of: …}}, or remove it")


def _handshake(place: Place, tables: Mapping[str, Table]) -> Handshake:
    parts = place.section(HANDSHAKE_KEYS)
    if not parts.keys() & {"method", "when"}:
        raise place.invalid("needs `method` or `when`, to tell it from the requests that carry events")
    if "when" in parts:
        check_condition(parts["when"], "this handshake", None)
    headers = parts["headers"].entries() if "headers" in parts else {}
    return Handshake(
        method=parts["method"].one_of(METHODS) if "method" in parts else "POST",
        when=read_expression(parts["when"]) if "when" in parts else None,
        status=_status(parts.get("status"), 200, lowest=200),
        headers={name: compiled(read_value(value, tables), "header") for name, value in headers.items()},
        body=compiled(read_value(parts["body"], tables), "body") if "body" in parts else None,
        confirm=read_expression(parts["confirm"]) if "confirm" in parts else None,
    )


def _status(place: Place | None, default: int, *, lowest: int = 400) -> int:
    if place is None:
        return default
    if not lowest <= place.whole() <= 599:
        raise place.invalid(f"an HTTP status from {lowest} to 599 is needed here")
    return place.whole()


def _readers(parts: Mapping[str, Place], root: Place, provider: str, tables: Mapping[str, Table]) -> list[Reader]:
    common = {key: parts[key] for key in (*READER_KEYS, "verify") if key in parts}
    if "variants" not in parts:
        return [_reader(root, provider, None, common, {}, tables)]
    variants = list(parts["variants"].entries().values())
    if not variants:
        raise parts["variants"].invalid("at least one variant is needed")
    sections = [variant.section(("when", *READER_KEYS)) for variant in variants]
    check_choices(variants, "variant")
    return [
        _reader(place, provider, read_expression(own["when"]) if "when" in own else None, common, own, tables)
        for place, own in zip(variants, sections, strict=True)
    ]


def _reader(
    place: Place,
    provider: str,
    when: Read | None,
    common: Mapping[str, Place],
    own: Mapping[str, Place],
    tables: Mapping[str, Table],
) -> Reader:
    parts = {**common, **own}
    for key in ("native_type", "types"):
        if key not in parts:
            raise place.invalid(f"the key '{key}' is missing")
    fields = extended(extended({}, common.get("fields")), own.get("fields"))
    sources = {**(common["types"].entries() if "types" in common else {}), **parts["types"].entries()}
    if not sources:
        raise parts["types"].invalid("at least one native type is needed")
    _refuse_hidden(sources)
    shared = Format(
        provider=provider,
        tables=tables,
        dedup=[expressed(part) for part in parts["dedup"].items()] if "dedup" in parts else [],
        per_recipient="recipients" in parts,
    )
    types = {native: read_rules(rules, fields, shared) for native, rules in sources.items()}
    return Reader(
        when=when,
        each=_expressions(parts.get("each")),
        ignore=_ignore(parts.get("ignore")),
        native_type=read_expression(parts["native_type"]),
        recipients=read_expression(parts["recipients"]) if "recipients" in parts else None,
        types={native: rules for native, rules in types.items() if not native.endswith("*")},
        families={native[:-1]: rules for native, rules in types.items() if native.endswith("*")},
        unknown=_unknown(parts.get("unknown"), fields, shared),
        named=named_keys(parts, fields, sources),
    )


def _refuse_hidden(types: Mapping[str, Place]) -> None:
    """A family of types inside one that stands before it would never get an item."""
    families = [native for native in types if native.endswith("*")]
    for at, family in enumerate(families):
        wider = next((before for before in families[:at] if family.startswith(before[:-1])), None)
        if wider is not None:
            raise types[family].invalid(f"never reached: '{wider}' before it stands for these types too")


def _expressions(place: Place | None) -> tuple[Read, ...]:
    return () if place is None else tuple(read_expression(item) for item in place.items())


def _ignore(place: Place | None) -> tuple[Ignore, ...]:
    rules: list[Ignore] = []
    for item in place.items() if place else []:
        parts = item.section(IGNORE_KEYS)
        if "when" not in parts or "because" not in parts:
            raise item.invalid("needs `when` (an expression) and `because` (the reason, for readers)")
        check_condition(parts["when"], "this reason to ignore", "`types`")
        rules.append(Ignore(read_expression(parts["when"]), parts["because"].text()))
    return tuple(rules)


def _unknown(place: Place | None, fields: Mapping[str, Place], shared: Format) -> tuple[Rule, ...]:
    if place is None or place.one_of(("quarantine", "emit")) == "quarantine":
        return ()
    return (Rule("email.unknown", None, fields, shared),)


def _samples(place: Place | None, readers: Sequence[Reader]) -> Samples:
    if place is None:
        return Samples({}, None, batches=False, body="json", headers={})
    parts = place.section(SAMPLE_KEYS)
    named = [native for reader in readers for native in reader.types]
    families = tuple(start for reader in readers for start in reader.families)
    events = parts["events"].entries() if "events" in parts else {}
    for sample, item in events.items():
        native = native_name(sample, named)
        if native not in named and not native.startswith(families or ("\0",)):
            raise item.invalid(f"a sample of the native type '{native}', which `types` does not name")
    return Samples(
        events={sample: item.value() for sample, item in events.items()},
        envelope=parts["envelope"].value() if "envelope" in parts else None,
        batches="batches" in parts and parts["batches"].flag(),
        body=parts["body"].one_of(MEDIA_TYPES) if "body" in parts else "json",
        headers={name: text.text() for name, text in parts["headers"].entries().items()} if "headers" in parts else {},
    )


__all__ = ["Adapter", "load_mapping"]
