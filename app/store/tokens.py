"""Tokens that a signature covers and that are good for one request: which of them were used before."""

from collections import defaultdict
from collections.abc import Sequence

import sqlalchemy as sa

from app.store.arrivals import Arrival
from app.store.prepared import Lookup
from app.store.requests import REQUEST_COLUMNS, request_of
from app.store.tables import EventRow, ReceiptRow, table_of

_receipt, _event = table_of(ReceiptRow), table_of(EventRow)

Token = tuple[int, bytes]
"""The source, and the digest of what it may send once."""

_SPENT_TOKENS = Lookup(
    sa.select(_receipt.c.once_digest, *REQUEST_COLUMNS), of=_receipt.c.source_id, among=_receipt.c.once_digest
)
_COUNT_KNOWN = sa.select(sa.func.count()).where(
    _event.c.source_id == sa.bindparam("source"), _event.c.dedup_key.in_(sa.bindparam("keys", expanding=True))
)


def with_used_tokens(connection: sa.Connection, arrivals: Sequence[Arrival]) -> set[int]:
    """Those (by identity) whose token was accepted before, with something else.

    These signatures cover the token and not the body. So a token may come again only with the very body it came with,
    or with events that are all known: the provider repeats itself. Anything else under it is a forgery.
    """
    tokens = {id(arrival): token for arrival in arrivals if (token := _token(arrival)) is not None}
    used = _used_tokens(connection, set(tokens.values()))
    refused = set[int]()
    for arrival in arrivals:
        token = tokens.get(id(arrival))
        if token is None or arrival.receipt is None:
            continue
        arrival.spends_token = token not in used
        first_body = used.setdefault(token, arrival.receipt.body)
        if arrival.receipt.body != first_body and not _brings_nothing_new(connection, arrival, arrivals):
            refused.add(id(arrival))
    return refused


def _brings_nothing_new(connection: sa.Connection, arrival: Arrival, beside: Sequence[Arrival]) -> bool:
    """Whether it consists of events that are stored, or about to be by the arrivals before it."""
    receipt = arrival.receipt
    if receipt is None or receipt.problems or not arrival.events:
        return False
    earlier = beside[: next(place for place, other in enumerate(beside) if other is arrival)]
    of_source = [other for other in earlier if other.receipt and other.receipt.source_id == receipt.source_id]
    coming = {event.dedup_key for other in of_source if other.spends_token for event in other.events}
    keys = {event.dedup_key for event in arrival.events} - coming
    if not keys:
        return True
    known = connection.execute(_COUNT_KNOWN, {"source": receipt.source_id, "keys": [*keys]})
    return known.scalar_one() == len(keys)


def _token(arrival: Arrival) -> Token | None:
    receipt = arrival.receipt
    if arrival.rejected or receipt is None or receipt.once_digest is None or receipt.again:
        return None
    return receipt.source_id, receipt.once_digest


def _used_tokens(connection: sa.Connection, tokens: set[Token]) -> dict[Token, bytes]:
    """Those of the tokens that a stored receipt spent, with its body."""
    if not tokens:
        return {}
    by_source = defaultdict[int, list[bytes]](list)
    for source_id, digest in tokens:
        by_source[source_id].append(digest)
    return {
        (source_id, row.once_digest): request_of(row).body
        for source_id, digests in by_source.items()
        for row in _SPENT_TOKENS.run(connection, source_id, digests)
    }
