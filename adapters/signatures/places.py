"""Where a text stands in a request: in a header, in a field of a header, in the query or in the decoded body."""

from copy import deepcopy
from typing import Any, Protocol, cast
from urllib.parse import quote, unquote, urlencode, urlsplit, urlunsplit

import msgspec

from adapters.errors import VerificationFailed
from adapters.request import NativeRequest
from adapters.signatures.declaration import Declaration

HEADER_FIELDS_MAX = 32

Json = dict[str, Any] | list[Any] | str | float | bool | None


class Place(Protocol):
    """Where one text is read when a request is verified, and written when it is signed."""

    def read(self, request: NativeRequest, body: Any) -> str:
        """The text. Raises VerificationFailed when it is not there, or not text or a number."""
        ...

    def write(self, draft: "Draft", text: str) -> None: ...


def place(declaration: Declaration, fields: "HeaderFields | None" = None) -> Place:
    """The place that the next key of `declaration` names; `field` means one of `fields`."""
    if "header" in declaration:
        return Header(declaration.text("header"))
    if "query" in declaration:
        return Query(declaration.text("query"))
    if "field" in declaration and fields is not None:
        return Field(fields, declaration.text("field"))
    if "path" in declaration:
        return BodyPath(declaration.text("path"), last=declaration.flag("last"))
    raise declaration.invalid("", "must say where: header, path, query, or field of the signature's header")


class Draft:
    """A request that is being signed."""

    def __init__(self, request: NativeRequest, body: Any) -> None:
        self._request = request
        self._written = False
        self.headers = dict(request.headers)
        self.url = request.url
        self.body = body

    def write_body(self, keys: list[str], text: str) -> None:
        if not self._written:
            self.body = deepcopy(self.body)
            self._written = True
        parent = _object(self.body)
        for key in keys[:-1]:
            parent = _object(parent.setdefault(key, {}))
        parent[keys[-1]] = text
        parent.pop(f"{keys[-1]}[]", None)

    def request(self) -> NativeRequest:
        body = self._encoded() if self._written else self._request.body
        native = self._request
        return NativeRequest(method=native.method, url=self.url, headers=self.headers, body=body, client=native.client)

    def _encoded(self) -> bytes:
        media_type = self._request.media_type
        if media_type != "application/x-www-form-urlencoded" and not media_type.startswith("multipart/"):
            return msgspec.json.encode(self.body)
        self.headers["content-type"] = (
            "application/x-www-form-urlencoded"  # of a multipart form too: files are left out
        )
        return urlencode(_form_pairs(self.body)).encode()


class Header:
    """A header of the request."""

    def __init__(self, name: str) -> None:
        self.name = name.lower()

    def read(self, request: NativeRequest, body: Any) -> str:  # noqa: ARG002  every place has the body at hand
        text = request.headers.get(self.name)
        if not text:
            raise VerificationFailed(f"the header {self.name} is missing: did the provider send this request?")
        return text

    def write(self, draft: Draft, text: str) -> None:
        draft.headers[self.name] = text


class HeaderFields:
    """A header made of fields: `t=1760000000,v1=5257a8…`."""

    def __init__(self, header: str, separator: str, *, url_decode: bool) -> None:
        self.header = Header(header)
        self._separator = separator
        self._url_decode = url_decode

    def values(self, request: NativeRequest, name: str) -> list[str]:
        """Every value of the field `name`, in order."""
        text = self.header.read(request, None)
        if self._url_decode:
            text = unquote(text)
        values: list[str] = []
        for item in text.split(self._separator, HEADER_FIELDS_MAX):
            key, _, value = item.partition("=")
            if key.strip() == name:
                values.append(unquote(value.strip()) if self._url_decode else value.strip())
        return values

    def add(self, draft: Draft, name: str, value: str) -> None:
        item = f"{name}={quote(value, safe='') if self._url_decode else value}"
        before = draft.headers.get(self.header.name)
        draft.headers[self.header.name] = f"{before}{self._separator}{item}" if before else item


class Field:
    """One field of a header; of a repeated one the first counts."""

    def __init__(self, fields: HeaderFields, name: str) -> None:
        self._fields = fields
        self._name = name

    def read(self, request: NativeRequest, body: Any) -> str:  # noqa: ARG002  every place has the body at hand
        values = self._fields.values(request, self._name)
        if not values:
            raise VerificationFailed(f"the header {self._fields.header.name} has no field {self._name}")
        return values[0]

    def write(self, draft: Draft, text: str) -> None:
        self._fields.add(draft, self._name, text)


class Query:
    """A query parameter of the URL."""

    def __init__(self, name: str) -> None:
        self.name = name

    def read(self, request: NativeRequest, body: Any) -> str:  # noqa: ARG002  every place has the body at hand
        try:
            text = request.query.get(self.name)
        except ValueError as error:
            raise VerificationFailed("the URL of the request cannot be read") from error
        if not text:
            raise VerificationFailed(f"the query parameter {self.name} is missing: is it in the URL at the provider?")
        return text

    def write(self, draft: Draft, text: str) -> None:
        parts = urlsplit(draft.url)
        kept = [item for item in parts.query.split("&") if item and not item.startswith(f"{self.name}=")]
        query = "&".join([*kept, urlencode({self.name: text})])
        draft.url = urlunsplit(parts._replace(query=query))


class BodyPath:
    """A dotted path in the decoded body; with `last`, the last value of a repeated form field instead of the first."""

    def __init__(self, path: str, *, last: bool = False) -> None:
        self._path = path
        self._keys = path.split(".")
        self._parents, self._key = self._keys[:-1], self._keys[-1]
        self._repeated = f"{self._key}[]" if last else None

    def read(self, request: NativeRequest, body: Json) -> str:  # noqa: ARG002  every place has the request at hand
        found: Json = body
        for key in self._parents:
            if type(found) is not dict:
                break
            found = found.get(key)
        if type(found) is not dict:
            found = None
        elif self._repeated is None:
            found = found.get(self._key)
        else:
            found = self._last(found, self._repeated)
        if type(found) is str:
            return found
        text = _text(found)
        if text is None:
            raise VerificationFailed(f"the body has no text or number at {self._path}: is this the provider's request?")
        return text

    def write(self, draft: Draft, text: str) -> None:
        draft.write_body(self._keys, text)

    def _last(self, parent: dict[str, Any], repeated: str) -> Json:
        values: Json = parent.get(repeated)
        return values[-1] if isinstance(values, list) and values else parent.get(self._key)


def in_body(where: Place | None) -> bool:
    """Whether the decoded body is needed to read what stands there."""
    return isinstance(where, BodyPath)


_NUMBER_MAX = 10**400


def _text(value: Any) -> str | None:
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return str(value) if abs(value) < _NUMBER_MAX else None


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("the signature belongs into an object of the body, which is not there")
    return cast("dict[str, Any]", value)


def _form_pairs(fields: dict[str, Any]) -> list[tuple[str, str]]:
    pairs: list[tuple[str, str]] = []
    for name, value in fields.items():
        if isinstance(value, str):
            pairs += [(name, one) for one in fields.get(f"{name}[]", [value])]
        elif not isinstance(value, list):
            raise ValueError(f"the form field {name} is not text")
    return pairs
