"""The headers by which a subscriber knows that a delivery is ours.

Two schemes side by side: the plain one (`X-Webhook-Signature`, hex HMAC-SHA256 of the body, the secret's text as key)
and Standard Webhooks (https://www.standardwebhooks.com, the three `webhook-*` headers). An endpoint with a key pair has
no shared secret and gets the second alone.
"""

import base64
import re
import secrets as randomness
from collections.abc import Callable, Sequence
from math import inf
from typing import Literal

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from adapters.signatures.keyed import keyed_digest
from app import __version__

USER_AGENT = f"Mailweir/{__version__}"

SECRET_PREFIX = "whsec_"  # noqa: S105 - the public prefix of every secret, not one
PRIVATE_KEY_PREFIX = "whsk_"
PUBLIC_KEY_PREFIX = "whpk_"
SECRET_CHARS_MIN, SECRET_CHARS_MAX = 16, 255
SECRET_BYTES_MIN, SECRET_BYTES_MAX = 24, 64
_SEED_BYTES = 32

_PRINTABLE_ASCII = re.compile(r"[!-~]([ -~]*[!-~])?")

Sign = Callable[[bytes], bytes]
SignatureKind = Literal["hmac", "ed25519"]


class Signer:
    """Signs for one endpoint; made once, used for every attempt.

    `secrets` are the valid ones, newest first: during a rotation `webhook-signature` carries one signature for each,
    `X-Webhook-Signature` (which can hold only one) that of the newest. For "ed25519" they are private keys
    (`whsk_…`), and `public_key` is what the subscriber verifies with. `ends_at_s` (unix seconds) says of those after
    the newest, in their order, when they stop signing; one it does not name never does. Raises ValueError for a secret
    it cannot use.
    """

    def __init__(
        self, secrets: Sequence[str], kind: SignatureKind = "hmac", *, ends_at_s: Sequence[float] = ()
    ) -> None:
        if not secrets:
            raise ValueError("An endpoint needs at least one secret to sign with.")
        self.public_key = public_key_of(secrets[0]) if kind == "ed25519" else None
        self._version = "v1a" if kind == "ed25519" else "v1"
        self._signs: list[Sign] = [
            _ed25519(text) if kind == "ed25519" else keyed_digest(secret_key(text), "sha256") for text in secrets
        ]
        self._ends_at_s = [inf, *ends_at_s, *[inf] * len(secrets)][: len(secrets)]
        self._next_end_s = min(self._ends_at_s)
        self._sign_body = keyed_digest(secrets[0].encode(), "sha256") if kind == "hmac" else None
        self._fixed = {"Content-Type": "application/json", "User-Agent": USER_AGENT}

    def headers(self, *, webhook_id: str, event_type: str, body: bytes, attempt: int, unix_s: int) -> dict[str, str]:
        """All headers of attempt number `attempt` (1 for the first), made at `unix_s`; the id is equal on every one."""
        if unix_s >= self._next_end_s:
            self._drop_ended(unix_s)
        signed = b"%b.%d.%b" % (webhook_id.encode(), unix_s, body)
        headers = {
            **self._fixed,
            "X-Webhook-Event": event_type,
            "X-Webhook-Attempt": str(attempt),
            "webhook-id": webhook_id,
            "webhook-timestamp": str(unix_s),
            "webhook-signature": " ".join(f"{self._version},{_base64(sign(signed))}" for sign in self._signs),
        }
        if self._sign_body is not None:
            headers["X-Webhook-Signature"] = self._sign_body(body).hex()
        return headers

    def _drop_ended(self, unix_s: int) -> None:
        valid = [at for at, end_s in enumerate(self._ends_at_s) if end_s > unix_s]
        self._signs = [self._signs[at] for at in valid]
        self._ends_at_s = [self._ends_at_s[at] for at in valid]
        self._next_end_s = min(self._ends_at_s)


def generate_secret() -> str:
    """A new shared secret: `whsec_` and 32 random bytes in base64, the form Standard Webhooks libraries expect."""
    return SECRET_PREFIX + _base64(randomness.token_bytes(32))


def check_secret(text: str) -> None:
    """Raises ValueError, with a sentence for the user, when `text` cannot be the shared secret of an endpoint."""
    if not SECRET_CHARS_MIN <= len(text) <= SECRET_CHARS_MAX:
        raise ValueError(f"A secret has {SECRET_CHARS_MIN} to {SECRET_CHARS_MAX} characters; this one has {len(text)}.")
    if not _PRINTABLE_ASCII.fullmatch(text):
        raise ValueError("A secret consists of printable ASCII characters, without spaces around them.")
    if text.startswith(SECRET_PREFIX) and not SECRET_BYTES_MIN <= len(secret_key(text)) <= SECRET_BYTES_MAX:
        raise ValueError(f"A {SECRET_PREFIX} secret holds {SECRET_BYTES_MIN} to {SECRET_BYTES_MAX} bytes in base64.")


def secret_key(text: str) -> bytes:
    """The Standard Webhooks key of a secret: the bytes behind `whsec_`, or for any other text its own UTF-8 bytes.

    A subscriber with a secret of the second kind must hand the bytes to a Standard Webhooks library
    (`Webhook(secret.encode())`), because these libraries decode every text as base64.
    """
    if not text.startswith(SECRET_PREFIX):
        return text.encode()
    return _unbase64(text.removeprefix(SECRET_PREFIX), what=f"The part of the secret after {SECRET_PREFIX}")


def generate_key_pair() -> tuple[str, str]:
    """A new private key (`whsk_` and base64 of seed and public half) and its public key (`whpk_…`)."""
    key = Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes_raw()
    return PRIVATE_KEY_PREFIX + _base64(key.private_bytes_raw() + public), PUBLIC_KEY_PREFIX + _base64(public)


def public_key_of(private_key: str) -> str:
    """The `whpk_…` text of a `whsk_…` key; raises ValueError when it is not one."""
    return PUBLIC_KEY_PREFIX + _base64(_private_key(private_key).public_key().public_bytes_raw())


def _private_key(text: str) -> Ed25519PrivateKey:
    if not text.startswith(PRIVATE_KEY_PREFIX):
        raise ValueError(f"A private key begins with {PRIVATE_KEY_PREFIX}.")
    raw = _unbase64(text.removeprefix(PRIVATE_KEY_PREFIX), what=f"The part of the key after {PRIVATE_KEY_PREFIX}")
    if len(raw) not in (_SEED_BYTES, 2 * _SEED_BYTES):
        raise ValueError("A private key holds 32 bytes (the seed) or 64 (seed and public half) in base64.")
    key = Ed25519PrivateKey.from_private_bytes(raw[:_SEED_BYTES])
    if raw[_SEED_BYTES:] not in (b"", key.public_key().public_bytes_raw()):
        raise ValueError("The public half of the private key does not belong to its seed.")
    return key


def _ed25519(private_key: str) -> Sign:
    return _private_key(private_key).sign


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _unbase64(text: str, *, what: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except ValueError as broken:
        raise ValueError(f"{what} is not base64.") from broken
