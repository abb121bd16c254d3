"""A consistent copy of an SQLite database, made while others read and write."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

OWNER_ONLY = 0o600


def copy_database(database: Path, copy: Path) -> int:
    """Writes the database as it is at this moment to a new file, tidied up and durable; its size in bytes.

    Raises FileExistsError, FileNotFoundError for a database that is not there, other OSErrors and sqlite3.Error. Of a
    copy that fails nothing stays.
    """
    database.stat()
    os.close(os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ONLY))  # SQLite fills an empty file
    try:
        with closing(sqlite3.connect(database)) as connection:
            connection.execute("VACUUM INTO ?", (str(copy),))
        return _synced(copy)
    except BaseException:
        copy.unlink()
        raise


def _synced(copy: Path) -> int:
    """The size of the file, which the disk has by then, and its name too."""
    for path in (copy, copy.parent):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    return copy.stat().st_size
