"""What verbs are given: arguments of the form NAME=VALUE, and what stands in where nothing is given."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import rich_click as click

RECIPIENT = "ann@example.com"
"""Whom simulated events are about, unless somebody is named."""


def given_texts(pairs: Iterable[str]) -> dict[str, str | list[str]]:
    """The texts by name; a name given twice has a list. A text that begins with @ is read from that file."""
    found: dict[str, str | list[str]] = {}
    for name, text in map(_split, pairs):
        value = _file(text[1:]) if text.startswith("@") else text
        found[name] = _with(found.get(name), value)
    return found


def given_values(pairs: Iterable[str]) -> dict[str, Any]:
    """As `given_texts`, where a value that begins with [ or { is JSON."""
    return {name: _value(text) for name, text in given_texts(pairs).items()}


def _split(pair: str) -> tuple[str, str]:
    name, equals, value = pair.partition("=")
    if not equals or not name:
        raise click.BadParameter(f"'{pair}' is not of the form NAME=VALUE")
    return name, value


def _with(before: str | list[str] | None, value: str) -> str | list[str]:
    if before is None:
        return value
    return [*before, value] if isinstance(before, list) else [before, value]


def _file(path: str) -> str:
    try:
        return Path(path).read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise click.BadParameter(f"{path} cannot be read: {error}") from error


def _value(text: str | list[str]) -> Any:
    if isinstance(text, list) or not text.startswith(("[", "{")):
        return text
    try:
        return json.loads(text)
    except ValueError as error:
        raise click.BadParameter(f"'{text}' begins like JSON and is none: {error}") from error
