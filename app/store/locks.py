"""Locks on files beside an SQLite database: who serves from it, and whose turn it is to write."""

import fcntl
import re
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep
from types import TracebackType
from typing import IO
from urllib.parse import unquote

PATIENCE_S = 1.0
"""How long those who served before, and were killed, may take to be gone."""
LOOK_INTERVAL_S = 0.02


class DatabaseInUse(Exception):
    """Another process serves from this SQLite file."""


def sqlite_file(database_url: str) -> Path | None:
    """The file that the URL names; None for another database, or what is no URL at all."""
    named = re.match(r"sqlite\+aiosqlite://[^/]*/([^?]+)", database_url)
    return Path(unquote(named[1])) if named else None


@contextmanager
def sole_user(database: Path) -> Generator[int]:
    """Holds the file's lock, by the descriptor that it gives; whoever inherits that holds it as well.

    The system lets go of it when all of them have died. Raises DatabaseInUse.
    """
    with _beside(database, ".lock") as lock:
        deadline = monotonic() + PATIENCE_S
        while not _is_taken(lock):
            if monotonic() > deadline:
                raise DatabaseInUse(f"another Mailweir serves from {database}; stop it, or set MAILWEIR_DATABASE_URL")
            sleep(LOOK_INTERVAL_S)
        yield lock.fileno()


def _is_taken(lock: IO[bytes]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


class Turns:
    """Lets one process at a time write.

    Who waits for SQLite's own lock sleeps, for up to a tenth of a second each time, and looks again; these are woken.
    """

    def __init__(self, database: Path) -> None:
        self._file = _beside(database, ".turn")

    def __enter__(self) -> None:
        fcntl.flock(self._file, fcntl.LOCK_EX)

    def __exit__(
        self, kind: type[BaseException] | None, raised: BaseException | None, trace: TracebackType | None
    ) -> None:
        fcntl.flock(self._file, fcntl.LOCK_UN)

    def close(self) -> None:
        """To be called when nobody writes any more."""
        self._file.close()


def _beside(database: Path, ending: str) -> IO[bytes]:
    return database.with_name(database.name + ending).open("wb")
