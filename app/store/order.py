"""The events of one recipient in their order: of each line one delivery goes on, and the others queue behind it.

Strategy: a line is what one recipient's events owe to one endpoint that asked for order, as far as it is not finished.
At most one delivery of it is pending, sending or held: it leads. All others are `queued` and nobody looks at them, so
that a line costs the same however long it is. Whoever finishes the one that leads lets the next go, in one transaction.

On PostgreSQL one transaction might join a line while another finishes the last of it, neither seeing the other, so both
hold the line's lock. The ledger waits for the locks, but takes all that it needs at once and in their order; everybody
else only tries, and leaves to the repair what is not to be had. So nobody waits in a circle.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from hashlib import blake2b
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY

from app.erasure import FORGOTTEN
from app.store.engine import findable
from app.store.tables import LEADING, PENDING, QUEUED, DeliveryRow, check_change, table_of

_delivery = table_of(DeliveryRow)

Line = tuple[int, int]
"""An endpoint, and the digest of it and a recipient."""

DIGEST_BYTES = 8
LOCKS = 1_024
"""Lines share so many locks, because PostgreSQL has room for some thousands in all."""
_LOCKS_OF_LINES = 0x6C696E65  # "line" in ASCII, which tells them from advisory locks for other things
KEYS_ASKED_MAX = 10_000
LINES_REPAIRED_MAX = 1_000
"""Of one endpoint at once; the next look goes on after them."""

check_change(QUEUED, [PENDING])


def line_of(endpoint_id: int, recipient: str | None) -> Line | None:
    """The line in which such an event stands; upper and lower case are the same. None for events about nobody."""
    if not recipient or FORGOTTEN in recipient:
        return None
    text = f"{endpoint_id} {findable(recipient.lower())}".encode("utf-8", "surrogatepass")
    return endpoint_id, int.from_bytes(blake2b(text, digest_size=DIGEST_BYTES).digest()) >> 1


def _is_queued(table: Any = _delivery) -> sa.ColumnElement[bool]:
    """In the words of the partial index."""
    return table.c.status == sa.literal_column(f"'{QUEUED}'")


def _leads(table: Any = _delivery) -> sa.ColumnElement[bool]:
    """In the words of the partial index."""
    leading: sa.ColumnElement[Any] = sa.literal_column(f"({', '.join(repr(status) for status in LEADING)})")
    return sa.and_(table.c.order_key.is_not(None), table.c.status.op("IN")(leading))


_locks = sa.func.unnest(sa.bindparam("locks", type_=ARRAY(sa.Integer))).column_valued("number")
_HOLD = sa.select(sa.func.pg_advisory_xact_lock(_LOCKS_OF_LINES, _locks))
_TRY = sa.select(_locks, sa.func.pg_try_advisory_xact_lock(_LOCKS_OF_LINES, _locks))
_LED = sa.select(_delivery.c.order_key).where(_delivery.c.order_key.in_(sa.bindparam("keys", expanding=True)), _leads())
_QUEUED_AT = (
    sa.select(_delivery.c.order_key)
    .distinct()
    .where(
        _delivery.c.endpoint_id.in_(sa.bindparam("endpoints", expanding=True)),
        _delivery.c.order_key.in_(sa.bindparam("keys", expanding=True)),
        _is_queued(),
    )
)
_first, _ahead = _delivery.alias("first"), _delivery.alias("ahead")
_FIRST_QUEUED = (
    sa.select(_first.c.id)
    .where(
        _first.c.endpoint_id == sa.bindparam("endpoint"), _first.c.order_key == sa.bindparam("key"), _is_queued(_first)
    )
    .order_by(_first.c.id)
    .limit(1)
    .scalar_subquery()
)
_NEXT = (
    sa.update(_delivery)
    .where(
        _delivery.c.id == _FIRST_QUEUED,
        _delivery.c.status == QUEUED,
        ~sa.exists().where(_ahead.c.order_key == sa.bindparam("key"), _leads(_ahead)),
    )
    .values(status=PENDING, due_at=sa.bindparam("now"))
)


def hold_lines(connection: sa.Connection, lines: Collection[Line]) -> None:
    """Keeps others from the lines until the transaction ends; it must hold no other line yet."""
    if lines and connection.dialect.name != "sqlite":
        connection.execute(_HOLD, {"locks": _numbers(lines)})


def lines_in_reach(connection: sa.Connection, lines: Collection[Line]) -> set[Line]:
    """Those of the lines that nobody else holds just now, nor can from now on until the transaction ends."""
    if not lines or connection.dialect.name == "sqlite":
        return set(lines)
    had = {number for number, held in connection.execute(_TRY, {"locks": _numbers(lines)}) if held}
    return {line for line in lines if line[1] % LOCKS in had}


def _numbers(lines: Collection[Line]) -> list[int]:
    return sorted({key % LOCKS for _, key in lines})


def which_queue(connection: sa.Connection, lines: Sequence[Line]) -> list[bool]:
    """Of deliveries that join these lines in this order, whether each has to queue. The caller holds the lines."""
    keys = [*{key for _, key in lines}]
    taken = set[int]()
    for start in range(0, len(keys), KEYS_ASKED_MAX):
        taken |= _taken(connection, {line[0] for line in lines}, keys[start : start + KEYS_ASKED_MAX])
    verdicts = list[bool]()
    for _, key in lines:
        verdicts.append(key in taken)
        taken.add(key)
    return verdicts


def _taken(connection: sa.Connection, endpoints: set[int], keys: Sequence[int]) -> set[int]:
    """Those that somebody leads, or that wait for the repair."""
    led = set(connection.scalars(_LED, {"keys": keys}))
    if len(led) < len(keys):
        others = [key for key in keys if key not in led]
        led |= set(connection.scalars(_QUEUED_AT, {"endpoints": [*endpoints], "keys": others}))
    return led


def let_next_go(connection: sa.Connection, lines: Collection[Line], now: datetime | int) -> None:
    """Makes the first one queued in each line due, unless another leads it still. The caller holds the lines."""
    if lines:
        connection.execute(_NEXT, [{"endpoint": line[0], "key": line[1], "now": now} for line in sorted(lines)])


def let_next_go_in_reach(connection: sa.Connection, lines: Collection[Line], now: datetime | int) -> None:
    """The same for those who may not wait for a line; the repair sees to what is out of reach."""
    let_next_go(connection, lines_in_reach(connection, lines), now)


def behind_others(connection: sa.Connection, joining: Mapping[int, Line]) -> set[int]:
    """Those of the deliveries, by number, that have to queue or that, for all that can be seen now, might have to."""
    if not joining:
        return set()
    lines = [joining[number] for number in sorted(joining)]
    in_reach = lines_in_reach(connection, lines)
    verdicts = which_queue(connection, lines)
    asked = zip(sorted(joining), lines, verdicts, strict=True)
    return {number for number, line, queues in asked if queues or line not in in_reach}


def stuck_lines(connection: sa.Connection, endpoint_id: int, after: int) -> tuple[list[Line], int]:
    """Lines of the endpoint that nobody leads though some are queued, and where the next look goes on.

    It looks at LINES_REPAIRED_MAX lines with a digest above `after`, each a step along the index however long it is.
    """
    rows = connection.execute(_WALK, {"endpoint": endpoint_id, "after": after, "limit": LINES_REPAIRED_MAX}).all()
    seen = [row for row in rows if row.key is not None]
    return [(endpoint_id, row.key) for row in seen if not row.led], seen[-1].key if len(seen) == len(rows) else -1


def _next_key(after: Any) -> sa.ScalarSelect[Any]:
    one = _delivery.alias()
    of_endpoint = one.c.endpoint_id == sa.bindparam("endpoint")
    return (
        sa.select(sa.func.min(one.c.order_key))
        .where(of_endpoint, one.c.order_key > after, _is_queued(one))
        .scalar_subquery()
    )


def _walk() -> sa.Select[Any, Any]:
    first = sa.select(_next_key(sa.bindparam("after", type_=sa.BigInteger)).label("key"), sa.literal(1).label("number"))
    line = first.cte("line", recursive=True)
    further = sa.select(_next_key(line.c.key), line.c.number + 1)
    line = line.union_all(
        further.where(line.c.key.is_not(None), line.c.number < sa.bindparam("limit", type_=sa.Integer))
    )
    led = sa.exists().where(_ahead.c.order_key == line.c.key, _leads(_ahead))
    return sa.select(line.c.key, led.label("led"))


_WALK = _walk()
