"""What a provider asks for before it sends events: an echo, a header, a visit to a URL."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from adapters.closures import is_true
from adapters.expressions import Scope
from adapters.fields import Read
from adapters.request import NativeRequest
from adapters.shapes import as_text


class Answer(msgspec.Struct):
    """What to say to a provider that tries the URL, or asks for consent, before it sends events."""

    status: int
    headers: dict[str, str]
    body: bytes
    confirm: str | None
    """A URL to fetch in addition: the consent."""


class Handshake(NamedTuple):
    """The compiled form of one entry of `handshake`."""

    method: str
    when: Read | None
    status: int
    headers: Mapping[str, Read]
    body: Read | None
    confirm: Read | None

    def answer(self, request: NativeRequest, body: Any) -> Answer | None:
        """None when the request is not this handshake."""
        scope = Scope(request=request, body=body)
        if request.method != self.method or (self.when is not None and not is_true(self.when(body, scope))):
            return None
        headers = {name: as_text(read(body, scope)) for name, read in self.headers.items()}
        content = self.body(body, scope) if self.body is not None else ""
        return Answer(
            status=self.status,
            headers={name: text for name, text in headers.items() if text is not None and text.isprintable()},
            body=content.encode() if isinstance(content, str) else msgspec.json.encode(content),
            confirm=as_text(self.confirm(body, scope)) if self.confirm is not None else None,
        )
