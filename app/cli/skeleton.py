"""The first draft of a mapping, from a payload that somebody pasted."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from adapters.errors import MapFailed, MappingInvalid
from adapters.mapping import load_mapping
from adapters.times import time_reader
from app.cli.errors import Misconfigured
from app.cli.guesses import (
    Found,
    Items,
    Way,
    address_in,
    expression,
    find,
    find_anywhere,
    find_items,
    likely_type,
    value_at,
)
from app.cli.pasted import PAYLOAD_BYTES_MAX, Pasted
from app.cli.placeholders import samples, unit_of
from app.mapping_files import mistakes_in_samples
from app.trial import Attempted, Trial, WireRequest

ITEMS_LOOKED_AT = 50
UNUSED_MAX = 40
UNKNOWN = "email.unknown"

NAME = re.compile(r"[a-z][a-z0-9_]*")
_PLAIN_YAML = re.compile(r"(?!(?:true|false|null)$)[A-Za-z_][\w.]*", re.ASCII)
_EXAMPLE = {
    "event": "delivered",
    "id": "evt-00000001",
    "message_id": "msg-00000001",
    "email": "ann@example.com",
    "timestamp": 1_772_525_700,
}
EXAMPLE = Pasted("json", _EXAMPLE, msgspec.json.encode(_EXAMPLE))
"""What stands in for a payload where there is none."""
_COMMON = ("email_id", "message_id", "event_id", "recipient", "timestamp", "subject", "from", "tags", "metadata")
_BLOCKS = {
    "email.click": {"click": ("url",), "client": ("ip", "user_agent")},
    "email.open": {"client": ("ip", "user_agent")},
    "email.unsubscribe": {"client": ("ip", "user_agent")},
    "email.bounced": {"bounce": ("category", "smtp_code", "diagnostic")},
    "email.deferred": {"deferral": ("smtp_code", "diagnostic")},
    "email.delivered": {"delivery": ("smtp_code", "diagnostic")},
}
_CLASSES = {
    "hard": ("hard", "permanent", "invalid"),
    "soft": ("soft", "transient", "temporary", "full"),
    "block": ("block", "blocked", "spam", "policy"),
}


class Draft(NamedTuple):
    """A mapping's text, and what had to be left open."""

    text: str
    missing: Sequence[str]


def draft_mapping(name: str, given: Pasted) -> Draft:
    """What can be guessed of a mapping. Raises Misconfigured for a payload in which nothing is about a message."""
    found = find_items(given.body)
    found = found._replace(items=found.items[:ITEMS_LOOKED_AT])
    if not found.items:
        raise Misconfigured("the payload holds no object; paste one as the provider posts it")
    fields = _common_fields(found)
    if not fields.keys() & {"recipient", "email_id", "message_id"}:
        raise Misconfigured("the payload has neither an address nor a message's id, so it is not about a message")
    mapping = "\n".join(
        (_head(name, given.decode), _items(given, found, fields), _fields(fields), _types(found, fields))
    )
    parts = (mapping, _unused(found, mapping), samples(given, found, fields, _words(found)))
    missing = [field for field in ("recipient", "email_id", "timestamp") if field not in fields]
    return Draft("\n".join(filter(None, parts)), [*missing, *([] if found.type else ["native_type"])])


def mistake_in(text: str, path: Path, raw: bytes) -> str | None:
    """Why the draft is not sound yet, or does not read the payload it was made of."""
    try:
        adapter = load_mapping(text, str(path))
    except MappingInvalid as mistake:
        return str(mistake)
    if mistakes := mistakes_in_samples(adapter, str(path)):
        return str(mistakes[0])
    trial = Trial(adapter, body_bytes_max=PAYLOAD_BYTES_MAX)
    tried = trial.read(Attempted(request=WireRequest(body_b64=raw)))
    return tried.quarantined[0].reason if tried.quarantined else tried.error


def _common_fields(found: Items) -> dict[str, Found]:
    """Where each field stands: in the first item that has it. No place is used for two fields."""
    fields: dict[str, Found] = {}
    taken = [found.type.path] if found.type else []
    for field in _COMMON:
        place = _first(found, field, [*taken, *_kept_for_others(found, field, taken)])
        if place is not None:
            fields[field] = place
            taken.append(place.path)
    for field in _COMMON:
        if field not in fields and (place := find_anywhere(found.items[0], field, without=taken)):
            fields[field] = place
            taken.append(place.path)
    return fields


def _first(found: Items, field: str, without: Sequence[Way]) -> Found | None:
    return next((place for item in found.items if (place := find(item, field, without=without))), None)


def _kept_for_others(found: Items, field: str, taken: Sequence[Way]) -> list[Way]:
    """An id of RFC 5322, "<…@…>", is no id of the provider's own."""
    message_id = _first(found, "message_id", taken) if field == "email_id" else None
    return [message_id.path] if message_id else []


def _head(name: str, decode: str) -> str:
    return f"""\
# A first draft, guessed from one payload: compare it with the provider's documentation, then go through
# `mailweir mappings try {name}.yaml payload.json` and `mailweir mappings check {name}.yaml`.
provider: {name}
title: {name.replace("_", " ").title()}
decode: {decode}

# Credentials in the URL (https://user:password@…), which nearly every provider can send. Most sign as well:
#   scheme: hmac
#   signed: [raw_body]
#   signature: {{header: x-signature, encoding: hex}}
verify:
  scheme: basic
"""


def _items(given: Pasted, found: Items, fields: Mapping[str, Found]) -> str:
    lines = list[str]()
    if found.path or given.field:
        lines.append(f"each: {_yaml(expression(found.path, of=given.field and f'json({expression((given.field,))})'))}")
    if found.type is None:
        lines += ["# Nothing in the payload looks like a type: put an expression here.", "native_type: \"'event'\""]
    else:
        lines.append(f"native_type: {_yaml(expression(found.type.path))}")
    if "event_id" in fields:
        told = [found.type, fields["event_id"], fields.get("timestamp")]
        lines.append("# What stays the same when the provider sends an event again; without this line, the whole item.")
        lines.append("# Where the id is the event's own, and not the message's, it alone is enough.")
        lines.append(f"dedup: [{', '.join(_yaml(expression(place.path)) for place in told if place)}]")
    return "\n".join(lines) + "\n"


def _fields(fields: Mapping[str, Found]) -> str:
    lines = ["fields:"]
    for name, place in fields.items():
        lines.append(f"  {name}: {_time(place) if name == 'timestamp' else _reader(name, place)}")
    if "timestamp" not in fields:
        lines.append("  timestamp: {or_received: true}        # no time was found in the payload")
    return "\n".join(lines) + "\n"


def _reader(name: str, place: Found) -> str:
    path = expression(place.path)
    if name == "recipient" and (isinstance(place.value, list) or address_in(place.value) != place.value):
        return _yaml(f"addresses({path})[0]")
    if name == "tags" and isinstance(place.value, str) and "," in place.value:
        return _yaml(f"csv({path})")
    return _yaml(path)


def _time(place: Found) -> str:
    path, value = _yaml(expression(place.path)), place.value
    try:
        moment_ms = time_reader()(value)
    except MapFailed as mistake:
        if "without a zone" in str(mistake):
            return f"{{time: {path}, zone: UTC}}        # the zone is a guess"
        return f"{{time: {path}, format: rfc2822}}"
    unit = unit_of(value, moment_ms)
    return f"{{time: {path}, unit: {unit}}}" if unit else path


def _words(found: Items) -> dict[str, Mapping[str, Any]]:
    """Each native type of the payload and the first item of that type."""
    words: dict[str, Mapping[str, Any]] = {}
    for item in found.items:
        word = value_at(item, found.type.path) if found.type else "event"
        if isinstance(word, str):
            words.setdefault(word, item)
    return words


def _types(found: Items, fields: Mapping[str, Found]) -> str:
    lines = ["# What is not named here is quarantined, and listed by `mailweir sources drift`.", "types:"]
    taken = [place.path for place in fields.values()] + ([found.type.path] if found.type else [])
    tables = False
    for word, item in _words(found).items():
        type_ = likely_type(word)
        if type_ is None:
            lines.append(f"  {_yaml(word)}: {UNKNOWN}        # not a word that is known: choose the type")
            continue
        blocks = dict(_blocks(type_, word, item, taken))
        tables |= any("bounce_classes" in block for block in blocks.values())
        if not blocks:
            lines.append(f"  {_yaml(word)}: {type_}")
            continue
        lines += [f"  {_yaml(word)}:", f"    type: {type_}", "    fields:"]
        lines += [f"      {name}: {{{block}}}" for name, block in blocks.items()]
    return "\n".join(lines) + "\n" + (_tables() if tables else "")


def _blocks(type_: str, word: str, item: Mapping[str, Any], taken: Sequence[Way]) -> Iterator[tuple[str, str]]:
    for block, names in _BLOCKS.get(type_, {}).items():
        found = {name: find(item, name, without=taken) or find_anywhere(item, name, without=taken) for name in names}
        places = {name: place for name, place in found.items() if place}
        parts = [f"{name}: {_yaml(expression(place.path))}" for name, place in places.items()]
        if block == "bounce":
            parts.insert(0, f"class: {_class(word, places.get('category'))}")
        if parts:
            yield block, ", ".join(parts)


def _class(word: str, category: Found | None) -> str:
    for class_, hints in _CLASSES.items():
        if any(hint in word.lower() for hint in hints):
            return f"{{const: {class_}}}"
    return f"{{table: bounce_classes, of: {_yaml(expression(category.path))}}}" if category else "{const: unknown}"


def _tables() -> str:
    pairs = [f"{hint}: {class_}" for class_, hints in _CLASSES.items() for hint in hints]
    return f"\ntables:\n  bounce_classes: {{{', '.join(pairs)}, default: unknown}}\n"


def _unused(found: Items, mapping: str) -> str:
    """The keys that the draft does not read, so that what comes later is seen as new."""
    try:
        adapter = load_mapping(mapping, "draft")
    except MappingInvalid:
        return ""
    rest = [key for key in dict.fromkeys(key for item in found.items for key in item) if not adapter.names_key(key)]
    if not rest:
        return ""
    listed = "\n".join(f"  - {_yaml(key)}" for key in rest[:UNUSED_MAX])
    return f"# Keys of no use so far. Any that is neither read nor listed counts as new.\nunused:\n{listed}\n"


def _yaml(text: str) -> str:
    """An expression, a word or a key as YAML reads it back, also between brackets."""
    return text if _PLAIN_YAML.fullmatch(text) else _quoted(text)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'" if text.isprintable() else msgspec.json.encode(text).decode()
