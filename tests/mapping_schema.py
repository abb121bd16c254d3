"""The JSON Schema of mapping files, made of the loader's own tables; `python -m tests.mapping_schema` writes it.

Editors check a mapping with it while it is written. It knows the keys, the words and the shape of every value; what is
inside an expression, and whether tables and options that are named exist, only the loader knows.
"""

import json
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from adapters.decoders import DECODERS
from adapters.events import BLOCKS, MESSAGE_TYPES
from adapters.fields import FORMS
from adapters.grammar import SOURCE_CHARACTERS_MAX
from adapters.mapping import FILE_KEYS, HANDSHAKE_KEYS, IGNORE_KEYS, METHODS, READER_KEYS, SAMPLE_KEYS
from adapters.options import OPTION_KEYS, OPTION_TYPES
from adapters.rules import FIELDS, IGNORED, RULE_KEYS
from adapters.samples import MEDIA_TYPES
from adapters.shapes import BLOCK_SHAPES
from adapters.signatures import SECRET_NAMES
from adapters.signatures.encodings import ENCODINGS
from adapters.signatures.public_key import RSA_HASHES
from adapters.signatures.shared_secret import ALGORITHMS, KEY_FORMS
from adapters.times import UNITS
from adapters.timestamps import TIME_KEYS

FILE = Path(__file__).parents[1] / "docs" / "mapping.schema.json"

Schema = dict[str, Any]

MEANINGS = {
    "provider": "The name of the provider, and of the file without its .yaml.",
    "title": "How the provider writes its name.",
    "documentation": "Pages of the provider about its webhooks.",
    "console": "What is to be done in the provider's own pages, step by step, so that it posts to a source.",
    "recognize": "An expression over the body: whether a request looks like one of this provider's.",
    "decode": "The form of the body, or several that are tried in turn; json when it is left out.",
    "verify": "How a request proves that the provider sent it: one scheme, a list of them, or none.",
    "api_key": "True when one of the gateway's own API keys is proof enough.",
    "options": "What a source may be told besides its secrets.",
    "refused_status": "The HTTP status for a request that is not authentic; 401 when it is left out.",
    "busy_status": "The HTTP status that makes the provider try again; 503 when it is left out.",
    "methods": "The HTTP methods by which events come; POST when it is left out.",
    "handshake": "Requests that carry no events but try the URL, and what they are answered.",
    "tables": "Words for other words, used by {table: …, of: …}. The case of the keys does not count.",
    "variants": "Several payload formats, tried in turn; each may have every key of a format.",
    "samples": "Native events with placeholders, for `mailweir trigger` and `mailweir mappings check`.",
    "each": "Where the events of one request are; several expressions go deeper step by step.",
    "ignore": "Events to leave out before their type is looked at.",
    "native_type": "The provider's name of the event's type.",
    "recipients": "A list in the event; each of its elements becomes an event of its own.",
    "dedup": "What stays equal when the provider sends the same event again; the whole event when it is left out.",
    "fields": "Where each unified field stands.",
    "types": "What each native type means; a name that ends in * stands for all that begin so.",
    "unknown": "What becomes of native types that are not named: quarantine (the default) or emit.",
    "unused": "Keys of the events that are known and of no use, so that they do not count as new.",
}
"""What every key of a file is for, in one line."""

TEXT: Schema = {"type": "string", "minLength": 1}
FLAG: Schema = {"type": "boolean"}
ANYTHING: Schema = {}


def schema() -> Schema:
    """The whole of it."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A Mailweir mapping: how one provider's webhooks are verified and read",
        "description": "Explained in docs/mappings.md.",
        **_section({key: _ref(key) for key in FILE_KEYS}, required=("provider", "verify")),
        "$defs": {
            **{key: {"description": meaning, **_FILE[key]} for key, meaning in MEANINGS.items()},
            "expression": _EXPRESSION,
            "value": _value(),
            "time": _time(),
            "rule": _rule(),
            "variant": _section({key: _ref(key) for key in READER_KEYS} | {"when": _ref("expression")}),
            "place": _place(),
            "scheme": {"anyOf": [_ref(f"scheme_{name}") for name in SCHEME_KEYS]},
            **{f"scheme_{name}": _scheme(name, keys) for name, keys in SCHEME_KEYS.items()},
        },
    }


def _ref(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}


def _words(words: Iterable[str]) -> Schema:
    return {"enum": [*words]}


def _one_or_more(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "array", "items": schema, "minItems": 1}]}


def _section(properties: Mapping[str, Schema], required: Collection[str] = ()) -> Schema:
    """An object with these keys and no others."""
    section: Schema = {"type": "object", "properties": {**properties}, "additionalProperties": False}
    return section | ({"required": [*required]} if required else {})


def _named(value: Schema) -> Schema:
    """An object whose keys are the author's own."""
    return {"type": "object", "additionalProperties": value}


_EXPRESSION: Schema = {
    "description": "JMESPath with the gateway's functions; a constant is written {const: …}.",
    "type": "string",
    "minLength": 1,
    "maxLength": SOURCE_CHARACTERS_MAX,
    "not": {"enum": ["true", "false", "null"]},
}


def _value() -> Schema:
    """One of the forms of `adapters.fields`."""
    contents: dict[str, Schema] = {
        "const": ANYTHING,
        "table": TEXT,
        "of": _ref("value"),
        "rest": _one_or_more(TEXT),
        "merge": _one_or_more(_ref("value")),
        "object": _named(_ref("value")),
    }
    forms = [_section({key: contents[key] for key in keys}, required=_needed(keys)) for keys in FORMS.values()]
    return {"anyOf": [_ref("expression"), {"type": "array", "items": _ref("value"), "minItems": 1}, *forms]}


def _needed(keys: tuple[str, ...]) -> tuple[str, ...]:
    return keys if keys[0] == "table" else keys[:1]


def _time() -> Schema:
    contents = {
        "time": _ref("expression"),
        "unit": _words(UNITS),
        "zone": TEXT | {"description": "UTC, an offset such as +02:00, or an IANA name; for times without a zone."},
        "format": TEXT | {"description": "rfc2822, or a pattern of strptime."},
        "or_received": FLAG | {"description": "True: when there is no time, the moment of receipt."},
    }
    section = _section({key: contents[key] for key in TIME_KEYS})
    section["anyOf"] = [{"required": ["time"]}, {"required": ["or_received"]}]
    return {"anyOf": [_ref("expression"), section]}


def _fields() -> Schema:
    blocks = {block: _block(block) for block in BLOCKS}
    return _section(
        {field: blocks.get(field) or _ref("value") for field in FIELDS} | {"timestamp": _one_or_more(_ref("time"))}
    )


def _block(block: str) -> Schema:
    return _section(
        {field: _ref("value") for field in BLOCK_SHAPES[block]}, required=("class",) if block == "bounce" else ()
    )


def _rule() -> Schema:
    types = _words((*MESSAGE_TYPES, IGNORED))
    contents = {"when": _ref("expression"), "type": types, "fields": _ref("fields")}
    return {"anyOf": [types, _section({key: contents[key] for key in RULE_KEYS}, required=("type",))]}


def _place() -> Schema:
    """Where a text stands in the request."""
    places = [("header",), ("query",), ("path", "last"), ("field",)]
    contents = {"header": TEXT, "query": TEXT, "path": TEXT, "last": FLAG, "field": TEXT}
    return {"anyOf": [_section({key: contents[key] for key in keys}, required=keys[:1]) for keys in places]}


_AT: dict[str, Schema] = {"header": TEXT, "query": TEXT, "path": TEXT, "last": FLAG, "field": TEXT}
_SECONDS: Schema = {"anyOf": [{"type": "number", "minimum": 0}, {"const": "unlimited"}]}
_SIGNED: dict[str, Schema] = {
    "secret": _words(SECRET_NAMES),
    "signed": {
        "description": "What the signature covers, one part after the other.",
        "type": "array",
        "minItems": 1,
        "items": {"anyOf": [TEXT, _ref("place"), _section({"text": TEXT}, required=("text",))]},
    },
    "signature": {
        "description": "Where the signature stands and how it is written.",
        **_section(
            _AT
            | {
                "encoding": _words(ENCODINGS),
                "prefix": TEXT,
                "separator": TEXT,
                "fields_separator": TEXT,
                "url_decode": FLAG,
                "case": _words(("lower", "any")),
            }
        ),
    },
    "timestamp": {
        "description": "When the request was signed, and how far that may be from now.",
        **_section(
            _AT
            | {"unit": _words(("s", "ms")), "tolerance_s": _SECONDS, "past_s": _SECONDS, "future_s": _SECONDS}
            | {"repeated": _ref("place")}
        ),
    },
    "once": {"description": "A token that the provider uses for one request only.", **_ref("place")},
}
_SETUP = _section({"secret": TEXT, "path": TEXT, "text": TEXT}, required=("secret", "path", "text"))
SCHEME_KEYS: dict[str, dict[str, Schema]] = {
    "hmac": _SIGNED
    | {
        "algorithm": _words(ALGORITHMS),
        "key": _words(KEY_FORMS),
        "construction": _words(("hmac", "digest")),
        "setup": _SETUP,
    },
    "ecdsa": _SIGNED,
    "ed25519": _SIGNED | {"key": _words(("base64", "whpk"))},
    "rsa": _SIGNED | {"algorithm": _words(RSA_HASHES)},
    "basic": {"secret": _words(SECRET_NAMES)},
    "token": {
        "secret": _words(SECRET_NAMES),
        "prefix": TEXT,
        "header": TEXT,
        "query": TEXT,
        "path": TEXT,
        "last": FLAG,
    },
    "networks": {"published": {"type": "array", "items": TEXT, "minItems": 1}},
    "any_of": {"schemes": {"type": "array", "items": _ref("scheme"), "minItems": 1}},
    "sns": {
        "certificates": {"type": "array", "items": TEXT, "minItems": 1},
        "confirmation_hosts": {"type": "array", "items": TEXT, "minItems": 1},
    },
}
_REQUIRED = {
    "any_of": ("schemes",),
    "sns": ("certificates", "confirmation_hosts"),
    "basic": (),
    "token": (),
    "networks": (),
}


def _scheme(name: str, keys: dict[str, Schema]) -> Schema:
    required = ("scheme", *_REQUIRED.get(name, ("signed", "signature")))
    return _section({"scheme": {"const": name}, **keys}, required=required)


def _handshake() -> Schema:
    contents = {
        "method": _words(METHODS),
        "when": _ref("expression"),
        "status": {"type": "integer", "minimum": 200, "maximum": 599},
        "headers": _named(_ref("value")),
        "body": _ref("value"),
        "confirm": _ref("expression"),
    }
    return _section({key: contents[key] for key in HANDSHAKE_KEYS}) | {
        "anyOf": [{"required": ["method"]}, {"required": ["when"]}]
    }


def _options() -> Schema:
    contents = {"type": _words(OPTION_TYPES), "meaning": TEXT}
    return _named(_section({key: contents[key] for key in OPTION_KEYS}, required=OPTION_KEYS))


def _ignore() -> Schema:
    contents = {"when": _ref("expression"), "because": TEXT}
    return _one_or_more(_section({key: contents[key] for key in IGNORE_KEYS}, required=IGNORE_KEYS))


def _samples() -> Schema:
    contents = {
        "events": {"type": "object"},
        "envelope": ANYTHING,
        "batches": FLAG,
        "body": _words(MEDIA_TYPES),
        "headers": _named(TEXT),
    }
    return _section({key: contents[key] for key in SAMPLE_KEYS})


_STATUS: Schema = {"type": "integer", "minimum": 400, "maximum": 599}
_FILE: dict[str, Schema] = {
    "provider": {"type": "string", "pattern": "^[a-z][a-z0-9_]*$"},
    "title": TEXT,
    "documentation": _one_or_more(TEXT),
    "console": _one_or_more(TEXT),
    "recognize": _ref("expression"),
    "decode": _one_or_more(_words(DECODERS)),
    "verify": {"anyOf": [{"const": "none"}, *_one_or_more(_ref("scheme"))["anyOf"]]},
    "api_key": FLAG,
    "options": _options(),
    "refused_status": _STATUS,
    "busy_status": _STATUS,
    "methods": _one_or_more(_words(METHODS)),
    "handshake": _one_or_more(_handshake()),
    "tables": _named({"type": "object"}),
    "variants": {"type": "object", "minProperties": 1, "additionalProperties": _ref("variant")},
    "samples": _samples(),
    "each": _one_or_more(_ref("expression")),
    "ignore": _ignore(),
    "native_type": _ref("expression"),
    "recipients": _ref("expression"),
    "dedup": _one_or_more(_ref("expression")),
    "fields": _fields(),
    "types": _named(_one_or_more(_ref("rule"))),
    "unknown": _words(("quarantine", "emit")),
    "unused": _one_or_more(TEXT),
}


def text() -> str:
    """The file's contents."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FILE.write_text(text(), "utf-8")
