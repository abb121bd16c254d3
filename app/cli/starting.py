"""Why the gateway, or its database, could not be opened: in a sentence where it is the operator's to mend."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager

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
    except (SQLAlchemyError, OSError, *_of_the_driver()) as error:
        raise Misconfigured(
            f"the database cannot be used; check MAILWEIR_DATABASE_URL: {_first_line(error)}"
        ) from error


def _of_the_driver() -> Sequence[type[Exception]]:
    """What asyncpg raises by itself, as for a refused login; it is loaded for this only where something was raised."""
    from asyncpg.exceptions import PostgresError

    return [PostgresError]


def _first_line(error: Exception) -> str:
    """What the driver says, without SQLAlchemy's statement and link after it."""
    lines = str(getattr(error, "orig", None) or error).splitlines()
    return lines[0] if lines else type(error).__name__
