"""Wrong API keys at the login: how many came from where lately, so that nobody can try them by the thousand.

Counted in memory, by each process of the gateway alone. Who comes by a network of IPv6 has a lot of addresses, so there
the first half of the address counts; whoever comes by a proxy that is not trusted shares its address with all others.
"""

from collections import OrderedDict
from ipaddress import IPv6Address, ip_address

from app.clock import Clock

WRONG_MAX = 10
WITHIN_S = 60.0
CLIENTS_MAX = 10_000
"""The one that was counted longest ago makes room."""
_HALF_BITS = 64


class WrongKeys:
    """The counts of all clients, each begun by a wrong key and over WITHIN_S later."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._counted: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def wait_s(self, client: str) -> float:
        """How long the client has to wait before it may try again; 0 when it may."""
        wrong, until = self._counted.get(_place(client), (0, 0.0))
        return max(0.0, until - self._clock.monotonic()) if wrong >= WRONG_MAX else 0.0

    def count(self, client: str) -> None:
        """One more."""
        now, place = self._clock.monotonic(), _place(client)
        wrong, until = self._counted.pop(place, (0, 0.0))
        self._counted[place] = (wrong + 1, until) if until > now else (1, now + WITHIN_S)
        if len(self._counted) > CLIENTS_MAX:
            self._counted.popitem(last=False)


def _place(client: str) -> str:
    try:
        address = ip_address(client)
    except ValueError:
        return client
    if isinstance(address, IPv6Address) and address.ipv4_mapped is None:
        return f"{int(address) >> _HALF_BITS:x}"
    return client
