"""Takes addresses out of what was stored as it came: bodies, URLs, headers, events.

Strategy: what is stored is not read as its provider's format but searched as text, because an address may stand
anywhere in it: in a field, within a sentence or a link, in the raw mail that a field holds, in JSON within a form. So
each character is looked for in all the ways that it may be written, and what looks like base64 is opened and closed
again. What surrounds the address stays, and stays of its form: JSON remains JSON, a form remains a form.
"""

import base64
import binascii
import re
from collections.abc import Mapping
from functools import lru_cache
from itertools import chain
from typing import NamedTuple

FORGOTTEN = "(forgotten)"
"""What stands in place of an address that was forgotten."""

SPELLINGS_KEPT = 512
WRAPPED_MAX = 4
"""How deep base64 is opened: an attached mail within a raw mail within a field."""

_LINE_BREAK = rb"(?:(?:\\+r)?\\+n|\r?\n)"
_SOFT_BREAK = rb"(?:=" + _LINE_BREAK + rb")?"  # of quoted-printable, which may come anywhere
_IN_BASE64 = rb"(?:(?:\\+/|%2[BbFf]|\\+u002[BbFf]|" + _LINE_BREAK + rb")[A-Za-z0-9+/_-]+)*(?:=|%3[Dd]|\\+u003[Dd]){0,2}"
_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{6,}" + _IN_BASE64)
_LONG_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{60,}" + _IN_BASE64)
_ESCAPED_IN_BASE64 = re.compile(rb"%([0-9A-Fa-f]{2})|\\+u00([0-9A-Fa-f]{2})")
_BEFORE = re.compile(
    rb"(?:%(?:25)*([0-9a-f]{2})|\\+u00([0-9a-f]{2})|=([0-9a-f]{2})|(\\+[nrtbf]|&[a-z]+;|&\#x?[0-9a-f]+;)|([\s\S]))\Z",
    re.IGNORECASE,
)
_BEFORE_BYTES = 16
_SOFTLY_BROKEN = re.compile(rb"=(?:\r?\n|\\+[rn])")
_PLAIN = re.compile(r"[a-z0-9]+")
_GOES_ON = re.compile(rb"(?:[A-Za-z0-9_\x80-\xff-]|\.[A-Za-z0-9])")
_LOCAL = frozenset(b"._+-")


class Searched(NamedTuple):
    """One spelling of an address."""

    whole: re.Pattern[bytes]
    core: bytes
    """A part of it, in small letters, that is written in the same way nearly everywhere."""
    wrapped: re.Pattern[bytes]
    """The core in base64."""


class Eraser:
    """Puts other texts in place of addresses; `instead` has the addresses in any case."""

    def __init__(self, instead: Mapping[str, str]) -> None:
        self._searched = [
            (_searched(form), text.encode()) for address, text in instead.items() for form in _forms(address.lower())
        ]

    def erase(self, stored: bytes) -> bytes:
        """The same without the addresses; `stored` itself where none is in it."""
        return self._erase(stored, WRAPPED_MAX)

    def erase_text(self, stored: str) -> str:
        """The same for a text."""
        return self.erase(stored.encode("utf-8", "surrogatepass")).decode("utf-8", "surrogatepass")

    def finds(self, stored: bytes) -> bool:
        """Whether one of the addresses is in it."""
        return self.erase(stored) is not stored

    def _erase(self, stored: bytes, wrapped_max: int) -> bytes:
        erased = stored
        lowered, broken = stored.lower(), _SOFTLY_BROKEN.search(stored) is not None
        for searched, text in self._searched:
            if broken or searched.core in lowered:
                erased = _replaced(erased, searched.whole, text)
        if wrapped_max:
            erased = self._base64_like(erased).sub(lambda run: self._rewrapped(run.group(), wrapped_max - 1), erased)
        return erased if erased != stored else stored

    def _base64_like(self, stored: bytes) -> re.Pattern[bytes]:
        """What to open: everything where the base64 of an address shows, otherwise what is as long as whole mails."""
        return _BASE64 if any(searched.wrapped.search(stored) for searched, _ in self._searched) else _LONG_BASE64

    def _rewrapped(self, run: bytes, wrapped_max: int) -> bytes:
        """A stretch that looks like base64, which may begin before the base64 does: a path, a name."""
        letters = _plain_base64(run)
        for start in range(4):
            if (wrapped := _decoded(letters[start:])) is not None:
                erased = self._erase(wrapped, wrapped_max)
                if erased is not wrapped:
                    return letters[:start] + _encoded(erased, like=run)
        return run


def _replaced(stored: bytes, pattern: re.Pattern[bytes], text: bytes) -> bytes:
    """With `text` in place of what the pattern finds, where that is not a part of a longer address."""
    parts, end = list[bytes](), 0
    for found in pattern.finditer(stored):
        if _begins(stored, found) and not _GOES_ON.match(stored, found.end()):
            parts += (stored[end : found.start()], text)
            end = found.end()
    return b"".join((*parts, stored[end:])) if parts else stored


def _begins(stored: bytes, found: re.Match[bytes]) -> bool:
    """Whether no longer address begins before; "%22" before it is a quotation mark and not a 2."""
    before = _BEFORE.search(stored, max(0, found.start() - _BEFORE_BYTES), found.start())
    if before is None or before[4]:
        return True
    escaped = before[1] or before[2] or before[3]
    byte = int(escaped, 16) if escaped else before[5][0]
    if found["at"] == b"=" and byte in b"+-":  # the sender's "bounces+ann=example.com@…"
        return True
    return not (chr(byte).isalnum() or byte in _LOCAL or byte > 127)


@lru_cache(SPELLINGS_KEPT)
def _forms(address: str) -> tuple[str, ...]:
    """The address, and the one with the domain's other spelling where that has letters beyond ASCII."""
    local, _, domain = address.rpartition("@")
    others = list[str]()
    for codec in ("encode", "decode"):
        try:
            other = domain.encode("idna").decode() if codec == "encode" else domain.encode().decode("idna")
        except UnicodeError:
            continue
        others.append(f"{local}@{other.lower()}")
    return tuple(dict.fromkeys((address, *others)))


@lru_cache(SPELLINGS_KEPT)
def _searched(address: str) -> Searched:
    local, _, domain = address.rpartition("@")
    at = rb"(?P<at>" + _written("@") + rb"|=)"
    parts = chain(map(_written, local), [at], map(_written, domain))
    core = max(_PLAIN.findall(local) + _PLAIN.findall(domain), key=len, default="").encode()
    return Searched(re.compile(_SOFT_BREAK.join(parts), re.IGNORECASE), core, _wrapped(core))


def _wrapped(core: bytes) -> re.Pattern[bytes]:
    """The base64 of a text in any mixture of cases, wherever it begins within what was wrapped.

    Its first and last letters, which depend on what stands beside it, are left out. Of a text that is too short nothing
    remains, and the pattern fits everywhere.
    """
    ways = list[bytes]()
    for shift in range(3):
        both = [binascii.b2a_base64(b"\0" * shift + text, newline=False) for text in _cases(core)]
        first, last = -(-shift * 8 // 6), (shift + len(core)) * 8 // 6
        letters = [bytes(sorted({one[at] for one in both})) for at in range(first, last)]
        ways.append((_LINE_BREAK + b"?").join(b"[%b]" % re.escape(some) for some in letters))
    return re.compile(b"|".join(ways))


def _cases(core: bytes) -> list[bytes]:
    """Texts that between them have all pairs of neighbouring letters in all four mixtures of cases."""
    masks = ((0, 0), (1, 1), (0, 1), (1, 0))
    return [bytes(_cased(byte, mask[at % 2]) for at, byte in enumerate(core)) for mask in masks]


def _cased(byte: int, upper: int) -> int:
    return bytes([byte]).upper()[0] if upper else byte


def _written(char: str) -> bytes:
    """The ways to write a character: as it is, and escaped as in URLs, JSON, quoted-printable and HTML."""
    if char.isascii() and char.isalnum():
        return char.encode()
    cases = dict.fromkeys((char, char.upper()))
    return b"(?:" + b"|".join(chain.from_iterable(map(_ways, cases))) + b")"


def _ways(char: str) -> list[bytes]:
    raw, units = char.encode(), char.encode("utf-16-be")
    json_escaped = b"".join(rb"\\+u%02x%02x" % (units[at], units[at + 1]) for at in range(0, len(units), 2))
    return [
        (rb"\\*" if char in '"/' else b"") + re.escape(raw),
        b"".join(rb"%%(?:25)*%02x" % byte for byte in raw),
        json_escaped,
        b"".join(b"=%02x" % byte for byte in raw),
        *(b"&#0*%d;" % ord(part) for part in char if len(char) == 1),
        *(b"&#x0*%x;" % ord(part) for part in char if len(char) == 1),
    ]


def _plain_base64(run: bytes) -> bytes:
    """Its letters alone, of the usual alphabet."""
    letters = run
    if b"\n" in letters or b"\\" in letters or b"%" in letters:
        letters = _ESCAPED_IN_BASE64.sub(lambda found: bytes([int(found[1] or found[2], 16)]), letters)
        letters = re.sub(_LINE_BREAK, b"", letters).replace(b"\\", b"")
    return letters.rstrip(b"=").replace(b"-", b"+").replace(b"_", b"/")


def _decoded(letters: bytes) -> bytes | None:
    try:
        return binascii.a2b_base64(letters + b"=" * (-len(letters) % 4))
    except binascii.Error:  # one letter too many
        return None


def _encoded(plain: bytes, *, like: bytes) -> bytes:
    """Base64 in the alphabet and with the padding of another."""
    for_urls = (b"-" in like or b"_" in like) and not (b"+" in like or b"/" in like)
    letters = base64.urlsafe_b64encode(plain) if for_urls else base64.b64encode(plain)
    if b"%" in like:
        return letters.replace(b"+", b"%2B").replace(b"/", b"%2F").replace(b"=", b"%3D")
    return (
        letters if len(like) % 4 == 0 or like.endswith(b"=") or b"\n" in like or b"\\" in like else letters.rstrip(b"=")
    )
