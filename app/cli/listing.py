"""What the verbs that list the log have in common: filters as options, and how many rows."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import rich_click as click
from click import option

ROWS_DEFAULT = 50
PAGE_ROWS_MAX = 200
"""What the gateway lists at once."""

SPAN = {"since": "From this time on: 2026-03-03T08:15:00Z.", "until": "Before this time."}

AnyFunction = TypeVar("AnyFunction", bound=Callable[..., Any])


def options(meanings: Mapping[str, str]) -> Callable[[AnyFunction], AnyFunction]:
    """Options for the fields in `meanings` (name, help); all keyword arguments of the verb."""

    def give(verb: AnyFunction) -> AnyFunction:
        for name, meaning in reversed(list(meanings.items())):
            verb = option(f"--{name.replace('_', '-')}", name, help=meaning)(verb)
        return verb

    return give


def filters(meanings: Mapping[str, str]) -> Callable[[AnyFunction], AnyFunction]:
    """The same for a list, and `--limit`."""
    limit = option(
        "--limit", type=click.IntRange(min=1), default=ROWS_DEFAULT, show_default=True, help="The most rows."
    )

    def give(verb: AnyFunction) -> AnyFunction:
        return options(meanings)(limit(verb))

    return give
