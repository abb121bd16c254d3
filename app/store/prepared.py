"""Statements of the hot path, compiled once: binding each row anew would cost more than the database does."""

from collections.abc import Callable, Sequence
from typing import Any

import sqlalchemy as sa


class Prepared:
    """One statement, run for many rows in one call to the driver.

    `build` gives the statement for a dialect. Rows are tuples in the order in which `names` stand in its text; their
    values go to the driver as they are, times as milliseconds.
    """

    def __init__(self, names: Sequence[str], build: Callable[[sa.Dialect], sa.UpdateBase]) -> None:
        self._names = list(names)
        self._build = build
        self._texts: dict[str, str] = {}

    def run(self, connection: sa.Connection, rows: Sequence[tuple[Any, ...]]) -> int:
        """How many rows were written; -1 where the driver does not count."""
        if not rows:
            return 0
        dialect = connection.dialect
        text = self._texts.get(dialect.name) or self._text(dialect)
        return connection.exec_driver_sql(text, list(rows)).rowcount

    def _text(self, dialect: sa.Dialect) -> str:
        compiled = self._build(dialect).compile(dialect=dialect, column_keys=self._names)
        if compiled.positiontup != self._names:
            raise TypeError(f"give the values as {compiled.positiontup}, not as {self._names}")
        return self._texts.setdefault(dialect.name, str(compiled))


def insert_into(table: sa.Table, names: Sequence[str]) -> Prepared:
    """INSERT of whole rows; `names` are columns, in the table's order."""
    return Prepared(names, lambda _dialect: sa.insert(table))
