"""The examples of a page about mappings: each a YAML block, perhaps with what it is given and what it makes of that."""

import json
import re
from typing import Any, NamedTuple

import msgspec

from adapters.events import iso_millis
from adapters.reader import MappedEvent

_LEFT_OUT = {
    "provider": "provider: acme\n",
    "verify": "verify: none\n",
    "native_type": "native_type: event\n",
    "fields": "fields: {recipient: to, timestamp: at}\n",
    "types": "types: {sent: email.sent}\n",
}
_BLOCK = re.compile(r"^```(yaml|json)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Example(NamedTuple):
    """One example, `line` being where its mapping begins on the page."""

    line: int
    mapping: str
    body: Any
    events: list[dict[str, Any]] | None
    """Those parts of the events that the page shows; None where it shows none."""


def examples(page: str) -> list[Example]:
    """A YAML block that two JSON blocks follow shows a body and its events."""
    found: list[Example] = []
    blocks = [(match[1], match[2], page[: match.start()].count("\n") + 2) for match in _BLOCK.finditer(page)]
    for at, (language, text, line) in enumerate(blocks):
        if language == "yaml":
            following = [following[:2] for following in blocks[at + 1 : at + 3]]
            shown = (
                [json.loads(content) for kind, content in following if kind == "json"] if len(following) == 2 else []
            )
            body, events = shown if len(shown) == 2 else (None, None)
            found.append(Example(line, text, body, events))
    return found


def completed(example: str) -> str:
    """The whole mapping: with what examples leave out."""
    given = set(re.findall(r"^(\w+):", example, re.MULTILINE))
    if "variants" in given:
        given.add("native_type")
    return example + "".join(text for key, text in _LEFT_OUT.items() if key not in given)


def shown(event: MappedEvent) -> dict[str, Any]:
    """The event as a page shows it."""
    return {"type": event.type, "timestamp": iso_millis(event.timestamp_ms), "data": msgspec.to_builtins(event.data)}


def assert_has(found: Any, expected: Any) -> None:
    """Everything in `expected` is in `found`; objects may have more."""
    if isinstance(expected, dict):
        for key, value in expected.items():
            assert key in found, key
            assert_has(found[key], value)
    elif isinstance(expected, list) and any(isinstance(item, dict) for item in expected):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert_has(one, other)
    else:
        assert found == expected
