"""Where the passwords of a request stand, and the request without them, as it may be kept and shown."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple
from urllib.parse import unquote_plus

HIDDEN = "(hidden)"
_ALWAYS = frozenset({"authorization", "proxy-authorization", "cookie"})


class Carriers(NamedTuple):
    """The headers (lower case) and query parameters by which whoever reads them could pose as the provider."""

    headers: frozenset[str] = frozenset()
    query: frozenset[str] = frozenset()

    def without_headers(self, headers: Mapping[str, str]) -> Mapping[str, str]:
        """The headers with "(hidden)" for what a password stands in; signatures and times stay."""
        if self.headers.isdisjoint(headers) and _ALWAYS.isdisjoint(headers):
            return headers
        return {name: HIDDEN if name in self.headers or name in _ALWAYS else text for name, text in headers.items()}

    def without_query(self, url: str) -> str:
        """The URL with "(hidden)" for every parameter that holds a password, however its name is written."""
        if not self.query or "?" not in url:
            return url
        start, _, query = url.partition("?")
        return f"{start}?{'&'.join(map(self._shown, query.split('&')))}"

    def _shown(self, item: str) -> str:
        name, _, _ = item.partition("=")
        return f"{name}={HIDDEN}" if unquote_plus(name) in self.query else item


NO_PASSWORDS = Carriers()


def joined(carriers: Iterable[Carriers]) -> Carriers:
    """All of them together."""
    found = list(carriers)
    return Carriers(
        headers=frozenset[str]().union(*(one.headers for one in found)),
        query=frozenset[str]().union(*(one.query for one in found)),
    )
