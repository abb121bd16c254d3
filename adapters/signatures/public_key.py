"""Signatures with key pairs: the provider keeps the private key, the source knows the public one."""

import re
from base64 import b64encode
from functools import lru_cache
from typing import Protocol

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
    load_der_public_key,
    load_pem_private_key,
    load_pem_public_key,
)

from adapters.signatures.declaration import Declaration
from adapters.signatures.encodings import strict_base64
from adapters.signatures.signed import SignedScheme

KEYS_CACHED_MAX = 256
RSA_BITS_MIN = 1024
"""Postal's keys, which are DKIM keys, have 1024 bits."""
_RSA_BITS_GENERATED = 2048
_ED25519_BYTES = 32


class Algorithm(Protocol):
    """One kind of key pair. `public` and `private` are the texts in which keys are configured."""

    def check_public(self, public: str) -> None:
        """Raises ValueError when it is not a key of this kind."""
        ...

    def verifies(self, public: str, signature: bytes, message: bytes) -> bool: ...

    def sign(self, private: str, message: bytes) -> bytes: ...

    def generate(self) -> tuple[str, str]: ...


class PublicKey(SignedScheme):
    """A signature that the source's public key verifies."""

    def __init__(self, declaration: Declaration, algorithm: Algorithm) -> None:
        super().__init__(declaration, secret_name="public_key")  # noqa: S106  the name of one
        self._algorithm = algorithm
        if self.content.covers_secret:
            raise declaration.invalid("signed", "cannot include a secret: the public key is none")
        declaration.finish()

    def generate(self) -> tuple[str, str]:
        return self._algorithm.generate()

    def check_secret(self, secret: str) -> None:
        self._algorithm.check_public(secret)

    def _matches(self, secret: str, message: bytes, signatures: list[str]) -> bool:
        for signature in signatures:
            try:
                raw = self.slot.encoding.decode(signature)
            except ValueError:
                continue
            if self._algorithm.verifies(secret, raw, message):
                return True
        return False

    def _signature(self, secret: str, message: bytes) -> bytes:
        return self._algorithm.sign(secret, message)


class Ecdsa:
    """P-256 with SHA-256, the signature in DER (SendGrid)."""

    _hash = ec.ECDSA(hashes.SHA256())

    def check_public(self, public: str) -> None:
        _p256_public(public)

    def verifies(self, public: str, signature: bytes, message: bytes) -> bool:
        try:
            _p256_public(public).verify(signature, message, self._hash)
        except InvalidSignature:
            return False
        return True

    def sign(self, private: str, message: bytes) -> bytes:
        key = _private_key(private)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise ValueError("it is not a private P-256 key")
        return key.sign(message, self._hash)

    def generate(self) -> tuple[str, str]:
        key = ec.generate_private_key(ec.SECP256R1())
        return _spki_base64(key.public_key()), _pkcs8_pem(key)


class Rsa:
    """PKCS #1 v1.5 (Postal)."""

    def __init__(self, algorithm: str) -> None:
        self._hash = RSA_HASHES[algorithm]
        self._padding = padding.PKCS1v15()

    def check_public(self, public: str) -> None:
        self._public(public)

    def verifies(self, public: str, signature: bytes, message: bytes) -> bool:
        try:
            self._public(public).verify(signature, message, self._padding, self._hash)
        except InvalidSignature:
            return False
        return True

    def sign(self, private: str, message: bytes) -> bytes:
        key = _private_key(private)
        if not isinstance(key, rsa.RSAPrivateKey):
            raise ValueError("it is not a private RSA key")
        return key.sign(message, self._padding, self._hash)

    def generate(self) -> tuple[str, str]:
        key = rsa.generate_private_key(public_exponent=65537, key_size=_RSA_BITS_GENERATED)
        return _spki_base64(key.public_key()), _pkcs8_pem(key)

    def _public(self, public: str) -> rsa.RSAPublicKey:
        key = _public_key(public)
        if not isinstance(key, rsa.RSAPublicKey) or key.key_size < RSA_BITS_MIN:
            raise ValueError(f"it is not a public RSA key of {RSA_BITS_MIN} bits or more")
        return key


RSA_HASHES: dict[str, hashes.HashAlgorithm] = {
    "sha256": hashes.SHA256(),
    "sha1": hashes.SHA1(),  # noqa: S303  what Postal before 3.0 signs with
}


class Ed25519:
    """Ed25519; keys also as base64 of the raw 32 bytes, in Standard Webhooks (v1a) with `whpk_` and `whsk_` before."""

    def __init__(self, *, prefixed: bool) -> None:
        self._public_prefix, self._private_prefix = ("whpk_", "whsk_") if prefixed else ("", "")

    def check_public(self, public: str) -> None:
        _ed25519_public(public)

    def verifies(self, public: str, signature: bytes, message: bytes) -> bool:
        try:
            _ed25519_public(public).verify(signature, message)
        except InvalidSignature:
            return False
        return True

    def sign(self, private: str, message: bytes) -> bytes:
        return _ed25519_private(private).sign(message)

    def generate(self) -> tuple[str, str]:
        key = ed25519.Ed25519PrivateKey.generate()
        public, private = key.public_key().public_bytes_raw(), key.private_bytes_raw()
        return self._public_prefix + b64encode(public).decode(), self._private_prefix + b64encode(private).decode()


@lru_cache(maxsize=KEYS_CACHED_MAX)
def _public_key(text: str) -> PublicKeyTypes:
    """PEM, base64 of DER (SPKI or PKCS #1), or a DKIM record."""
    try:
        if "-----BEGIN" in text:
            return load_pem_public_key(_pem(text))
        return load_der_public_key(_base64(_dkim_key(text)))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ValueError("it is not a public key in PEM or base64: was it copied as a whole?") from error


@lru_cache(maxsize=KEYS_CACHED_MAX)
def _p256_public(text: str) -> ec.EllipticCurvePublicKey:
    key = _public_key(text)
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise ValueError("it is not a public P-256 key")
    return key


@lru_cache(maxsize=KEYS_CACHED_MAX)
def _ed25519_public(text: str) -> ed25519.Ed25519PublicKey:
    raw = _raw_key(text.removeprefix("whpk_"))
    if raw is not None and len(raw) == _ED25519_BYTES:
        return ed25519.Ed25519PublicKey.from_public_bytes(raw)
    key = _public_key(text)
    if not isinstance(key, ed25519.Ed25519PublicKey):
        raise ValueError("it is not a public Ed25519 key")
    return key


@lru_cache(maxsize=KEYS_CACHED_MAX)
def _private_key(text: str) -> PrivateKeyTypes:
    try:
        if "-----BEGIN" in text:
            return load_pem_private_key(_pem(text), password=None)
        return load_der_private_key(_base64(text), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:  # TypeError: the key has a passphrase
        raise ValueError("it is not a private key in PEM or base64 without a passphrase") from error


@lru_cache(maxsize=KEYS_CACHED_MAX)
def _ed25519_private(text: str) -> ed25519.Ed25519PrivateKey:
    raw = _raw_key(text.removeprefix("whsk_"))
    if raw is not None and len(raw) in (_ED25519_BYTES, 2 * _ED25519_BYTES):  # libsodium appends the public key
        return ed25519.Ed25519PrivateKey.from_private_bytes(raw[:_ED25519_BYTES])
    key = _private_key(text)
    if not isinstance(key, ed25519.Ed25519PrivateKey):
        raise ValueError("it is not a private Ed25519 key")
    return key


def _pem(text: str) -> bytes:
    return text.replace("\\n", "\n").strip().encode()


def _base64(text: str) -> bytes:
    return strict_base64("".join(text.split()))


def _dkim_key(text: str) -> str:
    record = re.match(r"\s*v=DKIM1\b.*?\bp=([A-Za-z0-9+/=\s]+)", text, re.DOTALL)
    return record[1] if record else text


def _raw_key(text: str) -> bytes | None:
    try:
        return _base64(text)
    except ValueError:
        return None


def _spki_base64(key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey) -> str:
    return b64encode(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()


def _pkcs8_pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
