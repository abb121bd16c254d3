"""The top-level keys of native items that a mapping names: any other is news from the provider, or gets lost.

A key counts as named when an expression of the format reads it, for whichever type that is, when it is looked at to
verify, and when `unused` lists it. Where the mapping takes the whole item, as `rest` does, or where `unused` is `*`,
every key is named.
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache

from adapters.events import BLOCKS
from adapters.fields import EXPRESSIONS_CACHED_MAX
from adapters.grammar import Node, flattened, parse
from adapters.mapping_file import Place

EVERY = "*"
"""In a set of keys: all there are."""

_WHOLE = ("identity", "current")
_CHAINS = ("subexpression", "index_expression", "pipe")
_OF_ELEMENTS = ("flatten", "projection", "filter_projection")
_NOTHING_OF_IT = ("literal", "index", "slice", "expref")
_EXPRESSION_PARTS = ("of", "merge", "time")
"""Where expressions stand in the forms of `adapters.fields` and in those of times."""


def named_keys(
    parts: Mapping[str, Place], fields: Mapping[str, Place], types: Mapping[str, Place]
) -> frozenset[str] | None:
    """The keys that one payload format names, None for every key; all its expressions have been compiled before."""
    keys = _signed_keys(parts["verify"])
    for key in ("native_type", "when", "recipients", "dedup"):
        keys |= _of_value(parts[key]) if key in parts else set()
    keys |= {key.text() for key in parts["unused"].items()} if "unused" in parts else set()
    keys |= _of_rules(parts["ignore"]) if "ignore" in parts else set()
    keys |= _of_fields(fields)
    for rules in types.values():
        keys |= _of_rules(rules)
    return None if EVERY in keys else frozenset(keys)


@lru_cache(maxsize=EXPRESSIONS_CACHED_MAX)
def keys_read(expression: str) -> frozenset[str]:
    """The keys of its input that an expression reads; `EVERY` among them where it takes the input as it is.

    `body()` counts as the input, which it is where a request carries one item.
    """
    return frozenset(_of_node(parse(expression)))


def _of_node(node: Node) -> set[str]:
    kind = node["type"]
    if kind in _CHAINS:
        return _of_chain(flattened(node, *_CHAINS))
    if kind == "field":
        return {node["value"]}
    if _is_whole(node):
        return {EVERY}
    if kind in _NOTHING_OF_IT or (kind in _OF_ELEMENTS and _is_whole(node["children"][0])):
        return set()
    if kind in _OF_ELEMENTS or kind == "value_projection":
        return _of_node(node["children"][0])
    return _union(_of_node(child) for child in node["children"])


def _of_chain(steps: list[Node]) -> set[str]:
    """The first step that goes into the input decides; what follows is about what that found."""
    inward = next((step for step in steps if not _is_whole(step)), None)
    return {EVERY} if inward is None else _of_node(inward)


def _is_whole(node: Node) -> bool:
    return node["type"] in _WHOLE or (node["type"] == "function_expression" and node["value"] == "body")


def _of_value(place: Place) -> set[str]:
    """The keys that what stands for a field reads: one of the forms of `adapters.fields`, or a time."""
    if place.is_list:
        return _union(map(_of_value, place.items()))
    if not place.is_section:
        return set(keys_read(place.text()))
    parts = place.entries()
    if "object" in parts:
        return _union(map(_of_value, parts["object"].entries().values()))
    if "rest" in parts and "of" not in parts:
        return {EVERY}
    return _union(_of_value(parts[name]) for name in _EXPRESSION_PARTS if name in parts)


def _of_fields(fields: Mapping[str, Place]) -> set[str]:
    blocks = (part for name, place in fields.items() if name in BLOCKS for part in place.entries().values())
    plain = (place for name, place in fields.items() if name not in BLOCKS)
    return _union(map(_of_value, (*blocks, *plain)))


def _of_rules(place: Place) -> set[str]:
    """Of the rules of a type, or of those that leave items out."""
    keys = set[str]()
    for rule in place.items():
        parts = rule.entries() if rule.is_section else {}
        keys |= _of_value(parts["when"]) if "when" in parts else set()
        keys |= _of_fields(parts["fields"].entries()) if "fields" in parts else set()
    return keys


def _signed_keys(place: Place) -> set[str]:
    """The keys of the body where proofs stand: `{path: signature.token}`."""
    if place.is_list:
        return _union(map(_signed_keys, place.items()))
    if not place.is_section:
        return set()
    parts = place.entries()
    own = {parts["path"].text().partition(".")[0]} if "path" in parts else set[str]()
    return own | _union(map(_signed_keys, parts.values()))


def _union(sets: Iterable[set[str]]) -> set[str]:
    return set[str]().union(*sets)
