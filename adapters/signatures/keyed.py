"""HMAC (RFC 2104) with a key that signs many messages."""

import hashlib
from collections.abc import Callable

_INNER = bytes(byte ^ 0x36 for byte in range(256))
_OUTER = bytes(byte ^ 0x5C for byte in range(256))


def keyed_digest(key: bytes, algorithm: str) -> Callable[[bytes], bytes]:
    """What gives the HMAC of a message.

    It holds the two digests that an HMAC is made of, which have taken in the key already and are copied for each
    message. `hmac` can be copied too, but at three times the cost of this, which for short messages is all there is.
    """
    block = hashlib.new(algorithm).block_size
    padded = (key if len(key) <= block else hashlib.new(algorithm, key).digest()).ljust(block, b"\0")
    inner = hashlib.new(algorithm, padded.translate(_INNER))
    outer = hashlib.new(algorithm, padded.translate(_OUTER))

    def digest(message: bytes) -> bytes:
        inside, whole = inner.copy(), outer.copy()
        inside.update(message)
        whole.update(inside.digest())
        return whole.digest()

    return digest
