"""Samples for a drafted mapping: the payload's own items, with placeholders for what is somebody's."""

import copy
from collections.abc import Mapping
from typing import Any, cast

import yaml

from adapters.errors import MapFailed
from adapters.times import time_reader
from app.cli.guesses import Found, Items, address_in, value_at
from app.cli.pasted import Pasted

_ID_PLACEHOLDERS = {"event_id": "evt-$unique", "email_id": "$unique", "message_id": "<$unique@example.com>"}


def samples(given: Pasted, found: Items, fields: Mapping[str, Found], words: Mapping[str, Mapping[str, Any]]) -> str:
    """The section `samples`: the first item of each type, which `words` has, with placeholders."""
    section: dict[str, Any] = {"batches": True} if found.listed else {}
    if given.decode == "form":
        section["body"] = "form"
    if found.path or given.field:
        envelope = _with_placeholders(_enclosed(given.body, found), found, fields)
        section["envelope"] = {given.field: envelope} if given.field else envelope
    section["events"] = {word: _with_placeholders(item, found, fields) for word, item in words.items()}
    written = yaml.safe_dump({"samples": section}, sort_keys=False, allow_unicode=True, width=110)
    return "# Played by `mailweir trigger`; go through them for what should not be published.\n" + written


def _enclosed(payload: Any, found: Items) -> Any:
    """The payload with its items taken out."""
    items = "$items" if found.listed else "$item"
    if not found.path:
        return items
    envelope = copy.deepcopy(payload)
    inner = envelope
    for step in found.path[:-1]:
        inner = inner[step]
    inner[found.path[-1]] = items
    return envelope


def _with_placeholders(value: Any, found: Items, fields: Mapping[str, Found]) -> Any:
    whole, addresses = dict[Any, str](), set[str]()
    for item in found.items:
        there = {field: value_at(item, place.path) for field, place in fields.items()}
        whole |= {there[field]: text for field, text in _ID_PLACEHOLDERS.items() if _is_telling(there.get(field))}
        if named := _time_placeholder(there.get("timestamp")):
            whole[there["timestamp"]] = named
        if address := address_in(there.get("recipient")):
            addresses.add(address)
    return _replaced(value, whole, addresses)


def _is_telling(value: Any) -> bool:
    """Whether a value is an id wherever it stands, and not a small number that stands for many things."""
    return (isinstance(value, str) and len(value) >= 6) or (type(value) is int and value > 99_999)


def _time_placeholder(value: Any) -> str | None:
    try:
        unit = unit_of(value, time_reader()(value))
    except MapFailed:
        return None
    return {"s": "$unix", "ms": "$unix_ms", None: "$iso"}.get(unit)


def _replaced(value: Any, whole: Mapping[Any, str], addresses: set[str]) -> Any:
    if isinstance(value, dict):
        native = cast("dict[str, Any]", value)
        return {key: _replaced(inner, whole, addresses) for key, inner in native.items()}
    if isinstance(value, list):
        return [_replaced(inner, whole, addresses) for inner in cast("list[Any]", value)]
    if isinstance(value, str | int | float) and not isinstance(value, bool) and value in whole:
        return whole[value]
    if isinstance(value, str):
        for address in addresses:
            value = value.replace(address, "$recipient")
    return value


def unit_of(value: Any, moment_ms: int) -> str | None:
    """The unit in which a number stands for that moment; None for a time that is no number."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    scale = number / moment_ms
    return "s" if scale < 0.01 else "ms" if scale < 10 else "us" if scale < 10_000 else "ns"
