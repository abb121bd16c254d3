"""The functions of the expression language."""

from difflib import get_close_matches

from adapters.functions import mail, standard, text, values
from adapters.functions.table import TABLE

__all__ = ["FUNCTIONS", "mail", "standard", "suggestion", "text", "values"]

FUNCTIONS: dict[str, str] = {name: f"{each.signature}: {each.meaning}" for name, each in sorted(TABLE.items())}
"""What every function is for, with its signature, by name."""


def suggestion(name: str) -> str:
    """The end of a sentence about an unknown function: the one that may have been meant."""
    close = get_close_matches(name, TABLE, n=1)
    return f"; is {close[0]}() meant?" if close else ""
