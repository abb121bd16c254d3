"""What every verification scheme can do."""

from collections.abc import Sequence
from typing import Any, Protocol

from adapters.request import NativeRequest
from adapters.signatures.carriers import Carriers

SECRET_NAMES = ("signing_secret", "public_key", "basic_auth", "token")
"""The names under which a source keeps its secrets."""


class Scheme(Protocol):
    """One way in which a provider proves that a request is its own."""

    @property
    def secret_name(self) -> str:
        """Which of the source's secrets it needs, one of SECRET_NAMES; empty where it needs none."""
        ...

    @property
    def challenge(self) -> str | None:
        """The WWW-Authenticate header of a refusal, where the provider sends credentials only when asked."""
        ...

    @property
    def carriers(self) -> Carriers:
        """Where the secret itself travels with the request; nowhere for signatures."""
        ...

    @property
    def reads_body(self) -> bool:
        """Whether it ever needs the decoded body: most proofs stand in headers and cover the raw one."""
        ...

    def needs_body(self, request: NativeRequest) -> bool:
        """Whether the body must be decoded for `verify`; not where it refuses the request without looking at that."""
        ...

    def verify(self, request: NativeRequest, body: Any, secrets: Sequence[str], at: float | None) -> str | None:
        """The token that must not be accepted twice, where the scheme has one. Raises VerificationFailed, always.

        `body` is the decoded body, or None when it could not be decoded or need not be. Any of `secrets` may match
        (rotation). `at` is now in unix seconds; None leaves out the check of the request's age.
        """
        ...

    def sign(self, request: NativeRequest, body: Any, secret: str, at: float) -> NativeRequest:
        """The same request, signed as the provider would at `at`.

        `secret` is what signs: for key pairs the private key. A signature inside the body re-encodes `body`. Raises
        ValueError where the body or the secret does not allow it.
        """
        ...

    def generate(self) -> tuple[str, str]:
        """A new secret: what the source stores, and what signs. They are equal unless the scheme has key pairs."""
        ...

    def check_secret(self, secret: str) -> None:
        """Raises ValueError with a sentence for the operator when `secret` can never verify anything."""
        ...
