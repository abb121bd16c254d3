"""Where a request comes from when it came through proxies: what those that the operator trusts say of it."""

from collections.abc import Iterable, Sequence
from functools import lru_cache

from adapters.addresses import Ranges, read_address, read_network

FORWARDED_CHARACTERS_MAX = 2_000
"""What the headers of proxies may hold together; of a request with more nobody knows where it comes from."""
CLIENTS_CACHED_MAX = 1_024

UNKNOWN = ""
_FORWARDED_FOR, _FORWARDED = b"x-forwarded-for", b"forwarded"


class TrustedProxies:
    """Finds the address of the client.

    It is the peer's, unless that is a trusted proxy. Then it is the right-most one in X-Forwarded-For that is not of a
    trusted proxy: those to its left may be anybody's invention. Forwarded (RFC 7239) is read in the same way. A proxy
    writes one of the two and may pass the other on as it came, so where both are there they must agree.
    """

    def __init__(self, networks: Sequence[str] = ()) -> None:
        self._trusted = Ranges(map(read_network, networks))
        self._trusts = lru_cache(CLIENTS_CACHED_MAX)(self._trusted.hold_text)
        self._told = lru_cache(CLIENTS_CACHED_MAX)(self._client_told)

    def client(self, peer: str, headers: Iterable[tuple[bytes, bytes]]) -> str:
        """The address of the client of a request that `peer` passed on; empty where nobody knows it."""
        if not self._trusted.networks or not self._trusts(peer):
            return peer
        lines = [(name, value) for name, value in headers if name in (_FORWARDED_FOR, _FORWARDED)]
        if sum(len(value) for _, value in lines) > FORWARDED_CHARACTERS_MAX:
            return UNKNOWN
        return self._told(tuple(lines)) if lines else peer

    def _client_told(self, lines: Sequence[tuple[bytes, bytes]]) -> str:
        """What the lines of both headers agree on; a header that is there more than once counts as one."""
        chains = {name: list[str]() for name, _ in lines}
        for name, value in lines:
            items = _items(value.decode("latin-1"))
            chains[name] += items if name == _FORWARDED_FOR else map(_for, items)
        told = {self._first_untrusted(chain) for chain in chains.values()}
        return told.pop() if len(told) == 1 else UNKNOWN

    def _first_untrusted(self, chain: Sequence[str]) -> str:
        """From the right; the left-most where all are trusted, and none where one on the way is no address."""
        found = UNKNOWN
        for text in reversed(chain):
            address = read_address(_without_port(text))
            if address is None:
                return UNKNOWN
            found = str(address)
            if not self._trusted.hold(address):
                break
        return found


def _items(text: str) -> list[str]:
    return [item.strip() for item in text.split(",")]


def _for(element: str) -> str:
    """The address in an element of Forwarded: `for="[2001:db8::1]:4711";proto=https`."""
    for pair in element.split(";"):
        name, _, value = pair.partition("=")
        if name.strip().lower() == "for":
            return value.strip().strip('"')
    return UNKNOWN


def _without_port(text: str) -> str:
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0] if text.count(":") == 1 else text
