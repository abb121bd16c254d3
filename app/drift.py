"""Counts what providers send that no mapping names, beside the inbound flow and without slowing it.

Strategy: each name has a tally in memory, so that a name that comes all the time costs one addition. Every few seconds
one small write adds the tallies to the table; what a crash takes along is a few seconds' counts.
"""

import asyncio
import json
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from adapters.reader import Unnamed
from app.store.drift import KEY, NAMES_MAX, TYPE, Drift, record_drift
from app.store.ids import time_ms
from app.store.ledger import Ledger, StoreUnavailable

WRITE_INTERVAL_S = 5.0
NAME_CHARS_MAX = 100
SAMPLE_CHARS_MAX = 500

Tallies = dict[tuple[str, str], Drift]
"""By kind and name."""


class Drifts:
    """The tallies of this process."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._tallies: dict[int, Tallies] = {}
        self._writing: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begins to write now and then."""
        self._writing = asyncio.create_task(self._write_forever(), name="drift")

    async def close(self) -> None:
        """Writes what is left, if the store lets it."""
        if self._writing is not None:
            self._writing.cancel()
            with suppress(asyncio.CancelledError):
                await self._writing
            await self.write()

    def note(self, source_id: int, receipt_id: int, unnamed: Sequence[Unnamed]) -> None:
        """Counts what a receipt of the source brought."""
        tallies = self._tallies.setdefault(source_id, {})
        for found in unnamed:
            if found.native_type is not None:
                _count(tallies, source_id, receipt_id, TYPE, found.native_type, found.item)
            for key in found.keys:
                _count(tallies, source_id, receipt_id, KEY, key, found.item[key])

    async def write(self) -> None:
        """Adds the tallies to the table; they stay for the next time when the store does not take them."""
        taken, self._tallies = self._tallies, {}
        found = [drift for tallies in taken.values() for drift in tallies.values()]
        if not found:
            return
        try:
            await self._ledger.run(partial(record_drift, found=found))
        except StoreUnavailable:
            self._put_back(taken)

    def _put_back(self, taken: dict[int, Tallies]) -> None:
        for source_id, tallies in taken.items():
            newer = self._tallies.get(source_id, {})
            for name, tally in newer.items():
                if name in tallies:
                    tally.count += tallies[name].count
                    tally.first_seen = tallies[name].first_seen
            self._tallies[source_id] = {**tallies, **newer}

    async def _write_forever(self) -> None:
        while True:
            await asyncio.sleep(WRITE_INTERVAL_S)
            await self.write()


def _count(tallies: Tallies, source_id: int, receipt_id: int, kind: str, name: str, value: Any) -> None:
    name = name[:NAME_CHARS_MAX]
    tally = tallies.get((kind, name))
    if tally is None:
        if len(tallies) >= NAMES_MAX:
            return
        tally = tallies[kind, name] = _tally(source_id, receipt_id, kind, name, value)
    tally.count += 1
    tally.last_seen = time_ms(receipt_id)


def _tally(source_id: int, receipt_id: int, kind: str, name: str, value: Any) -> Drift:
    now_ms = time_ms(receipt_id)
    return Drift(
        source_id=source_id,
        kind=kind,
        name=_storable(name),
        first_seen=now_ms,
        last_seen=now_ms,
        receipt_id=receipt_id,
        sample=_storable(_sample(value)),
    )


def _sample(value: Any) -> str:
    """The beginning of a value: texts as they are, all else as JSON, of which no more is written than is shown."""
    if isinstance(value, str):
        return value[:SAMPLE_CHARS_MAX]
    text = ""
    for part in json.JSONEncoder(ensure_ascii=False, default=str).iterencode(value):
        text += part
        if len(text) >= SAMPLE_CHARS_MAX:
            break
    return text[:SAMPLE_CHARS_MAX]


def _storable(text: str) -> str:
    """Without what PostgreSQL keeps in no text: NUL, and halves of surrogate pairs."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()
