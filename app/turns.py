"""Turns among the workers of one gateway: what is done under one key is done by one of them at a time."""

import asyncio
import fcntl
import hashlib
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

LOOK_INTERVAL_S = 0.02
_OFFSET_BYTES = 5


class Turns:
    """Locks bytes of a file, one for each key; the system lets go of those of a worker that dies.

    Such locks are a process' own: within one process somebody else has to see to it that a key has one turn at a time.
    """

    def __init__(self, shared_folder: str) -> None:
        self._file = (Path(shared_folder) / "turns").open("ab") if shared_folder else None

    @asynccontextmanager
    async def of(self, key: str) -> AsyncGenerator[None]:
        """The turn of whoever is inside; where there is no other worker nobody waits."""
        if self._file is None:
            yield
            return
        offset = int.from_bytes(hashlib.sha256(key.encode()).digest()[:_OFFSET_BYTES])
        while not self._takes(offset):  # noqa: ASYNC110 - no event tells of another process
            await asyncio.sleep(LOOK_INTERVAL_S)
        try:
            yield
        finally:
            fcntl.lockf(self._file, fcntl.LOCK_UN, 1, offset)

    def close(self) -> None:
        """To be called when nobody waits any more."""
        if self._file is not None:
            self._file.close()

    def _takes(self, offset: int) -> bool:
        if self._file is None:
            return True
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, offset)
        except (BlockingIOError, PermissionError):  # systems differ in which of them it is
            return False
        return True
