"""How the bytes of a signature become text, and strictly back."""

import re
from base64 import b64decode, urlsafe_b64decode, urlsafe_b64encode
from binascii import b2a_base64
from collections.abc import Callable
from typing import NamedTuple

_HEX = re.compile(r"[0-9a-fA-F]*")
_URLSAFE = re.compile(r"[A-Za-z0-9_-]*")


class Encoding(NamedTuple):
    """One way of writing bytes as text."""

    name: str
    encode: Callable[[bytes], str]
    decode: Callable[[str], bytes]
    """Strict: raises ValueError for anything that `encode` cannot have written."""


def strict_base64(text: str) -> bytes:
    """The bytes; ValueError for any character that does not belong, blanks included."""
    return b64decode(text, validate=True)


def _strict_hex(text: str) -> bytes:
    if not _HEX.fullmatch(text):
        raise ValueError("characters that are no hexadecimal digits")
    return bytes.fromhex(text)


def _base64(raw: bytes) -> str:
    return b2a_base64(raw, newline=False).decode()


def _urlsafe_base64(raw: bytes) -> str:
    return urlsafe_b64encode(raw).decode().rstrip("=")


def _strict_urlsafe_base64(text: str) -> bytes:
    if not _URLSAFE.fullmatch(text):
        raise ValueError("characters outside the URL-safe alphabet")
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


ENCODINGS = {
    encoding.name: encoding
    for encoding in (
        Encoding("hex", bytes.hex, _strict_hex),
        Encoding("base64", _base64, strict_base64),
        Encoding("urlsafe_base64", _urlsafe_base64, _strict_urlsafe_base64),
    )
}
