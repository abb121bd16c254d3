"""Bytes made short for keeping.

Each value is packed for itself with Zstandard, and what requests, events and attempts are all full of (the names of
their fields, what values begin with) stands once, in a dictionary that ships with the code. What is packed begins with
a byte that no text in UTF-8 begins with: 0xF8 and the number of its dictionary. So what stands there in plain is told
from it: what is too short to gain, and all that versions before this stored.
"""

import threading
from collections.abc import Callable
from functools import cache
from pathlib import Path

import sqlalchemy as sa
import zstandard
from sqlalchemy.types import TypeDecorator

DICTIONARIES = Path(__file__).parent / "dictionaries"
NEWEST = 1
"""The dictionary that is packed with. All of them stay, because rows were packed with each; there may be seven."""
LEVEL = 3
SHORTEST = 24
"""Below this many bytes nothing is gained."""

_PLAIN = 0xF8
"""Stands before what is kept in plain and begins as if it were packed."""
_MARK = bytes([_PLAIN + NEWEST])
HEAD_BYTES = 20
"""As many as `plain_size` has to see."""
_MAGIC = b"\x28\xb5\x2f\xfd"
"""What a frame begins with elsewhere; here the mark says it."""


class _Tools(threading.local):
    """Of each thread its own: they are not to be used by two at once."""

    def __init__(self) -> None:
        parameters = _parameters()
        self.pack = zstandard.ZstdCompressor(dict_data=_dictionary(NEWEST), compression_params=parameters).compress
        self._unpack: dict[int, Callable[[bytes], bytes]] = {}

    def unpack(self, number: int) -> Callable[[bytes], bytes]:
        """What undoes `pack` with that dictionary."""
        if number not in self._unpack:
            made = zstandard.ZstdDecompressor(dict_data=_dictionary(number), format=zstandard.FORMAT_ZSTD1_MAGICLESS)
            self._unpack[number] = made.decompress
        return self._unpack[number]


def packed(plain: bytes) -> bytes:
    """The value as it is kept."""
    if len(plain) >= SHORTEST:
        short = _tools().pack(plain)
        if len(short) + 1 < len(plain):
            return _MARK + short
    return bytes([_PLAIN]) + plain if plain and plain[0] >= _PLAIN else plain


def unpacked(stored: bytes) -> bytes:
    """The value as it was; also of one that was never packed."""
    if not stored or stored[0] < _PLAIN:
        return stored
    number = stored[0] - _PLAIN
    if number == 0:
        return stored[1:]
    if number > NEWEST:
        return stored
    try:
        return _tools().unpack(number)(stored[1:])
    except (zstandard.ZstdError, MemoryError):
        return stored  # an earlier version's, which begins so by chance


def size_columns(column: sa.ColumnElement[bytes]) -> tuple[sa.ColumnElement[bytes], sa.ColumnElement[int]]:
    """What `plain_size` asks for."""
    as_stored = sa.type_coerce(column, sa.LargeBinary())
    return sa.func.substr(as_stored, 1, HEAD_BYTES, type_=sa.LargeBinary()), sa.func.length(as_stored)


def plain_size(head: bytes, size: int) -> int:
    """How many bytes the value has unpacked, from its first bytes and the size it is kept in."""
    if not head or head[0] <= _PLAIN:
        return size
    try:
        return max(size, zstandard.frame_content_size(_MAGIC + head[1:]))
    except zstandard.ZstdError:
        return size


class Shortened(TypeDecorator[bytes]):
    """Bytes that are shorter in the database; the hot path, which binds by itself, hands them in short."""

    impl = sa.LargeBinary
    cache_ok = True

    @staticmethod
    def shorten(value: bytes, /) -> bytes:
        """As the database has it."""
        return value

    @staticmethod
    def restore(stored: bytes, /) -> bytes:
        """As the program has it."""
        return stored

    def process_bind_param(self, value: bytes | None, dialect: sa.Dialect) -> bytes | None:  # noqa: ARG002 - SQLAlchemy's signature
        """For the database."""
        return None if value is None else self.shorten(value)

    def process_result_value(self, value: bytes | None, dialect: sa.Dialect) -> bytes | None:  # noqa: ARG002 - SQLAlchemy's signature
        """For the program."""
        return None if value is None else self.restore(value)


class Packed(Shortened):
    """Bytes that are packed in the database."""

    cache_ok = True
    shorten = staticmethod(packed)
    restore = staticmethod(unpacked)


@cache
def _tools() -> _Tools:
    return _Tools()


@cache
def _dictionary(number: int) -> zstandard.ZstdCompressionDict:
    """Read once, and made ready once for all threads."""
    dictionary = zstandard.ZstdCompressionDict((DICTIONARIES / f"{number}.zdict").read_bytes())
    if number == NEWEST:
        dictionary.precompute_compress(compression_params=_parameters())  # pyright: ignore[reportUnknownMemberType]
    return dictionary


def _parameters() -> zstandard.ZstdCompressionParameters:
    return zstandard.ZstdCompressionParameters.from_level(  # pyright: ignore[reportUnknownMemberType]
        LEVEL, format=zstandard.FORMAT_ZSTD1_MAGICLESS, write_content_size=1, write_checksum=0, write_dict_id=0
    )
