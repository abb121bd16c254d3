"""Several schemes for the same secret, any of which proves the request."""

from collections.abc import Sequence
from typing import Any

from adapters.errors import VerificationFailed
from adapters.request import NativeRequest
from adapters.signatures.carriers import joined
from adapters.signatures.declaration import DeclarationInvalid
from adapters.signatures.scheme import Scheme


class AnyOf:
    """Tried in order; for providers that sign two kinds of body (Mailgun) or send two signatures (Postal).

    A scheme without a secret, by address, may be among them.
    """

    def __init__(self, schemes: Sequence[Scheme], key: str = "schemes") -> None:
        self._keyed = [scheme for scheme in schemes if scheme.secret_name]
        if len({scheme.secret_name for scheme in self._keyed}) != 1:
            raise DeclarationInvalid(key, "must all use the same secret" if self._keyed else "one must use a secret")
        self._schemes = schemes
        self._body_readers = [scheme for scheme in schemes if scheme.reads_body]
        self.reads_body = bool(self._body_readers)
        self.by_address = len(self._keyed) < len(schemes)
        """Whether an address is enough, so that the secret need not have proved a request."""
        self.secret_name = self._keyed[0].secret_name
        self.challenge = next((scheme.challenge for scheme in schemes if scheme.challenge), None)
        self.carriers = joined(scheme.carriers for scheme in schemes)

    def needs_body(self, request: NativeRequest) -> bool:
        for scheme in self._body_readers:  # noqa: SIM110  any() costs as much again, on the hot path
            if scheme.needs_body(request):
                return True
        return False

    def verify(self, request: NativeRequest, body: Any, secrets: Sequence[str], at: float | None) -> str | None:
        mistakes: list[str] = []
        for scheme in self._schemes:
            try:
                return scheme.verify(request, body, secrets, at)
            except VerificationFailed as error:
                mistakes.append(str(error))
        raise VerificationFailed("; or ".join(dict.fromkeys(mistakes)))

    def sign(self, request: NativeRequest, body: Any, secret: str, at: float) -> NativeRequest:
        """Signed by the first scheme that this request allows."""
        mistakes: list[str] = []
        for scheme in self._keyed:
            try:
                return scheme.sign(request, body, secret, at)
            except ValueError as error:
                mistakes.append(str(error))
        raise ValueError("; or ".join(dict.fromkeys(mistakes)))

    def generate(self) -> tuple[str, str]:
        return self._keyed[0].generate()

    def check_secret(self, secret: str) -> None:
        for scheme in self._keyed:
            scheme.check_secret(secret)
