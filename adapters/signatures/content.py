"""What a signature covers: the parts of a request, one after the other."""

from base64 import b64decode
from collections.abc import Callable
from typing import Any, cast
from urllib.parse import unquote_to_bytes, urlsplit, urlunsplit

import msgspec

from adapters.errors import VerificationFailed
from adapters.request import NativeRequest
from adapters.signatures.declaration import Declaration
from adapters.signatures.places import Header, HeaderFields, Place, in_body, place


class Covered(msgspec.Struct):
    """All that a signature can cover."""

    request: NativeRequest
    body: Any
    """The decoded body, or None."""
    secret: str
    signature: str
    """The one that came with the request."""


Part = Callable[[Covered], bytes]


class SignedContent:
    """The declared list `signed`, compiled."""

    def __init__(self, declaration: Declaration, fields: HeaderFields | None) -> None:
        self._parts: list[Part | bytes] = []
        self.headers: list[Header] = []
        entries = declaration.entries("signed")
        self.reads_body = "sorted_form" in entries
        """Whether a part of it stands in the decoded body."""
        self.covers_secret = bool({"secret", "raw_body_with_secret"}.intersection(map(str, entries)))
        for index, entry in enumerate(entries):
            self._parts.append(self._part(entry, declaration.path(f"signed[{index}]"), fields))

    def message(self, covered: Covered) -> bytes:
        """The bytes that were signed. Raises VerificationFailed when a part of them is missing."""
        return b"".join([part if isinstance(part, bytes) else part(covered) for part in self._parts])

    def _part(self, entry: Any, key: str, fields: HeaderFields | None) -> Part | bytes:
        if isinstance(entry, str):
            return _WORDS.get(entry) or entry.encode()
        declaration = Declaration(entry, key)
        text = declaration.text("text").encode() if "text" in declaration else None
        part = text if text is not None else self._text_at(place(declaration, fields))
        declaration.finish()
        return part

    def _text_at(self, where: Place) -> Part:
        if isinstance(where, Header):
            self.headers.append(where)
            return _header(where)
        self.reads_body = self.reads_body or in_body(where)
        return lambda covered: to_bytes(where.read(covered.request, covered.body))


def to_bytes(text: str) -> bytes:
    """UTF-8 that never fails: a lone surrogate from a hostile header cannot match, and must not raise either."""
    return text.encode("utf-8", "surrogatepass")


def _header(where: Header) -> Part:
    name = where.name

    def part(covered: Covered) -> bytes:
        text = covered.request.headers.get(name) or where.read(covered.request, covered.body)
        return to_bytes(text)

    return part


def _raw_body(covered: Covered) -> bytes:
    return covered.request.body


def _url_decoded_body(covered: Covered) -> bytes:
    """JSON that was URL-encoded as a whole after it was signed (ZeptoMail); what is read otherwise is refused."""
    if not covered.request.body.startswith(b"%") or b"=" in covered.request.body:
        raise VerificationFailed("signature does not match, and the body is not URL-encoded as a whole")
    return unquote_to_bytes(covered.request.body.replace(b"+", b" "))


def _raw_body_with_secret(covered: Covered) -> bytes:
    """The raw body with the secret where the signature stands (Unisender Go)."""
    return covered.request.body.replace(to_bytes(covered.signature), to_bytes(covered.secret))


def _secret(covered: Covered) -> bytes:
    return to_bytes(covered.secret)


def _url(covered: Covered) -> bytes:
    """The URL as the provider knows it: credentials that HTTP moved into the Authorization header are put back."""
    scheme, _, credentials = covered.request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return to_bytes(covered.request.url)
    try:
        parts = urlsplit(covered.request.url)
        userinfo = b64decode(credentials, validate=True).decode()
    except ValueError as error:
        raise VerificationFailed("the URL or the basic credentials of the request cannot be read") from error
    if "@" in parts.netloc:
        return to_bytes(covered.request.url)
    return to_bytes(urlunsplit(parts._replace(netloc=f"{userinfo}@{parts.netloc}")))


def _sorted_form(covered: Covered) -> bytes:
    """Every form field in the order of the names, each as its name and then its value (Mandrill)."""
    body = covered.body
    if not isinstance(body, dict):
        raise VerificationFailed("the body is not a form, which the signature would cover")
    fields = sorted(cast("dict[str, Any]", body).items())
    return to_bytes("".join([f"{name}{value}" for name, value in fields if isinstance(value, str)]))


_WORDS: dict[str, Part] = {
    "raw_body": _raw_body,
    "raw_body_with_secret": _raw_body_with_secret,
    "url_decoded_body": _url_decoded_body,
    "url": _url,
    "secret": _secret,
    "sorted_form": _sorted_form,
}
