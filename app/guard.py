"""Which addresses deliveries may go to: the public internet, and the private networks that the operator allows."""

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import httpx

URL_CHARS_MAX = 2048
HOST_CHARS_MAX = 253
DNS_TIMEOUT_S = 5.0
DNS_THREADS_MAX = 64
ALLOW_SETTING = "MAILWEIR_ALLOW_NETWORKS"

Address = IPv4Address | IPv6Address
Resolve = Callable[[str, int], Awaitable[list[str]]]
"""The addresses of a name, for a port; raises OSError when it has none."""

# Not for the public by the IANA registries (the last one: Azure's platform), yet `is_global` in some Python versions.
_RESERVED_NETWORKS = tuple(
    map(
        ip_network,
        ("192.0.0.0/24", "192.88.99.0/24", "64:ff9b:1::/48", "3fff::/20", "5f00::/16", "fec0::/10", "168.63.129.16/32"),
    )
)
# NAT64, IPv4-translated and IPv4-compatible addresses: the last 32 bits are the IPv4 address.
_EMBEDDING_NETWORKS = tuple(map(ip_network, ("64:ff9b::/96", "::ffff:0:0:0/96", "::/96")))
_LOOPBACKS = (IPv4Address("127.0.0.1"), IPv6Address("::1"))
DEFAULT_PORTS = {"http": 80, "https": 443}
_LABEL = r"(?!-)[a-z0-9_-]{1,63}(?<!-)"
_HOST_NAME = re.compile(rf"{_LABEL}(\.{_LABEL})*", re.ASCII)
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*", re.ASCII)

# Threads of its own: a name server that hangs must not hold up those who share the event loop's default executor.
_dns_threads = ThreadPoolExecutor(DNS_THREADS_MAX, thread_name_prefix="dns")


class AddressRefused(Exception):
    """A URL or address that deliveries must not go to; `reason` is a sentence for whoever registered it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


async def resolve_name(host: str, port: int) -> list[str]:
    """The system's addresses of `host`, in the system's order; raises OSError when it has none."""
    look_up = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    found = await asyncio.get_running_loop().run_in_executor(_dns_threads, look_up)
    return list(dict.fromkeys(str(socket_address[0]) for *_, socket_address in found))


class Guard:
    """The address rules.

    Public addresses are reached over https. Addresses in `allow_networks` (CIDRs) are reached too, whatever they are,
    also over plain http. Everything else is refused, IPv4 addresses inside IPv6 ones included: which machine a NAT64 or
    6to4 relay puts behind them is not for us to know.
    """

    def __init__(self, allow_networks: Sequence[str] = (), *, resolve: Resolve = resolve_name) -> None:
        self._allowed = tuple(ip_network(text.strip(), strict=False) for text in allow_networks)
        self.resolve = resolve

    def check_ip(self, ip: str | Address, *, plain: bool = False) -> None:
        """Raises AddressRefused unless a socket may be opened to `ip`; `plain` when it is to carry http without TLS."""
        outer = ip_address(ip)
        address = embedded_ipv4(outer) or outer
        if self._allows(outer) or self._allows(address):
            return
        spelled = str(outer) if address is outer else f"{outer} (that is {address})"
        if kind := _kind_of(address):
            raise AddressRefused(f"{spelled} is {kind} address; allow it with {ALLOW_SETTING}")
        if address is not outer:
            raise AddressRefused(f"{spelled} hides an address in another one; allow it with {ALLOW_SETTING}")
        if plain:
            raise AddressRefused(
                f"plain http goes only to networks in {ALLOW_SETTING}, and {outer} is in none; use https"
            )

    def check_url(self, url: str) -> httpx.URL:
        """The parsed URL, if all that can be said without asking DNS is in its favour; otherwise AddressRefused."""
        parsed = _parse(url)
        host = parsed.raw_host.decode("ascii").lower()
        plain = parsed.scheme == "http"
        if plain and not self._allowed:
            raise AddressRefused(f"plain http goes only to networks in {ALLOW_SETTING}; use https")
        if address := literal_address(host):
            self.check_ip(address, plain=plain)
        elif host == "localhost" or host.endswith(".localhost"):
            self._check_localhost(host)
        return parsed

    async def resolve_and_check(self, url: str) -> None:
        """The check at registration: `check_url`, and every address that the name has now must be allowed."""
        parsed = self.check_url(url)
        host = parsed.raw_host.decode("ascii")
        if literal_address(host):
            return
        for address in await self._addresses_of(host, parsed.port or DEFAULT_PORTS[parsed.scheme]):
            try:
                self.check_ip(address, plain=parsed.scheme == "http")
            except AddressRefused as refused:
                raise AddressRefused(f"{host} resolves to a refused address: {refused.reason}") from refused

    async def _addresses_of(self, host: str, port: int) -> list[str]:
        try:
            async with asyncio.timeout(DNS_TIMEOUT_S):
                addresses = await self.resolve(host, port)
        except TimeoutError as late:
            raise AddressRefused(f"the name {host} did not resolve within {DNS_TIMEOUT_S:g} s") from late
        except OSError as unknown:
            raise AddressRefused(f"the name {host} does not resolve ({unknown.strerror or unknown})") from unknown
        if not addresses:
            raise AddressRefused(f"the name {host} has no address")
        return addresses

    def _allows(self, address: Address) -> bool:
        return any(address in network for network in self._allowed)

    def _check_localhost(self, host: str) -> None:
        if not any(self._allows(address) for address in _LOOPBACKS):
            raise AddressRefused(f"{host} is a loopback address; allow it with {ALLOW_SETTING}")


def embedded_ipv4(address: Address) -> IPv4Address | None:
    """The IPv4 address inside an IPv6 one: mapped, compatible, translated, NAT64, 6to4, or a Teredo client's."""
    if isinstance(address, IPv4Address) or address in _LOOPBACKS or address.is_unspecified:
        return None
    if any(address in network for network in _EMBEDDING_NETWORKS):
        return IPv4Address(int(address) & 0xFFFFFFFF)
    client_of_teredo = address.teredo[1] if address.teredo else None
    return address.ipv4_mapped or address.sixtofour or client_of_teredo


def literal_address(host: str) -> Address | None:
    """The address that `host` spells, None for a name; raises AddressRefused for all spellings but the canonical ones.

    As in the WHATWG URL standard a host whose last label is a number is an IPv4 address; unlike there, only four
    decimal numbers are taken ("127.1", "0x7f.0.0.1" and "2130706433" are spellings used to get past guards).
    """
    if ":" not in host and not _NUMBER.fullmatch(host.rpartition(".")[2]):
        return None
    try:
        address = ip_address(host)
    except ValueError as odd:
        raise AddressRefused(f"{host} is not a host name and not the usual spelling of an address") from odd
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        raise AddressRefused(f"{host} names a network interface; leave out what follows the %")
    return address


def _kind_of(address: Address) -> str | None:
    """What keeps `address` from being a public one, with its article; None when nothing does."""
    kinds = {
        "an unspecified": address.is_unspecified,
        "a loopback": address.is_loopback,
        "a link-local": address.is_link_local,
        "a multicast": address.is_multicast,
        "a reserved": any(address in network for network in _RESERVED_NETWORKS),
        "a private": not address.is_global,
    }
    return next((kind for kind, applies in kinds.items() if applies), None)


def _parse(url: str) -> httpx.URL:
    if len(url) > URL_CHARS_MAX:
        raise AddressRefused(f"a URL has at most {URL_CHARS_MAX} characters; this one has {len(url)}")
    if not url.isprintable() or " " in url or "\\" in url:
        raise AddressRefused("a URL holds no spaces, backslashes or control characters")
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, ValueError) as broken:
        raise AddressRefused(f"this is not a URL: {broken}") from broken
    _check_parts(parsed, has_fragment="#" in url)
    return parsed


def _check_parts(url: httpx.URL, *, has_fragment: bool) -> None:
    host = url.raw_host.decode("ascii").lower()
    if url.scheme not in DEFAULT_PORTS:
        raise AddressRefused("a URL begins with https:// (or http:// inside allowed networks)")
    if url.userinfo:
        raise AddressRefused("a URL holds no user name or password; use the endpoint's headers instead")
    if has_fragment:
        raise AddressRefused("a URL to post to has no #fragment")
    if url.port is not None and not 1 <= url.port <= 65535:
        raise AddressRefused(f"{url.port} is not a port; ports are 1 to 65535")
    if host.endswith("."):
        raise AddressRefused(f"leave out the dot at the end of {host}")
    if ":" not in host and not (len(host) <= HOST_CHARS_MAX and _HOST_NAME.fullmatch(host)):
        raise AddressRefused(f"{host} is not a host name" if host else "the URL names no host")
