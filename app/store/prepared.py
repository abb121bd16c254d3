"""Statements of the hot path, compiled once: binding each row anew would cost more than the database does."""

from collections.abc import Callable, Iterator, Sequence
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


LOOKED_UP_MAX = 256


class Lookup:
    """Rows of one parent by some of their values, up to LOOKED_UP_MAX in one call to the driver.

    The last value is repeated until there is a power of two of them, so that few texts do for all numbers of values.
    """

    def __init__(self, query: sa.Select[*tuple[Any, ...]], *, of: sa.Column[Any], among: sa.Column[Any]) -> None:
        self._query = query
        self._of = of
        self._among = among
        self._texts: dict[tuple[str, int], str] = {}

    def run(self, connection: sa.Connection, parent: Any, values: Sequence[Any]) -> Iterator[sa.Row[Any]]:
        """The rows that there are."""
        for start in range(0, len(values), LOOKED_UP_MAX):
            some = values[start : start + LOOKED_UP_MAX]
            size = 1 << (len(some) - 1).bit_length()
            dialect = connection.dialect
            text = self._texts.get((dialect.name, size)) or self._text(dialect, size)
            yield from connection.exec_driver_sql(text, (parent, *some, *[some[-1]] * (size - len(some))))

    def _text(self, dialect: sa.Dialect, size: int) -> str:
        names = [f"value_{number}" for number in range(size)]
        query = self._query.where(self._of == sa.bindparam("parent"), self._among.in_(list(map(sa.bindparam, names))))
        compiled = query.compile(dialect=dialect)
        if compiled.positiontup != ["parent", *names]:
            raise TypeError(f"the values are taken as {compiled.positiontup}")
        return self._texts.setdefault((dialect.name, size), str(compiled))


def insert_into(table: sa.Table, names: Sequence[str]) -> Prepared:
    """INSERT of whole rows; `names` are columns, in the table's order."""
    return Prepared(names, lambda _dialect: sa.insert(table))
