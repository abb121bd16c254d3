import json
from typing import Any

import pytest

from adapters.adapter import Adapter
from adapters.errors import MappingInvalid
from adapters.mapping import load_mapping
from adapters.naming import EVERY, keys_read
from adapters.reader import Reading
from adapters.request import NativeRequest

ACME = """provider: acme
verify: {scheme: hmac, signed: [raw_body], signature: {path: proof.hex, encoding: hex}}
native_type: type
ignore:
  - {when: hidden, because: the provider's own test}
fields:
  recipient: [to, rcpt.address]
  timestamp: {time: at, unit: s}
  metadata: {object: {table: table_no, order: order.id}}
types:
  gone: {type: email.bounced, fields: {bounce: {class: {table: classes, of: kind}, diagnostic: reason}}}
  click: [{when: first, type: email.click}, {type: email.click}]
  account: ignored
tables: {classes: {hard: hard, default: soft}}
unused: [version]
"""
NAMED = {"proof", "type", "hidden", "to", "rcpt", "at", "table_no", "order", "kind", "reason", "first", "version"}


def _read(adapter: Adapter, *items: dict[str, Any]) -> Reading:
    body = [{"to": "ann@example.com", "at": 1_772_525_700, "type": "gone", **item} for item in items]
    return adapter.read(NativeRequest(headers={}, body=json.dumps(body).encode()), None, None, 0)


@pytest.mark.parametrize(
    ("expression", "keys"),
    [
        ("a", {"a"}),
        ("a.b.c", {"a"}),
        ('"smtp-id"', {"smtp-id"}),
        ("@.a.b", {"a"}),
        ("a || b.c && !d", {"a", "b", "d"}),
        ("a == 'x' && b < `3`", {"a", "b"}),
        ("addresses(data.to)[0].name", {"data"}),
        ("items[].x", {"items"}),
        ("items[?kind == 'x'].y | [0]", {"items"}),
        ("map(&x, list)", {"list"}),
        ("[a, b.c]", {"a", "b"}),
        ("{one: a, two: b} | one", {"a", "b"}),
        ("body().a", {"a"}),
        ("header('x-id') || recipient()", set[str]()),
        ("'constant'", set[str]()),
        ("[0].a", set[str]()),
        ("@", {EVERY}),
        ("pairs(@)", {EVERY}),
        ("*.a", {EVERY}),
        ("a || @", {"a", EVERY}),
    ],
)
def test_the_keys_that_an_expression_reads_are_known(expression: str, keys: set[str]) -> None:
    assert keys_read(expression) == keys


def test_every_key_that_a_mapping_reads_verifies_by_or_knows_to_be_of_no_use_is_named() -> None:
    adapter = load_mapping(ACME, "acme.yaml")
    assert {key for key in (*NAMED, "classes", "hard", "news", "unit") if adapter.names_key(key)} == NAMED
    assert not _read(adapter, dict.fromkeys(NAMED - {"to", "at", "type", "hidden"}, "x")).unnamed


def test_keys_and_types_that_are_not_named_are_told_with_their_item() -> None:
    reading = _read(load_mapping(ACME, "acme.yaml"), {}, {"news": 1, "more": 2}, {"type": "moved", "news": 1})
    assert [(found.index, found.native_type, list(found.keys)) for found in reading.unnamed] == [
        (1, None, ["news", "more"]),
        (2, "moved", []),
    ]
    assert reading.unnamed[0].item["more"] == 2
    assert [item.index for item in reading.quarantined] == [2]


def test_what_is_left_out_on_purpose_is_not_looked_at() -> None:
    reading = _read(load_mapping(ACME, "acme.yaml"), {"type": "account", "news": 1}, {"hidden": True, "news": 1})
    assert (reading.ignored, reading.unnamed) == (2, [])


@pytest.mark.parametrize("all_of_it", ["{rest: [to, at]}", "pairs(@)", "{merge: [order, '@']}"])
def test_a_mapping_that_takes_the_whole_item_names_every_key(all_of_it: str) -> None:
    adapter = load_mapping(ACME.replace("{object: {table: table_no, order: order.id}}", all_of_it), "acme.yaml")
    assert not _read(adapter, {"news": 1}).unnamed
    assert adapter.names_key("anything")


def test_an_emitted_unknown_type_is_an_event_and_not_named() -> None:
    adapter = load_mapping(ACME + "unknown: emit\n", "acme.yaml")
    reading = _read(adapter, {"type": "moved"})
    assert [event.type for event in reading.events] == ["email.unknown"]
    assert [found.native_type for found in reading.unnamed] == ["moved"]
    assert (adapter.names_type("moved"), adapter.names_type("gone")) == (False, True)


def test_each_format_names_its_own_keys_and_those_of_all_formats() -> None:
    variants = "variants:\n  old: {when: old, dedup: [serial]}\n  new: {fields: {email_id: id}}\n"
    old, new = load_mapping(ACME + variants, "acme.yaml"), {"serial": 1, "id": "m1"}
    assert [list(found.keys) for found in _read_one(old, {"old": 1, **new}).unnamed] == [["id"]]
    assert [list(found.keys) for found in _read_one(old, new).unnamed] == [["serial"]]


def _read_one(adapter: Adapter, item: dict[str, Any]) -> Reading:
    body = {"to": "ann@example.com", "at": 1_772_525_700, "type": "gone", **item}
    return adapter.read(NativeRequest(headers={}, body=json.dumps(body).encode()), None, None, 0)


def test_unused_keys_are_texts() -> None:
    with pytest.raises(MappingInvalid, match="unused: a text is needed"):
        load_mapping(ACME.replace("[version]", "{version: 1}"), "acme.yaml")


def test_a_star_stands_for_every_key() -> None:
    adapter = load_mapping(ACME.replace("unused: [version]", 'unused: "*"'), "acme.yaml")
    assert _read(adapter, {"received": "by mx.example.com", "x-mailer": "x"}).unnamed == []
    assert adapter.names_key("anything")
