"""Proof by a password that travels with the request: basic credentials, or a token in a header or the query."""

# ruff: noqa: ARG002  credentials cover neither the body nor the time
import hmac
import secrets as randomness
from base64 import b64encode
from collections.abc import Sequence
from typing import Any

from adapters.errors import VerificationFailed
from adapters.request import NativeRequest
from adapters.signatures.carriers import Carriers
from adapters.signatures.content import to_bytes
from adapters.signatures.declaration import Declaration
from adapters.signatures.encodings import strict_base64
from adapters.signatures.places import Draft, Header, Query, in_body, place
from adapters.signatures.scheme import SECRET_NAMES


class BasicCredentials:
    """HTTP basic authentication against "user:password"; providers take it from the URL they were given."""

    reads_body = False
    challenge = 'Basic realm="webhooks", charset="UTF-8"'
    carriers = Carriers(headers=frozenset({"authorization"}))

    def __init__(self, declaration: Declaration) -> None:
        self.secret_name = declaration.choice("secret", SECRET_NAMES, "basic_auth")
        declaration.finish()

    def needs_body(self, request: NativeRequest) -> bool:
        return False

    def verify(self, request: NativeRequest, body: Any, secrets: Sequence[str], at: float | None) -> str | None:
        word, _, encoded = request.headers.get("authorization", "").partition(" ")
        if word.lower() != "basic":
            raise VerificationFailed(
                "no basic credentials were sent: does the URL at the provider hold user:password@?"
            )
        try:
            given = strict_base64(encoded.strip())
        except ValueError as error:
            raise VerificationFailed("the basic credentials are not base64") from error
        _refuse_unless_among(given, [secret for secret in secrets if ":" in secret], self.secret_name)

    def sign(self, request: NativeRequest, body: Any, secret: str, at: float) -> NativeRequest:
        draft = Draft(request, body)
        draft.headers["authorization"] = f"Basic {b64encode(to_bytes(secret)).decode()}"
        return draft.request()

    def generate(self) -> tuple[str, str]:
        secret = f"mailweir:{randomness.token_urlsafe(24)}"
        return secret, secret

    def check_secret(self, secret: str) -> None:
        user, colon, password = secret.partition(":")
        if not user or not colon or not password:
            raise ValueError("it must be user:password")


class Token:
    """A fixed text in a header (bearer or custom) or in the query of the URL."""

    challenge: str | None = None

    def __init__(self, declaration: Declaration) -> None:
        self.secret_name = declaration.choice("secret", SECRET_NAMES, "token")
        self._place = place(declaration)
        self.reads_body = in_body(self._place)
        self._prefix = declaration.text("prefix", "") if isinstance(self._place, Header) else ""
        declaration.finish()
        self.carriers = Carriers(
            headers=frozenset({self._place.name} if isinstance(self._place, Header) else ()),
            query=frozenset({self._place.name} if isinstance(self._place, Query) else ()),
        )

    def needs_body(self, request: NativeRequest) -> bool:
        return self.reads_body

    def verify(self, request: NativeRequest, body: Any, secrets: Sequence[str], at: float | None) -> str | None:
        text = self._place.read(request, body)
        prefix, given = text[: len(self._prefix)], text[len(self._prefix) :]
        if prefix.lower() != self._prefix.lower():
            raise VerificationFailed(f"the token does not begin with {self._prefix.strip()}")
        _refuse_unless_among(to_bytes(given), secrets, self.secret_name)

    def sign(self, request: NativeRequest, body: Any, secret: str, at: float) -> NativeRequest:
        draft = Draft(request, body)
        self._place.write(draft, self._prefix + secret)
        return draft.request()

    def generate(self) -> tuple[str, str]:
        secret = randomness.token_urlsafe(32)
        return secret, secret

    def check_secret(self, secret: str) -> None:
        if not secret or secret != secret.strip():
            raise ValueError("it is empty, or begins or ends with a blank")


def _refuse_unless_among(given: bytes, secrets: Sequence[str], secret_name: str) -> None:
    usable = [to_bytes(secret) for secret in secrets if secret]
    if not usable:
        raise VerificationFailed(f"no usable {secret_name} is configured for this source")
    if not any(hmac.compare_digest(given, secret) for secret in usable):
        raise VerificationFailed(
            f"the {secret_name} sent is not the one of this source: is it the same at the provider?"
        )
