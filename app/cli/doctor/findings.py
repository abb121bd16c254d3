"""What a look at a set-up finds."""

from typing import Literal

import msgspec

Level = Literal["ok", "warning", "wrong"]


class Finding(msgspec.Struct, frozen=True):
    """One thing that was looked at."""

    check: str
    level: Level
    """ok; warning: works, and should not stay so; wrong: does not work."""
    says: str
    mend: str = ""
    """The setting or command that mends it."""


def ok(check: str, says: str) -> Finding:
    """All is well with it."""
    return Finding(check, "ok", says)


def warning(check: str, says: str, mend: str) -> Finding:
    """It works, and should not stay so."""
    return Finding(check, "warning", says, mend)


def wrong(check: str, says: str, mend: str) -> Finding:
    """It does not work."""
    return Finding(check, "wrong", says, mend)
