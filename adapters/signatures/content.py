"""What a signature covers: the parts of a request, one after the other."""

from base64 import b64decode
from collections.abc import Callable
from typing import Any, cast
from urllib.parse import unquote_to_bytes, urlsplit, urlunsplit

from adapters.errors import VerificationFailed
from adapters.request import NativeRequest
from adapters.signatures.declaration import Declaration
from adapters.signatures.places import Header, HeaderFields, Place, in_body, place

Part = Callable[[NativeRequest, Any, str, str], bytes]
"""Some of what a signature covers, of the request, its decoded body (or None), the secret and the signature."""


class SignedContent:
    """The declared list `signed`, compiled."""

    def __init__(self, declaration: Declaration, fields: HeaderFields | None) -> None:
        self._parts: list[Part] = []
        self.headers: list[Header] = []
        entries = declaration.entries("signed")
        self.reads_body = "sorted_form" in entries
        """Whether a part of it stands in the decoded body."""
        self.covers_secret = bool({"secret", "raw_body_with_secret"}.intersection(map(str, entries)))
        for index, entry in enumerate(entries):
            self._parts.append(self._part(entry, declaration.path(f"signed[{index}]"), fields))

    def message(self, request: NativeRequest, body: Any, secret: str, signature: str) -> bytes:
        """The bytes that were signed. Raises VerificationFailed when a part of them is missing."""
        message = b""
        for part in self._parts:  # the raw body stands last nearly always, so that it is copied once
            message += part(request, body, secret, signature)
        return message

    def _part(self, entry: Any, key: str, fields: HeaderFields | None) -> Part:
        if isinstance(entry, str):
            return _WORDS.get(entry) or _as_written(entry)
        declaration = Declaration(entry, key)
        part = (
            _as_written(declaration.text("text"))
            if "text" in declaration
            else self._text_at(place(declaration, fields))
        )
        declaration.finish()
        return part

    def _text_at(self, where: Place) -> Part:
        if isinstance(where, Header):
            self.headers.append(where)
            return _header(where)
        self.reads_body = self.reads_body or in_body(where)
        read = where.read
        return lambda request, body, _secret, _signature: read(request, body).encode("utf-8", "surrogatepass")


def to_bytes(text: str) -> bytes:
    """UTF-8 that never fails: a lone surrogate from a hostile header cannot match, and must not raise either."""
    return text.encode("utf-8", "surrogatepass")


def _as_written(text: str) -> Part:
    constant = text.encode()
    return lambda _request, _body, _secret, _signature: constant


def _header(where: Header) -> Part:
    name = where.name
    return lambda request, body, _secret, _signature: to_bytes(request.headers.get(name) or where.read(request, body))


def _raw_body(request: NativeRequest, _body: Any, _secret: str, _signature: str) -> bytes:
    return request.body


def _url_decoded_body(request: NativeRequest, _body: Any, _secret: str, _signature: str) -> bytes:
    """JSON that was URL-encoded as a whole after it was signed (ZeptoMail); what is read otherwise is refused."""
    if not request.body.startswith(b"%") or b"=" in request.body:
        raise VerificationFailed("signature does not match, and the body is not URL-encoded as a whole")
    return unquote_to_bytes(request.body.replace(b"+", b" "))


def _raw_body_with_secret(request: NativeRequest, _body: Any, secret: str, signature: str) -> bytes:
    """The raw body with the secret where the signature stands (Unisender Go)."""
    return request.body.replace(to_bytes(signature), to_bytes(secret))


def _secret(_request: NativeRequest, _body: Any, secret: str, _signature: str) -> bytes:
    return to_bytes(secret)


def _url(request: NativeRequest, _body: Any, _secret: str, _signature: str) -> bytes:
    """The URL as the provider knows it: credentials that HTTP moved into the Authorization header are put back."""
    scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return to_bytes(request.url)
    try:
        parts = urlsplit(request.url)
        userinfo = b64decode(credentials, validate=True).decode()
    except ValueError as error:
        raise VerificationFailed("the URL or the basic credentials of the request cannot be read") from error
    if "@" in parts.netloc:
        return to_bytes(request.url)
    return to_bytes(urlunsplit(parts._replace(netloc=f"{userinfo}@{parts.netloc}")))


def _sorted_form(_request: NativeRequest, body: Any, _secret: str, _signature: str) -> bytes:
    """Every form field in the order of the names, each as its name and then its value (Mandrill)."""
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
