"""One provider request as it arrived: what every decoder, verifier and mapping reads."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit


class NativeRequest:
    """A request as the provider sent it.

    `url` is the public URL the provider posted to, query included (some providers sign it). `headers` has lower-case
    names; of a repeated header the last value counts. `body` is the raw bytes, which most signatures cover. `client` is
    the address that the request came from, empty where nobody knows.
    """

    __slots__ = ("_query", "body", "client", "decoded", "headers", "method", "url")

    def __init__(
        self, *, method: str = "POST", url: str = "", headers: Mapping[str, str], body: bytes, client: str = ""
    ) -> None:
        self.method = method
        self.url = url
        self.headers = headers
        self.body = body
        self.client = client
        self.decoded: dict[str, Any] = {}
        """What the decoders made of the body, by their kind: each reads it once, whoever asks."""
        self._query: dict[str, str] | None = None

    def from_client(self, client: str) -> "NativeRequest":
        """The same request from another address."""
        return NativeRequest(method=self.method, url=self.url, headers=self.headers, body=self.body, client=client)

    @property
    def media_type(self) -> str:
        """The content type without its parameters, lower case, empty when the header is missing."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def query(self) -> dict[str, str]:
        """The query parameters, decoded; of a repeated one the last counts."""
        if self._query is None:
            self._query = dict(parse_qsl(urlsplit(self.url).query, keep_blank_values=True))
        return self._query
