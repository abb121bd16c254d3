"""Receivers in several languages that verify what they get: the programs under docs/receivers themselves."""

from functools import cache
from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).parents[3] / "docs" / "receivers"
_LANGUAGES = {"Python": "receiver.py", "Node.js": "receiver.mjs", "Go": "receiver.go", "PHP": "receiver.php"}


class Receiver(NamedTuple):
    """A program that verifies each webhook and prints what it says."""

    language: str
    program: str


@cache
def receivers() -> list[Receiver]:
    """Those that are there: an installation without the documentation has none."""
    paths = {language: FOLDER / name for language, name in _LANGUAGES.items()}
    return [Receiver(language, path.read_text()) for language, path in paths.items() if path.is_file()]
