"""Whether a webhook that a subscriber received proves who sent it; of one that does not, what is wrong. Pure.

Strategy: a signature only says yes or no. So when it says no, what usually goes wrong on the way is undone, one thing
at a time, until it says yes: that is the explanation. Where nothing helps, the length and the id of the body tell
whether it is still the one that was sent.
"""

import base64
import hmac
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from app.signer import PRIVATE_KEY_PREFIX, PUBLIC_KEY_PREFIX, SECRET_PREFIX, secret_key

TOLERANCE_S = 300
"""How old a webhook may be, and how far ahead of the subscriber's clock; what Standard Webhooks libraries allow."""

PLAIN, ID, TIMESTAMP, SIGNATURE = "x-webhook-signature", "webhook-id", "webhook-timestamp", "webhook-signature"
MISSING_HEADER, MALFORMED_HEADER, OTHER_KIND_OF_KEY = "missing_header", "malformed_header", "other_kind_of_key"
WRONG_SECRET, BODY_CHANGED, HEADERS_CHANGED = "wrong_secret", "body_changed", "headers_changed"
WRONG_SECRET_OR_BODY, TOO_OLD, IN_THE_FUTURE = "wrong_secret_or_body", "too_old", "in_the_future"

_HEX = re.compile(r"[0-9a-fA-F]{64}")
_SECONDS = re.compile(r"[0-9]{1,12}", re.ASCII)
_PUBLIC_KEY_BYTES = 32


class Check(msgspec.Struct, frozen=True):
    """One thing that was looked at."""

    check: str
    ok: bool
    says: str
    reason: str | None = None
    """Why not, as a word for programs."""


class Verdict(msgspec.Struct, frozen=True):
    """All that was looked at; `reason` and `advice` are of the first thing that is wrong."""

    valid: bool
    reason: str | None
    advice: str
    checks: list[Check]


class Webhook(msgspec.Struct, frozen=True):
    """What the subscriber received; `headers` has lower-case names."""

    headers: Mapping[str, str]
    body: bytes

    def header(self, name: str) -> str:
        """The header, empty when it is missing."""
        return self.headers.get(name, "").strip()

    @property
    def signed(self) -> bytes:
        """What a Standard Webhooks signature covers."""
        return f"{self.header(ID)}.{self.header(TIMESTAMP)}.".encode() + self.body

    def signatures(self, version: str) -> list[str]:
        """Those of `webhook-signature` that are of the version, in base64."""
        words = (word.partition(",") for word in self.header(SIGNATURE).split())
        return [text for given, _, text in words if given == version]


def check_keys(keys: Sequence[str]) -> None:
    """Raises ValueError, with a sentence, for a key that no subscriber verifies with."""
    for key in keys:
        if key.startswith(PRIVATE_KEY_PREFIX):
            raise ValueError(
                f"{PRIVATE_KEY_PREFIX}… is a private key, which signs; verify with the public one, {PUBLIC_KEY_PREFIX}…"
            )
        if key.startswith(PUBLIC_KEY_PREFIX):
            _public_key(key)
        else:
            secret_key(key)


def examine(webhook: Webhook, keys: Sequence[str], now_s: float, tolerance_s: float = TOLERANCE_S) -> Verdict:
    """Looks at everything; `keys` are secrets or public keys (`whpk_…`), any of which may have signed."""
    checks = [*_signatures(webhook, keys), *_timestamp(webhook, now_s, tolerance_s)]
    wrong = next((check for check in checks if not check.ok), None)
    if wrong is None:
        return Verdict(True, None, "The webhook is authentic.", checks)
    return Verdict(False, wrong.reason, wrong.says, checks)


def _signatures(webhook: Webhook, keys: Sequence[str]) -> Iterator[Check]:
    if not webhook.header(PLAIN) and not webhook.header(SIGNATURE):
        yield _missing(webhook, [PLAIN, SIGNATURE])
        return
    plain_holds = bool(webhook.header(PLAIN)) and _plain_holds(webhook, keys)
    if webhook.header(PLAIN):
        yield _plain(webhook, keys, holds=plain_holds)
    if absent := [name for name in (ID, TIMESTAMP, SIGNATURE) if not webhook.header(name)]:
        if len(absent) < 3:
            yield _missing(webhook, absent)
    else:
        yield _standard(webhook, keys, plain_holds=plain_holds)


def _plain(webhook: Webhook, keys: Sequence[str], *, holds: bool) -> Check:
    if holds:
        return Check(PLAIN, True, "It is the HMAC-SHA256 of this body by this secret.")
    if not _HEX.fullmatch(webhook.header(PLAIN)):
        return Check(PLAIN, False, f"{PLAIN} is not 64 hexadecimal digits.", MALFORMED_HEADER)
    if all(_is_public(key) for key in keys):
        says = f"{PLAIN} is made with a shared secret (whsec_…), and what was given is a public key."
        return Check(PLAIN, False, says, OTHER_KIND_OF_KEY)
    return _explained(PLAIN, webhook, keys)


def _standard(webhook: Webhook, keys: Sequence[str], *, plain_holds: bool) -> Check:
    hmacs, pairs = webhook.signatures("v1"), webhook.signatures("v1a")
    if not hmacs and not pairs:
        return Check(SIGNATURE, False, f"{SIGNATURE} holds no v1,… and no v1a,….", MALFORMED_HEADER)
    if _standard_holds(webhook, keys):
        return Check(SIGNATURE, True, "It covers this id, this timestamp and this body.")
    if not any(pairs if _is_public(key) else hmacs for key in keys):
        kind, needed = ("v1a", "public key (whpk_…)") if pairs else ("v1", "shared secret (whsec_…)")
        says = f"It is signed with {kind}, so that it takes the endpoint's {needed}; that is another kind of key."
        return Check(SIGNATURE, False, says, OTHER_KIND_OF_KEY)
    if plain_holds:
        says = f"Body and secret are right, so {ID} or {TIMESTAMP} is not as it was sent, or not of this request."
        return Check(SIGNATURE, False, says, HEADERS_CHANGED)
    return _explained(SIGNATURE, webhook, keys)


def _timestamp(webhook: Webhook, now_s: float, tolerance_s: float) -> Iterator[Check]:
    sent = webhook.header(TIMESTAMP)
    if not sent:
        return
    if not _SECONDS.fullmatch(sent):
        yield Check(TIMESTAMP, False, f"{TIMESTAMP} is not a number of seconds since 1970.", MALFORMED_HEADER)
        return
    age_s = now_s - int(sent)
    if age_s > tolerance_s:
        says = f"It was sent {_span(age_s)} ago; {_span(tolerance_s)} are allowed. An old request, or a wrong clock."
        yield Check(TIMESTAMP, False, says, TOO_OLD)
    elif age_s < -tolerance_s:
        says = (
            f"It was sent {_span(-age_s)} in the future; {_span(tolerance_s)} are allowed. Check this machine's clock."
        )
        yield Check(TIMESTAMP, False, says, IN_THE_FUTURE)
    else:
        yield Check(TIMESTAMP, True, f"It was sent {_span(abs(age_s))} {'ago' if age_s >= 0 else 'ahead'}.")


def _missing(webhook: Webhook, names: Sequence[str]) -> Check:
    if len(names) == 2:
        says = f"Neither {' nor '.join(names)} is there; a proxy may have removed them."
    else:
        says = f"{', '.join(names)} is missing; {ID}, {TIMESTAMP} and {SIGNATURE} belong together."
    arrived = f" What is there: {', '.join(sorted(webhook.headers)) or 'no header at all'}."
    return Check(names[0], False, says + arrived, MISSING_HEADER)


# Signatures.


def _holds(name: str, webhook: Webhook, keys: Sequence[str]) -> bool:
    return _plain_holds(webhook, keys) if name == PLAIN else _standard_holds(webhook, keys)


def _plain_holds(webhook: Webhook, keys: Sequence[str]) -> bool:
    given = webhook.header(PLAIN).lower().encode()
    return any(
        hmac.compare_digest(hmac.digest(key.encode(), webhook.body, "sha256").hex().encode(), given)
        for key in keys
        if not _is_public(key)
    )


def _standard_holds(webhook: Webhook, keys: Sequence[str]) -> bool:
    return any(_pair_holds(webhook, key) if _is_public(key) else _hmac_holds(webhook, key) for key in keys)


def _hmac_holds(webhook: Webhook, key: str) -> bool:
    try:
        expected = base64.b64encode(hmac.digest(secret_key(key), webhook.signed, "sha256"))
    except ValueError:
        return False
    return any(hmac.compare_digest(expected, text.encode()) for text in webhook.signatures("v1"))


def _pair_holds(webhook: Webhook, key: str) -> bool:
    public = _public_key(key)
    for text in webhook.signatures("v1a"):
        try:
            public.verify(base64.b64decode(text, validate=True), webhook.signed)
        except (InvalidSignature, ValueError):
            continue
        return True
    return False


def _is_public(key: str) -> bool:
    return key.startswith(PUBLIC_KEY_PREFIX)


def _public_key(key: str) -> Ed25519PublicKey:
    try:
        raw = base64.b64decode(key.removeprefix(PUBLIC_KEY_PREFIX) + "==", validate=False)
    except ValueError:
        raw = b""
    if len(raw) != _PUBLIC_KEY_BYTES:
        raise ValueError(f"A public key is {PUBLIC_KEY_PREFIX} and {_PUBLIC_KEY_BYTES} bytes in base64.")
    return Ed25519PublicKey.from_public_bytes(raw)


# Why one does not hold.


def _explained(name: str, webhook: Webhook, keys: Sequence[str]) -> Check:
    for body, what in _other_bodies(webhook.body):
        if _holds(name, msgspec.structs.replace(webhook, body=body), keys):
            says = (
                f"The body was changed on the way: {what}. Verify the bytes as they came, before anything reads them."
            )
            return Check(name, False, says, BODY_CHANGED)
    for other, what in _other_keys(keys):
        if _holds(name, webhook, [other]):
            return Check(name, False, f"The secret is not as it was shown: {what}.", WRONG_SECRET)
    return Check(name, False, *_unexplained(webhook))


def _other_bodies(body: bytes) -> Iterator[tuple[bytes, str]]:
    yield body.rstrip(b"\r\n"), "it has a line end at its end that was not sent"
    yield body.strip(), "it has white space around it that was not sent"
    yield body.replace(b"\r\n", b"\n"), "its line ends were changed"
    yield body.removeprefix(b"\xef\xbb\xbf"), "it begins with a byte order mark"
    try:
        yield msgspec.json.encode(msgspec.json.decode(body)), "its JSON was read and written anew"
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return


def _other_keys(keys: Sequence[str]) -> Iterator[tuple[str, str]]:
    for key in keys:
        yield key.strip().strip("\"'"), "it has spaces or quotes around it"
        yield SECRET_PREFIX + key, f"it begins with {SECRET_PREFIX}, which belongs to it"


def _unexplained(webhook: Webhook) -> tuple[str, str]:
    announced, length = webhook.header("content-length"), len(webhook.body)
    if announced and announced != str(length):
        return f"The body was changed on the way: {announced} bytes were sent, and here are {length}.", BODY_CHANGED
    try:
        sent = msgspec.json.decode(webhook.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return "The body was changed on the way: it is not JSON.", BODY_CHANGED
    event_id = cast("dict[str, Any]", sent).get("id") if isinstance(sent, dict) else None
    if webhook.header(ID).startswith("evt_") and isinstance(event_id, str) and event_id != webhook.header(ID):
        return (
            f"{ID} is {webhook.header(ID)}, and the body is of {event_id}: they are of two requests.",
            HEADERS_CHANGED,
        )
    if announced:
        return (
            "No secret that was given made this signature: it is of another endpoint, or of before a rotation "
            "(or letters of the body were exchanged, since its length is right).",
            WRONG_SECRET,
        )
    return (
        "The secret is another endpoint's, or of before a rotation; or the body was changed on the way. With the "
        "Content-Length that came along it could be told which.",
        WRONG_SECRET_OR_BODY,
    )


def _span(seconds: float) -> str:
    for unit, length in (("days", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"
