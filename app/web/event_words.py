"""What callers call event types: their lists, as they are kept, and what is said of a word that nobody knows."""

from adapters.events import EVENT_TYPES, canonical_type
from app.registry import ALL_WORDS
from app.web.complaints import closest

_SHORT = [name.removeprefix("email.") for name in EVENT_TYPES]
_PRESENT = ["bounce", "deliver", "defer", "drop", "fail", "accept", "send"]
_KNOWN = [*EVENT_TYPES, *_SHORT, *_PRESENT]


def split_words(events: str | list[str]) -> list[str]:
    """The words of a comma-separated text, or of several, without spaces and empty ones."""
    parts = [events] if isinstance(events, str) else events
    return [word for part in parts for piece in part.split(",") if (word := piece.strip())]


def kept_words(events: str | list[str]) -> str:
    """The words as they are kept: the caller's, comma-separated, the first of those that mean the same."""
    words: dict[str, str] = {}
    for word in split_words(events):
        words.setdefault(canonical_type(word) or word.lower(), word)
    return ",".join(words.values())


def is_known(word: str) -> bool:
    """Whether a subscription may name it: a type in any of its forms, or one of the words for all."""
    return word.lower() in ALL_WORDS or canonical_type(word) is not None


def unknown_word(word: str) -> str:
    """The sentence for a word that is none, with the closest that is one."""
    return f'"{word[:100]}" is not an event type{closest(word, _KNOWN) or "; GET /api/event-types lists them."}'
