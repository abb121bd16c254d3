"""Two parts of an attempt, written down shorter than any packing would: the headers that were sent, and the times.

Of the headers it is the signatures that take room. As text they are twice as long as what they stand for, and nothing
makes them shorter but writing that down instead. Times are kept in hundredths of a millisecond.
"""

import re
from binascii import a2b_base64, a2b_hex, b2a_base64
from collections.abc import Iterable
from functools import lru_cache

import msgspec

from app.store.packing import Shortened, packed, unpacked

TIMES = ("dns_ms", "connect_ms", "tls_ms", "wait_ms", "read_ms", "total_ms")
STEPS_PER_MS = 100

_SIGNED = b"\x01"
"""What headers begin with whose signatures are written as bytes."""
_SIGNED_END = re.compile(
    rb'"webhook-id":"[a-z]{3}_([0-9A-HJKMNP-TV-Z]{15})","webhook-timestamp":"([1-9]\d{9})",'
    rb'"webhook-signature":"v1,([A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=)","X-Webhook-Signature":"([0-9a-f]{64})"\}\Z'
)
_LONG_END = b'%b","webhook-timestamp":"%d","webhook-signature":"v1,%b","X-Webhook-Signature":"%b"}'
_SIGNATURE, _STAMP, _ID = 32, 4, 10
_SHORT_END = 1 + _SIGNATURE + _SIGNATURE + _STAMP + _ID
_CROCKFORD, _BASE_32 = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ", b"0123456789abcdefghijklmnopqrstuv"
_TO_BASE_32 = bytes.maketrans(_CROCKFORD, _BASE_32)
BEGINNINGS_KEPT, ANSWERS_KEPT = 1_024, 256


def short_headers(sent: bytes) -> bytes:
    """The JSON of the headers of a request, as it is kept."""
    found = _SIGNED_END.search(sent)
    if found is None:
        return packed(sent)
    code, stamp, signature, digest = found.groups()
    number = int(code.translate(_TO_BASE_32), 32).to_bytes(_ID)
    end = a2b_base64(signature) + a2b_hex(digest) + int(stamp).to_bytes(_STAMP) + number
    return _SIGNED + end + _packed_beginning(sent[: found.start(1)])


def long_headers(stored: bytes) -> bytes:
    """The JSON again, letter by letter."""
    if stored[:1] != _SIGNED:
        return unpacked(stored)
    signature, digest = stored[1 : 1 + _SIGNATURE], stored[1 + _SIGNATURE : 1 + 2 * _SIGNATURE]
    stamp, number = stored[1 + 2 * _SIGNATURE : _SHORT_END - _ID], stored[_SHORT_END - _ID : _SHORT_END]
    end = (
        _code(int.from_bytes(number)),
        int.from_bytes(stamp),
        b2a_base64(signature, newline=False),
        digest.hex().encode(),
    )
    return unpacked(stored[_SHORT_END:]) + _LONG_END % end


@lru_cache(BEGINNINGS_KEPT)
def _packed_beginning(headers: bytes) -> bytes:
    """The same for all attempts of one number at one type of event."""
    return packed(headers)


@lru_cache(ANSWERS_KEPT)
def packed_answer(headers: bytes) -> bytes:
    """The headers of an answer, packed; a subscriber gives the same ones for a second at least."""
    return packed(headers)


def _code(number: int) -> bytes:
    return bytes(_CROCKFORD[number >> shift & 31] for shift in range(70, -1, -5))


def short_times(times_ms: Iterable[float | None]) -> bytes:
    """Durations in the order of TIMES, as they are kept."""
    return msgspec.msgpack.encode([None if ms is None else round(ms * STEPS_PER_MS) for ms in times_ms])


def long_times(stored: bytes) -> bytes:
    """The JSON object of them."""
    if stored[:1] == b"{":
        return stored
    steps = msgspec.msgpack.decode(stored, type=list[int | None])
    times = (None if step is None else step / STEPS_PER_MS for step in steps)
    return msgspec.json.encode(dict(zip(TIMES, times, strict=True)))


class SentHeaders(Shortened):
    """The headers of a request, in the program as JSON."""

    cache_ok = True
    shorten = staticmethod(short_headers)
    restore = staticmethod(long_headers)


class Times(Shortened):
    """The durations of an attempt: written by `short_times`, read as a JSON object."""

    cache_ok = True
    restore = staticmethod(long_times)
