"""Signatures with a key that both sides know: HMAC, and the digests that a few providers use in its place."""

import hashlib
import hmac
import secrets as randomness
from base64 import b64encode
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from adapters.errors import VerificationFailed
from adapters.request import NativeRequest
from adapters.signatures.content import to_bytes
from adapters.signatures.declaration import Declaration
from adapters.signatures.encodings import strict_base64
from adapters.signatures.keyed import keyed_digest
from adapters.signatures.places import BodyPath
from adapters.signatures.signed import SignedScheme

KEYS_CACHED_MAX = 1_024
ALGORITHMS = ("sha256", "sha1", "sha512", "md5")


class SharedSecret(SignedScheme):
    """One primitive for all of them: a digest of declared parts, keyed (`hmac`) or with the secret among the parts."""

    def __init__(self, declaration: Declaration) -> None:
        super().__init__(declaration, secret_name="signing_secret")  # noqa: S106  the name of one
        self._algorithm = declaration.choice("algorithm", ALGORITHMS, "sha256")
        self._key_form = declaration.choice("key", KEY_FORMS, "text")
        self._keyed = declaration.choice("construction", ("hmac", "digest"), "hmac") == "hmac"
        self._setup = Setup(declaration.section("setup")) if "setup" in declaration else None
        self.reads_body = self.reads_body or self._setup is not None
        self._more_keys = self._setup.keys if self._setup is not None else None
        if not self._keyed and not self.content.covers_secret:
            raise declaration.invalid("signed", "must include the secret, else anyone can make the digest")
        declaration.finish()

    def generate(self) -> tuple[str, str]:
        secret = KEY_FORMS[self._key_form].generate()
        return secret, secret

    def check_secret(self, secret: str) -> None:
        if secret != secret.strip():
            raise ValueError("it begins or ends with a blank: was it copied as a whole?")
        key_bytes(secret, self._key_form)

    def _matches(self, secret: str, message: bytes, signatures: list[str]) -> bool:
        expected = self.slot.encoding.encode(self._signature(secret, message)).encode()
        for signature in signatures:  # noqa: SIM110  the loop costs a third of any() here, on the hot path
            if hmac.compare_digest(expected, to_bytes(signature)):
                return True
        return False

    def _signature(self, secret: str, message: bytes) -> bytes:
        if not self._keyed:
            key_bytes(secret, self._key_form)  # refuses an empty secret, with which anyone could make the digest
            return hashlib.new(self._algorithm, message).digest()
        return _keyed(secret, self._key_form, self._algorithm)(message)


class Setup:
    """A well-known key for the one request with which a provider tries the URL, before there is a secret.

    Everybody knows it, so it counts only where the body says, at `path`, exactly `text`: an empty batch, a test.
    """

    def __init__(self, declaration: Declaration) -> None:
        self._secret = declaration.text("secret")
        self._place = BodyPath(declaration.text("path"))
        self._text = declaration.text("text")
        declaration.finish()

    def keys(self, request: NativeRequest, body: Any, secrets: Sequence[str]) -> Sequence[str]:
        """The source's secrets, and the well-known one where it counts."""
        return [*secrets, self._secret] if self._applies(request, body) else secrets

    def _applies(self, request: NativeRequest, body: Any) -> bool:
        try:
            return self._place.read(request, body) == self._text
        except VerificationFailed:
            return False


@lru_cache(maxsize=KEYS_CACHED_MAX)
def key_bytes(secret: str, form: str) -> bytes:
    """The key that `secret` writes down as text, hex or base64 (with or without `whsec_` and padding).

    Raises ValueError with a sentence that does not show it.
    """
    key = KEY_FORMS[form].read(secret)
    if not key:
        raise ValueError("it is empty")
    return key


@lru_cache(maxsize=KEYS_CACHED_MAX)
def _keyed(secret: str, form: str, algorithm: str) -> Callable[[bytes], bytes]:
    return keyed_digest(key_bytes(secret, form), algorithm)


class _KeyForm:
    def __init__(self, read: Callable[[str], bytes], generate: Callable[[], str]) -> None:
        self.read = read
        self.generate = generate


def _base64_key(secret: str) -> bytes:
    text = secret.removeprefix("whsec_").rstrip("=")
    try:
        return strict_base64(text + "=" * (-len(text) % 4))
    except ValueError as error:
        raise ValueError("it is not base64: was it copied as a whole?") from error


def _hex_key(secret: str) -> bytes:
    try:
        return bytes.fromhex(secret)
    except ValueError as error:
        raise ValueError("it is not hexadecimal: was it copied as a whole?") from error


def _base64_secret() -> str:
    return "whsec_" + b64encode(randomness.token_bytes(32)).decode()


KEY_FORMS = {
    "text": _KeyForm(to_bytes, lambda: randomness.token_urlsafe(32)),
    "base64": _KeyForm(_base64_key, _base64_secret),
    "hex": _KeyForm(_hex_key, lambda: randomness.token_hex(32)),
}
