"""What all signatures have in common: where one stands, what it covers, how old it may be, and how one is put there."""

import re
import secrets as randomness
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import quote, unquote

from adapters.errors import VerificationFailed
from adapters.request import NativeRequest
from adapters.signatures.carriers import NO_PASSWORDS
from adapters.signatures.content import SignedContent
from adapters.signatures.declaration import Declaration
from adapters.signatures.encodings import ENCODINGS
from adapters.signatures.places import Draft, Header, HeaderFields, Place, in_body, place
from adapters.signatures.scheme import SECRET_NAMES

SIGNATURES_MAX = 16
"""Signatures in one request: providers send one for each secret that is valid during a rotation."""


class SignedScheme(ABC):
    """A signature over declared parts of the request; subclasses say how it is made and checked."""

    challenge: str | None = None
    carriers = NO_PASSWORDS

    def __init__(self, declaration: Declaration, *, secret_name: str) -> None:
        self.secret_name = declaration.choice("secret", SECRET_NAMES, secret_name)
        self._no_secret = f"no {self.secret_name} is configured for this source"
        self._more_keys: Callable[[NativeRequest, Any, Sequence[str]], Sequence[str]] | None = None
        """Those that may have signed a request, where a subclass knows more than the source's secrets."""
        self.slot = SignatureSlot(declaration.section("signature"))
        self.content = SignedContent(declaration, self.slot.fields)
        self._timestamp = _timestamp(declaration, self.slot.fields)
        self._once = _place_at(declaration, "once", self.slot.fields)
        self.reads_body = (
            self.slot.in_body
            or self.content.reads_body
            or in_body(self._once)
            or (self._timestamp is not None and self._timestamp.reads_body)
        )

    def needs_body(self, request: NativeRequest) -> bool:
        return self.reads_body and (self.slot.in_body or self.slot.is_filled(request))

    def verify(self, request: NativeRequest, body: Any, secrets: Sequence[str], at: float | None) -> str | None:
        self._authenticate(
            request, body, secrets if self._more_keys is None else self._more_keys(request, body, secrets)
        )
        if self._timestamp is not None:
            self._timestamp.check(request, body, at)
        return self._once.read(request, body) if self._once is not None else None

    def sign(self, request: NativeRequest, body: Any, secret: str, at: float) -> NativeRequest:
        draft = Draft(request, body)
        self.slot.clear(draft)
        for header in self.content.headers:
            draft.headers.setdefault(header.name, f"msg_{randomness.token_hex(12)}")
        if self._timestamp is not None:
            self._timestamp.write(draft, at)
        if self._once is not None:
            self._once.write(draft, randomness.token_hex(25))
        return self._signed(draft, secret)

    @abstractmethod
    def generate(self) -> tuple[str, str]: ...

    @abstractmethod
    def check_secret(self, secret: str) -> None: ...

    @abstractmethod
    def _matches(self, secret: str, message: bytes, signatures: list[str]) -> bool:
        """True when one of `signatures` is that of `message`. Raises ValueError when the secret is unusable."""

    @abstractmethod
    def _signature(self, secret: str, message: bytes) -> bytes: ...

    def _authenticate(self, request: NativeRequest, body: Any, secrets: Sequence[str]) -> None:
        signatures = self.slot.read(request, body)
        mistake = self._no_secret
        for secret in secrets:
            message = self.content.message(request, body, secret, signatures[0])
            try:
                if self._matches(secret, message, signatures):
                    return
                mistake = self._mismatch(signatures)
            except ValueError as error:
                mistake = f"the configured {self.secret_name} cannot be used: {error}"
        raise VerificationFailed(mistake)

    def _mismatch(self, signatures: list[str]) -> str:
        try:
            self.slot.encoding.decode(signatures[0])
        except ValueError:
            return f"the signature is not {self.slot.encoding.name}"
        return f"signature does not match: is this the {self.secret_name.replace('_', ' ')} of this endpoint?"

    def _signed(self, draft: Draft, secret: str) -> NativeRequest:
        # A signature inside the body has its place there before the body is signed: only the digits change afterwards.
        stand_in = randomness.token_hex(16)
        if self.slot.in_body:
            self.slot.write(draft, stand_in)
        try:
            message = self.content.message(draft.request(), draft.body, secret, stand_in)
        except VerificationFailed as error:
            raise ValueError(f"the request cannot be signed: {error}") from error
        self.slot.write(draft, self.slot.encoding.encode(self._signature(secret, message)))
        return draft.request()


class SignatureSlot:
    """Where the signature stands and how it is written there."""

    def __init__(self, declaration: Declaration) -> None:
        self.encoding = ENCODINGS[declaration.choice("encoding", ENCODINGS, "base64")]
        self._url_decode = declaration.flag("url_decode")
        self.fields: HeaderFields | None = None
        self._field = ""
        if "field" in declaration:
            self._field = declaration.text("field")
            separator = declaration.text("fields_separator", ",")
            header = declaration.text("header")
            self.fields = HeaderFields(header, separator, url_decode=self._url_decode)
            self._place: Place = self.fields.header
        else:
            self._place = place(declaration)
        self.in_body = in_body(self._place)
        self._prefix = declaration.text("prefix", "")
        self._separator = declaration.text("separator", "")
        self._lower = declaration.choice("case", ("lower", "any"), "lower") == "any"
        if self._lower and self.encoding.name != "hex":
            raise declaration.invalid("case", "has a meaning for hex only")
        self._alone = not (self.fields or self._url_decode or self._prefix or self._separator or self._lower)
        declaration.finish()

    def read(self, request: NativeRequest, body: Any) -> list[str]:
        """One or more signatures, as text. Raises VerificationFailed when there is none."""
        if self._alone and (text := self._place.read(request, body)):
            return [text]
        if self.fields is not None:
            texts = self.fields.values(request, self._field)
        else:
            texts = self._texts(self._place.read(request, body))
        found = [text[len(self._prefix) :] for text in texts if text.startswith(self._prefix) and text != self._prefix]
        if not found:
            raise VerificationFailed("there is no signature of the declared kind: did the provider send this request?")
        if len(found) > SIGNATURES_MAX:
            raise VerificationFailed(f"there are more than {SIGNATURES_MAX} signatures")
        return [text.lower() for text in found] if self._lower else found

    def is_filled(self, request: NativeRequest) -> bool:
        """Whether there is a signature, for one that stands outside of the body."""
        try:
            return bool(self.read(request, None))
        except VerificationFailed:
            return False

    def write(self, draft: Draft, signature: str) -> None:
        if self.fields is not None:
            self.fields.add(draft, self._field, self._prefix + signature)
        else:
            text = self._prefix + signature
            self._place.write(draft, quote(text, safe="") if self._url_decode else text)

    def clear(self, draft: Draft) -> None:
        """Removes the header of a signature that the request may have had."""
        if isinstance(self._place, Header):
            draft.headers.pop(self._place.name, None)

    def _texts(self, text: str) -> list[str]:
        if self._url_decode:
            text = unquote(text)
        return text.split(self._separator, SIGNATURES_MAX + 1) if self._separator else [text]


class Timestamp:
    """When the provider signed the request, and how far that may be from now."""

    def __init__(self, declaration: Declaration, fields: HeaderFields | None) -> None:
        self._place = place(declaration, fields)
        self._per_second = _UNITS[declaration.choice("unit", _UNITS, "s")]
        tolerance_s = declaration.seconds("tolerance_s") if "tolerance_s" in declaration else None
        self._past_s = declaration.seconds("past_s", tolerance_s)
        self._future_s = declaration.seconds("future_s", tolerance_s)
        self._unlimited = self._past_s == self._future_s == float("inf")
        self._repeated = _place_at(declaration, "repeated", fields)
        self.reads_body = in_body(self._place) or in_body(self._repeated)
        declaration.finish()

    def check(self, request: NativeRequest, body: Any, at: float | None) -> None:
        """Raises VerificationFailed when the time is too far away from `at`, or no time, or said twice differently."""
        if self._repeated is not None:
            self._check_repetition(self._repeated, request, body)
        if self._unlimited or at is None:
            return
        text = self._place.read(request, body)
        if not (len(text) <= _DIGITS_MAX and text.isascii() and text.isdigit()) and not _NUMBER.fullmatch(text):
            raise VerificationFailed("the timestamp is not a number of seconds or milliseconds since 1970")
        age_s = at - float(text) / self._per_second
        if not age_s <= self._past_s:
            raise VerificationFailed(
                f"timestamp is {age_s:,.0f} s old, {self._past_s:,.0f} s are allowed: is the clock right?"
            )
        if not -age_s <= self._future_s:
            raise VerificationFailed(
                f"timestamp is {-age_s:,.0f} s in the future, {self._future_s:,.0f} s are allowed: is the clock right?"
            )

    def _check_repetition(self, place: Place, request: NativeRequest, body: Any) -> None:
        try:
            repeated = place.read(request, body)
        except VerificationFailed:  # once is enough
            return
        if repeated != self._place.read(request, body):
            raise VerificationFailed("the request says two different times")

    def write(self, draft: Draft, at: float) -> None:
        for where in (self._place, self._repeated):
            if where is not None:
                where.write(draft, str(int(at * self._per_second)))


_UNITS = {"s": 1, "ms": 1000}
_DIGITS_MAX = 17
_NUMBER = re.compile(rf"[0-9]{{1,{_DIGITS_MAX}}}(\.[0-9]{{1,9}})?")


def _timestamp(declaration: Declaration, fields: HeaderFields | None) -> Timestamp | None:
    return Timestamp(declaration.section("timestamp"), fields) if "timestamp" in declaration else None


def _place_at(declaration: Declaration, name: str, fields: HeaderFields | None) -> Place | None:
    """The place that the section `name` describes, where there is one."""
    if name not in declaration:
        return None
    section = declaration.section(name)
    found = place(section, fields)
    section.finish()
    return found
