"""Verbs that are imported when they are called, so that `--help` and a mistyped verb are answered at once."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any, NamedTuple

import rich_click as click


class Verb(NamedTuple):
    """What is known of a verb before it is imported."""

    place: str
    """Module and name: "app.cli.serve:serve"."""
    summary: str
    """Its line in `mailweir --help`."""
    panel: str
    """The heading under which it is listed."""

    def load(self) -> click.Command:
        """The verb itself."""
        module, _, name = self.place.partition(":")
        return getattr(import_module(module), name)


class LazyGroup(click.RichGroup):
    """A group that lists its verbs without importing them."""

    def __init__(self, name: str, verbs: Mapping[str, Verb], **attributes: Any) -> None:
        listed: dict[str, click.Command] = {
            verb: click.RichCommand(name=verb, help=known.summary, panel=known.panel, add_help_option=False)
            for verb, known in verbs.items()
        }
        super().__init__(name=name, commands=listed, **attributes)
        self._verbs = verbs

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  click passes it
        """The verbs in the order in which they were given, not of the alphabet."""
        return list(self._verbs)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The verb that `args` calls, imported now, and the arguments left for it."""
        name, listed, rest = super().resolve_command(ctx, args)
        return name, self._verbs[name].load() if name and listed else None, rest
