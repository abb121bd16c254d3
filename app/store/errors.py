"""What the store refuses, one tree; the message is a sentence for the person who asked.

StoreError
├── NameTaken             a source of that name is there already                       (409)
├── LastAdminKey          the environment would be left without an admin key           (409)
├── NotResendable         the delivery is in no state to be sent again                 (409)
├── SecretInUse           the endpoint signs with that secret already                  (409)
├── ReplayRefused         an endpoint to replay to is not there                        (404)
├── AlertsFull            there are as many alert rules as an environment may have    (409)
├── JobsFull              as many jobs run as an environment may have at once         (409)
├── JobOver               the job has ended, and cannot be cancelled any more          (409)
├── KeyReused             an Idempotency-Key came back with another request            (422)
└── DatabaseTooNew        a newer Mailweir has migrated the database                   (refused at start)

Whether the database itself is in trouble tells `is_unavailable`, by the codes of the two drivers.
"""

import sqlite3
from collections.abc import Iterator

from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnectionFree


class StoreError(Exception):
    """Anything the store refuses; `status_hint` is the HTTP status that fits when the caller has no better one."""

    status_hint = 409


class NameTaken(StoreError):
    """A source of that name is there already, perhaps in another environment."""


class LastAdminKey(StoreError):
    """Without this key nobody could administer the environment."""


class NotResendable(StoreError):
    """The delivery is being sent, was cancelled, or its endpoint is not sent to."""


class SecretInUse(StoreError):
    """A new secret must be another than the endpoint's present ones."""


class ReplayRefused(StoreError):
    """An endpoint named for a replay is not in the environment, or was deleted."""

    status_hint = 404


class AlertsFull(StoreError):
    """There are as many alert rules as an environment may have."""


class JobsFull(StoreError):
    """As many jobs run as an environment may have at once."""


class JobOver(StoreError):
    """The job is done or failed; there is nothing left to cancel."""


class KeyReused(StoreError):
    """An Idempotency-Key stands for one request; this is another."""

    status_hint = 422


class DatabaseTooNew(StoreError):
    """The tables are those of a newer version of Mailweir."""

    status_hint = 500


_SQLSTATES = ("08", "25006", "28", "3D", "40", "53", "55P03", "57", "58")
"""How the SQLSTATE of a PostgreSQL begins that cannot commit now: connection, read-only, no entry, no such database,
rolled back against another transaction, out of disk or connections, lock not had in time, shutdown or cancelled, input
and output (https://www.postgresql.org/docs/current/errcodes-appendix.html)."""

_SQLITE_CODES = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_INTERRUPT,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_NOTADB,
    }
)


def is_unavailable(error: BaseException) -> bool:
    """True when the database is locked, full, read-only, going down or gone, so that every write would fail alike.

    The class of the exception does not tell: through asyncpg a full disk is a plain DBAPIError, and a number too large
    for its column an InterfaceError. Errors of the operating system are those of connecting.
    """
    if isinstance(error, OSError | NoConnectionFree):
        return True
    if not isinstance(error, DBAPIError):
        return False
    known = [verdict for cause in _causes(error.orig) if (verdict := _verdict(cause)) is not None]
    return error.connection_invalidated or (known[0] if known else isinstance(error, OperationalError))


def is_locked(error: DBAPIError) -> bool:
    """True when somebody else is writing to the SQLite file, and takes longer than one waits."""
    codes = {getattr(cause, "sqlite_errorcode", 0) & 0xFF for cause in _causes(error.orig)}
    return not codes.isdisjoint((sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED))


def driver_message(error: BaseException) -> str:
    """What the driver said, without the statement and its parameters, which may be secrets."""
    return str(error.orig) if isinstance(error, DBAPIError) else str(error)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """The driver's exception, and those it was raised from."""
    while error is not None:
        yield error
        error = error.__cause__


def _verdict(error: BaseException) -> bool | None:
    """What an exception of a driver says by its code; None when it has none."""
    if isinstance(error, OSError):
        return True
    sqlstate = getattr(error, "sqlstate", None)
    if isinstance(sqlstate, str):
        return sqlstate.startswith(_SQLSTATES)
    # The extended codes of SQLite have the primary one in their lowest byte: https://www.sqlite.org/rescode.html
    code = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF in _SQLITE_CODES
