"""Mailboxes in the text of an address header: RFC 5322 where the text keeps to it, the best guess elsewhere.

Written out because `email.utils` recurses into nested comments and needs square time for some hostile lists.
"""

import re
from collections.abc import Iterator
from email.errors import HeaderParseError
from email.header import decode_header, make_header

import msgspec

_SPECIAL = re.compile(r"[\s\"<(,;:]")
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_BRACKETED = re.compile(r"<[^<>]*>?")
_PLAIN = re.compile(r'[^"<(,;:]+')
_NAME_AND_ADDRESS = re.compile(r"([^\"<>(),;:]*)<([^\"<>()\s]+)>")


class Mailbox(msgspec.Struct, frozen=True):
    """One address with the name before it, decoded; the name may be empty."""

    name: str
    address: str


def bare_addresses(text: str) -> list[str]:
    """The addresses of all mailboxes in order."""
    if not _SPECIAL.search(text):
        return [text] if text else []
    return [mailbox.address for mailbox in mailboxes(text)]


def mailboxes(text: str) -> list[Mailbox]:
    """All of them in order. Names of groups are left out, and a word without @ stands for itself."""
    if not _SPECIAL.search(text):
        return [Mailbox("", text)] if text else []
    if alone := _NAME_AND_ADDRESS.fullmatch(text):  # the commonest form, without a walk through its parts
        return [Mailbox(_decoded(alone[1].strip()), alone[2])]
    found: list[Mailbox | None] = []
    words: list[str] = []
    bracketed: str | None = None
    grouped = False
    for part in _parts(text):
        if part == ":" and not grouped:
            words = []
        elif part in {",", ";"}:
            found.append(_mailbox(words, bracketed))
            words, bracketed, grouped = [], None, False
        elif part.startswith("<"):
            bracketed = part.strip("<>").strip()
        else:
            words.append(part)
            grouped = grouped or "@" in part
    found.append(_mailbox(words, bracketed))
    return [mailbox for mailbox in found if mailbox is not None]


def _parts(text: str) -> Iterator[str]:
    """Quoted texts, bracketed addresses, separators and what is between, without (comments)."""
    comment_ends = _comment_ends(text)
    quotes = True
    position = 0
    while position < len(text):
        quoted = _QUOTED.match(text, position) if quotes and text[position] == '"' else None
        if text[position] == '"' and quoted is None:
            quotes = False
        if position in comment_ends:
            position = comment_ends[position]
            continue
        match = quoted or _BRACKETED.match(text, position) or _PLAIN.match(text, position)
        part = match[0] if match else text[position]
        yield part
        position += len(part)


def _comment_ends(text: str) -> dict[int, int]:
    """Where each comment that starts somewhere is over; comments nest, and one that is never closed is none."""
    ends: dict[int, int] = {}
    opened: list[int] = []
    for match in re.finditer(r"[()]", text):
        if match[0] == "(":
            opened.append(match.start())
        elif opened:
            ends[opened.pop()] = match.end()
    return ends


def _mailbox(words: list[str], bracketed: str | None) -> Mailbox | None:
    if bracketed is not None:
        name = "".join(_unquoted(word) for word in words).strip()
        return Mailbox(_decoded(name), bracketed) if bracketed else None
    plain = "".join(words).strip()
    if "@" in plain and not plain.startswith('"'):
        plain = next(word for word in plain.split() if "@" in word)
    return Mailbox("", plain) if plain else None


def _unquoted(word: str) -> str:
    return re.sub(r"\\(.)", r"\1", word[1:-1]) if word.startswith('"') and len(word) > 1 else word


def _decoded(name: str) -> str:
    """RFC 2047 encoded words read; a name that breaks the rules stays as it is."""
    if "=?" not in name:
        return name
    try:
        return str(make_header(decode_header(name)))
    except (HeaderParseError, LookupError, ValueError):
        return name
