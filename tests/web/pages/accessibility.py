"""What keeps people from using a page, as far as its document and its computed styles tell it."""

from pathlib import Path
from typing import Any

THEMES = ("light", "dark")

_SCRIPT = Path(__file__).with_suffix(".js").read_text()


def barriers(page: Any) -> list[str]:
    """What is wrong with the page that is open: its structure, its focus, and its contrast in both themes."""
    page.keyboard.press("Tab")  # from now on the browser shows where the focus is
    found = [*_ask(page, "structure"), *_ask(page, "focus")]
    for theme in THEMES:
        page.emulate_media(color_scheme=theme)
        found += [f"{theme}, contrast {what}" for what in _ask(page, "contrast")]
    return found


def _ask(page: Any, function: str) -> list[str]:
    return page.evaluate(f"() => {{ {_SCRIPT}\nreturn {function}(); }}")
