"""Forgets an address: walks through what is stored, a little at a time, and takes the address out."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple, TypeVar

import sqlalchemy as sa
import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from app.clock import Clock
from app.erasure import FORGOTTEN, Eraser
from app.redaction import pseudonym
from app.registry import Registry
from app.store.engine import WRITES
from app.store.forgetting import Chunk, Forgotten, Hits, Stored, forget_drift, forget_in, forget_jobs, read_chunk
from app.store.ledger import Ledger
from app.store.retention import PAUSE_SHARE, unhurried

log = structlog.get_logger()

T = TypeVar("T")

WALK_S = 10.0
"""How long one walk takes at most, so that an HTTP client does not give up."""
WRITTEN_AT_ONCE = 20
"""Rows in one transaction."""
IN_FLIGHT_WAIT_S = 0.2


class Walked(NamedTuple):
    """What a walk did, and after which number the next goes on; None when everything was looked at."""

    forgotten: Forgotten
    after: int | None


class Forgetting:
    """Takes addresses out of one database. A dry run does all of it in transactions that are rolled back."""

    def __init__(self, engine: AsyncEngine, ledger: Ledger, clock: Clock, registry: Registry) -> None:
        self._engine = engine
        self._ledger = ledger
        self._clock = clock
        self._registry = registry

    async def walk(self, environment_id: int, address: str, *, after: int = 0, dry_run: bool = False) -> Walked:
        """Looks at what came after that number, for WALK_S seconds; goes on from where the walk before it ended."""
        eraser = Eraser(dict.fromkeys(self._names(environment_id, address), FORGOTTEN))
        deadline = self._clock.monotonic() + WALK_S
        forgotten = Forgotten()
        if after == 0:
            forgotten += await self._forget_beside_the_log(environment_id, eraser, dry_run)
        at: int | None = after
        while at is not None:
            chunk = await read_chunk(self._engine, environment_id, at)
            done, in_flight = await self._forget_chunk(chunk, eraser, dry_run)
            forgotten += done
            at = chunk.upto if in_flight is None else in_flight - 1
            if in_flight is not None:
                await asyncio.sleep(IN_FLIGHT_WAIT_S)
            if self._clock.monotonic() >= deadline:
                break
        if not dry_run:
            log.info("recipient.forgotten", finished=at is None, receipts=forgotten.receipts, events=forgotten.events)
        return Walked(forgotten, at)

    def _names(self, environment_id: int, address: str) -> list[str]:
        """The address, and the pseudonym that stands for it where a source redacts."""
        environment = self._registry.find_environment(environment_id)
        key = environment and environment.pseudonym_key
        return [address, pseudonym(address, key)] if key else [address]

    async def _forget_beside_the_log(self, environment_id: int, eraser: Eraser, dry_run: bool) -> Forgotten:
        task = partial(forget_drift, environment_id=environment_id, eraser=eraser)
        drift = await self._write(task, dry_run)
        now = self._clock.now()
        return drift + await self._write(
            partial(forget_jobs, environment_id=environment_id, eraser=eraser, now=now), dry_run
        )

    async def _forget_chunk(self, chunk: Chunk, eraser: Eraser, dry_run: bool) -> tuple[Forgotten, int | None]:
        """What was done, with the first event that has to wait because it is just being sent."""
        hits = await self._search(chunk, eraser)
        forgotten, waits = Forgotten(), list[int]()
        for some in _in_small_parts(hits):
            task = partial(forget_in, hits=some, eraser=eraser, now=self._clock.now())
            done, in_flight = await self._write(task, dry_run)
            forgotten += done
            waits += [] if in_flight is None else [in_flight]
        return forgotten, None if dry_run else min(waits, default=None)

    async def _search(self, chunk: Chunk, eraser: Eraser) -> Hits:
        """In a thread, and with a pause after it in which everybody else has the processor."""
        began = self._clock.monotonic()
        hits = await asyncio.to_thread(_hits, chunk, eraser)
        await asyncio.sleep(PAUSE_SHARE * (self._clock.monotonic() - began))
        return hits

    async def _write(self, task: Callable[[sa.Connection], T], dry_run: bool) -> T:
        if not dry_run:
            return await unhurried(self._ledger.run, task)
        async with self._engine.execution_options(**{WRITES: True}).connect() as connection:
            result = await connection.run_sync(task)
            await connection.rollback()
            return result


def _hits(chunk: Chunk, eraser: Eraser) -> Hits:
    def found(rows: Sequence[Stored]) -> list[int]:
        return [row.id for row in rows if eraser.finds(row.texts)]

    return Hits(found(chunk.receipts), found(chunk.events))


def _in_small_parts(hits: Hits) -> Iterator[Hits]:
    for start in range(0, len(hits.receipts), WRITTEN_AT_ONCE):
        yield Hits(hits.receipts[start : start + WRITTEN_AT_ONCE], ())
    for start in range(0, len(hits.events), WRITTEN_AT_ONCE):
        yield Hits((), hits.events[start : start + WRITTEN_AT_ONCE])
