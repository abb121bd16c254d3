"""How many rows there are of each kind, counted one by one: for small databases, and never on the hot path."""

from collections.abc import Iterable
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from app.store.tables import DELIVERED, DeliveryRow, EventRow, ReceiptRow, SourceRow, table_of

_receipt, _event, _delivery = table_of(ReceiptRow), table_of(EventRow), table_of(DeliveryRow)
_source = table_of(SourceRow)


class Tally(msgspec.Struct, frozen=True):
    """Of one environment."""

    events: dict[str, int]
    """By type."""
    deliveries: dict[str, int]
    """By status."""
    receipts: dict[str, int]
    """By status."""
    delivered_again: int
    """Deliveries that arrived after they had failed at first."""


async def tally(engine: AsyncEngine, environment_id: int) -> Tally:
    """Walks through everything."""
    mine = _event.c.environment_id == environment_id
    owed = _delivery.join(_event, _event.c.id == _delivery.c.event_id)
    received = _receipt.join(_source, _source.c.id == _receipt.c.source_id)
    retried = _delivery.c.attempts > 1, _delivery.c.status == DELIVERED
    again = sa.select(sa.func.count()).select_from(owed).where(mine, *retried)
    async with engine.connect() as connection:
        return Tally(
            events=_sorted(await connection.execute(_grouped(_event.c.type, _event, mine))),
            deliveries=_sorted(await connection.execute(_grouped(_delivery.c.status, owed, mine))),
            receipts=_sorted(
                await connection.execute(
                    _grouped(_receipt.c.status, received, _source.c.environment_id == environment_id)
                )
            ),
            delivered_again=(await connection.execute(again)).scalar_one(),
        )


def _grouped(by: sa.ColumnElement[str], rows: sa.FromClause, which: sa.ColumnElement[bool]) -> sa.Select[str, int]:
    return sa.select(by, sa.func.count()).select_from(rows).where(which).group_by(by)


def _sorted(rows: Iterable[Any]) -> dict[str, int]:
    return dict(sorted((row[0], row[1]) for row in rows))
