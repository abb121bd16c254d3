import hmac

import pytest

from adapters.signatures.keyed import keyed_digest
from adapters.signatures.shared_secret import ALGORITHMS


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("key_bytes", [1, 31, 63, 64, 65, 127, 128, 129, 1_000])
def test_a_keyed_digest_is_the_hmac_of_the_standard_library(algorithm: str, key_bytes: int) -> None:
    key = bytes(number % 256 for number in range(key_bytes))
    digest = keyed_digest(key, algorithm)
    for message in (b"", b"tok", key * 9):
        assert digest(message) == hmac.digest(key, message, algorithm)


def test_a_keyed_digest_forgets_the_message_before() -> None:
    digest = keyed_digest(b"key-1", "sha256")
    assert digest(b"one") != digest(b"two")
    assert digest(b"one") == hmac.digest(b"key-1", b"one", "sha256")
