"""Why the gateway, or its database, could not be opened: in a sentence where it is the operator's to mend."""

from collections.abc import Generator
from contextlib import contextmanager

from asyncpg.exceptions import PostgresError
from sqlalchemy.exc import SQLAlchemyError

from adapters.errors import MappingInvalid
from app.cli.errors import Misconfigured
from app.settings import SettingsInvalid
from app.store.engine import DatabaseUrlInvalid
from app.store.errors import DatabaseTooNew
from app.store.locks import DatabaseInUse
from app.vault import VaultError

_SAY_WHAT_TO_CHANGE = (
    SettingsInvalid,
    MappingInvalid,
    DatabaseUrlInvalid,
    DatabaseInUse,
    DatabaseTooNew,
    VaultError,
)


@contextmanager
def explained() -> Generator[None]:
    """Turns what an operator can mend into Misconfigured; our own faults go through."""
    try:
        yield
    except _SAY_WHAT_TO_CHANGE as error:
        raise Misconfigured(str(error)) from error
    except (SQLAlchemyError, PostgresError, OSError) as error:  # asyncpg's own is what a refused login raises
        raise Misconfigured(
            f"the database cannot be used; check MAILWEIR_DATABASE_URL: {_first_line(error)}"
        ) from error


def _first_line(error: Exception) -> str:
    """What the driver says, without SQLAlchemy's statement and link after it."""
    lines = str(getattr(error, "orig", None) or error).splitlines()
    return lines[0] if lines else type(error).__name__
