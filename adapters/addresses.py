"""Addresses and networks of the internet, read from texts: an IPv4 address that came over IPv6 counts as IPv4."""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

ADDRESS_CHARACTERS_MAX = 64
_MAPPED = IPv6Network("::ffff:0:0/96")


class Ranges:
    """Some networks, and which addresses lie in one of them."""

    def __init__(self, networks: Iterable[Network]) -> None:
        self.networks = tuple(networks)

    def hold(self, address: Address) -> bool:
        """Whether the address is of one of the networks."""
        return any(address in network for network in self.networks)

    def hold_text(self, text: str) -> bool:
        """The same for an address as text; never for what is none."""
        address = read_address(text)
        return address is not None and self.hold(address)


def read_address(text: str) -> Address | None:
    """The address that `text` spells; None when it spells none."""
    if len(text) > ADDRESS_CHARACTERS_MAX:
        return None
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return (isinstance(address, IPv6Address) and address.ipv4_mapped) or address


def read_network(text: str) -> Network:
    """The network of a CIDR, or of a single address. Raises ValueError with a sentence for whoever wrote it."""
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        raise ValueError(f"'{text:.60}' is no network; write it as 192.0.2.0/24 or 2001:db8::/32") from None
    if "/" in text and network.network_address != ip_address(text.partition("/")[0]):
        raise ValueError(f"'{text:.60}' is an address inside a network; is {network} meant?")
    if isinstance(network, IPv6Network) and network.subnet_of(_MAPPED):
        network = IPv4Network((int(network.network_address) & 0xFFFFFFFF, network.prefixlen - _MAPPED.prefixlen))
    if network.prefixlen == 0:
        raise ValueError(f"'{text:.60}' is every address there is, so it would prove nothing")
    return network
