"""What verbs print: a table on a terminal, JSON Lines in a pipe or where `--json` asks for them."""

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar, cast

import msgspec
import rich_click as click
from click import get_current_context, option
from rich.console import Console
from rich.table import Table
from rich.text import Text

Row = Mapping[str, Any]
Columns = Mapping[str, str]
"""From a column's title to where its value stands in a row: "data.recipient"."""

AnyFunction = TypeVar("AnyFunction", bound=Callable[..., Any])

_WANTED = f"{__name__}.json"


def json_option(function: AnyFunction) -> AnyFunction:
    """Gives a verb the option `--json`; the functions below ask for it themselves."""
    return option(
        "--json",
        is_flag=True,
        expose_value=False,
        callback=_remember,
        help="JSON Lines, also on a terminal.",
    )(function)


def show_list(rows: Iterable[Row], columns: Columns, *, empty: str = "Nothing here.") -> None:
    """One row per line; in JSON whole rows, in the table only `columns`. `empty` says what to do about no rows."""
    if wants_json():
        for row in rows:
            show_json(row)
        return
    table = Table(*columns, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(*(_cell(_at(row, path)) for path in columns.values()))
    if table.row_count:
        Console().print(table)
    else:
        click.echo(empty)


class Rows:
    """Rows as they come, one line each: in JSON whole, for people `columns`, whose widths are beside their places."""

    def __init__(self, columns: Mapping[str, tuple[str, int]]) -> None:
        self._columns = columns
        if not wants_json():
            self._print({title: title for title in columns}, {title: title for title in columns}, style="bold")

    def show(self, row: Row, whole: Any = None) -> None:
        """One row; `whole` is the JSON to show in its place."""
        if wants_json():
            show_json(row if whole is None else whole)
        else:
            self._print(row, {title: path for title, (path, _) in self._columns.items()})

    def _print(self, row: Row, paths: Columns, style: str = "") -> None:
        line = Text(style=style)
        for title, (_, width) in self._columns.items():
            cell = _cell(_at(row, paths[title]))
            cell.truncate(width, overflow="ellipsis", pad=True)
            line.append_text(cell).append("  ")
        line.rstrip()
        Console().print(line, soft_wrap=True)


def show_one(row: Row) -> None:
    """One thing whole: a line of JSON, or a table of its fields."""
    if wants_json():
        show_json(row)
        return
    table = Table.grid("field", "value", padding=(0, 2))
    for path, value in _fields(row):
        table.add_row(Text(path, style="bold"), _cell(value))
    Console().print(table)


def say(sentence: str) -> None:
    """A sentence for people: never among the JSON of a pipe, which gets it on standard error."""
    click.echo(sentence, err=wants_json())


def wants_json() -> bool:
    """Whether a program reads the output, or `--json` was given."""
    context = get_current_context(silent=True)
    return not sys.stdout.isatty() or (context is not None and bool(context.meta.get(_WANTED)))


def show_json(value: Any) -> None:
    """One line of JSON."""
    click.echo(msgspec.json.encode(value))


def _remember(context: click.Context, _parameter: click.Parameter, value: bool) -> None:
    context.meta[_WANTED] = value


def _at(row: Any, path: str) -> Any:
    for step in path.split("."):
        row = cast("Row", row).get(step) if isinstance(row, Mapping) else None
    return row


def _fields(row: Row, before: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in row.items():
        if isinstance(value, Mapping) and value:
            yield from _fields(cast("Row", value), f"{before}{name}.")
        else:
            yield before + name, value


def _cell(value: Any) -> Text:
    """Text as it is, whatever it holds: nothing in it is markup, and no control character reaches the terminal."""
    return Text("".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in _as_text(value)))


def _as_text(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case str():
            return value
        case list() if all(isinstance(item, str) for item in cast("list[Any]", value)):
            return ", ".join(cast("list[str]", value))
        case _:
            return msgspec.json.encode(value).decode()
