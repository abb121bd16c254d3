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

Tallies = dict[str, Drift]
"""By name."""


class Drifts:
    """The tallies of this process."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._tallies: dict[tuple[int, str], Tallies] = {}
        """By source and kind."""
        self._writing: asyncio.Task[None] | None = None
        self._under_way: asyncio.Task[bool] | None = None

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
        types = self._tallies.setdefault((source_id, TYPE), {})
        keys = self._tallies.setdefault((source_id, KEY), {})
        now_ms = time_ms(receipt_id)
        for found in unnamed:
            if found.native_type is not None:
                _count(types, found.native_type, found.item, source_id, receipt_id, TYPE)
            for key in found.keys:
                tally = keys.get(key)
                if tally is None:
                    _count(keys, key, found.item[key], source_id, receipt_id, KEY)
                else:  # the case that may come with every event
                    tally.count += 1
                    tally.last_seen = now_ms

    async def write(self) -> None:
        """Adds the tallies to the table; they stay for the next time when the store does not take them.

        Returns when all that was noted before is there, whoever writes it.
        """
        if self._under_way is not None and not await asyncio.shield(self._under_way):
            return
        if self._under_way is None:
            self._under_way = asyncio.create_task(self._write())
        await asyncio.shield(self._under_way)

    async def _write(self) -> bool:
        """False when the store did not take them. A task of its own: who waits for it may be cancelled, and it not."""
        taken, self._tallies = self._tallies, {}
        found = [drift for tallies in taken.values() for drift in tallies.values()]
        try:
            if found:
                await self._ledger.run(partial(record_drift, found=found))
        except StoreUnavailable:
            self._put_back(taken)
            return False
        finally:
            self._under_way = None
        return True

    def _put_back(self, taken: dict[tuple[int, str], Tallies]) -> None:
        for place, tallies in taken.items():
            newer = self._tallies.get(place, {})
            for name, tally in newer.items():
                if name in tallies:
                    tally.count += tallies[name].count
                    tally.first_seen = tallies[name].first_seen
            self._tallies[place] = {**tallies, **newer}

    async def _write_forever(self) -> None:
        while True:
            await asyncio.sleep(WRITE_INTERVAL_S)
            await self.write()


def _count(tallies: Tallies, name: str, value: Any, source_id: int, receipt_id: int, kind: str) -> None:
    cut = name[:NAME_CHARS_MAX]
    tally, now_ms = tallies.get(cut), time_ms(receipt_id)
    if tally is None:
        if len(tallies) >= NAMES_MAX:
            return
        tally = tallies[cut] = Drift(
            source_id=source_id,
            kind=kind,
            name=_storable(cut),
            first_seen=now_ms,
            last_seen=now_ms,
            receipt_id=receipt_id,
            sample=_storable(_sample(value)),
        )
    tally.count += 1
    tally.last_seen = now_ms


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
