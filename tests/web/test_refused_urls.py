"""What an endpoint's URL may not be: refused when it is registered, and again when the socket for it is opened.

The table of spellings is walked three times: through the API, through the door out, and with everything allowed.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from app.egress import Egress
from app.guard import AddressRefused, Guard
from tests.servers import sink as serve
from tests.test_guard import ODD_URLS, REFUSED_ADDRESSES, host_of, refusal
from tests.web.gateways import Api, add_endpoint, fields_of, gateway_of, serving

pytestmark = pytest.mark.anyio
MANAGE = "/api/webhooks/manage"

MORE_SPELLINGS = [
    "https://127.0.0.1:22/",
    "https://127.0.0.1:8420/api/keys",
    "https://2130706433:443/",
    "https://017700000001/",
    "https://0x7f.0x0.0x0.0x1/",
    "https://0x7F000001/",
    "https://0/",
    "https://0177.0.0.1/",
    "https://00000177.0.0.1/",
    "https://127.00000.0.1/",
    "https://127.0.0.1./",
    "https://localhost./",
    "https://localhost:8420/",
    "https://LocalHost/",
    "https://api.localhost:9/",
    "https://\uff4c\uff4f\uff43\uff41\uff4c\uff48\uff4f\uff53\uff54/",
    "https://127\u30020\uff0e0\uff611/",
    "https://\u2460\u2461\u2466.0.0.1/",
    "https://%31%32%37.0.0.1/",
    "https://[::]/",
    "https://[0:0:0:0:0:0:0:1]/",
    "https://[0000::1]:443/",
    "https://[0:0:0:0:0:ffff:127.0.0.1]/",
    "https://[::ffff:7f00:1]/",
    "https://[::FFFF:169.254.169.254]/latest/meta-data/",
    "https://[64:ff9b::7f00:1]/",
    "https://[2002:7f00:1::1]/",
    "https://[2002:a9fe:a9fe::]/",
    "https://[2001:0:0:0:0:0:80ff:fffe]/",
    "https://[fe80::1%25lo]/",
    "https://[fd00:ec2::254]/latest/meta-data/",
    "https://169.254.169.254/latest/meta-data/",
    "https://169.254.170.2/v2/credentials",
    "https://100.100.100.200/latest/meta-data/",
    "https://192.0.0.192/opc/v2/instance/",
    "https://168.63.129.16/metadata/instance",
    "https://example.com@127.0.0.1/",
    "https://127.0.0.1#@example.com/",
    "https://127.0.0.1\\@example.com/",
    "https://user:pass@169.254.169.254/",
]
_LITERALS = [f"https://{host_of(address)}/in" for address in REFUSED_ADDRESSES]
TABLE = [url for url in dict.fromkeys([*_LITERALS, *ODD_URLS, *MORE_SPELLINGS]) if "\x00" not in url]
ADDRESSES = [*_LITERALS, *(url for url in MORE_SPELLINGS if url.startswith("https://[") and "%" not in url)]
"""In the usual spelling, so that an allow-list may allow them."""

METADATA_NAMES = {
    "metadata.google.internal": "169.254.169.254",
    "127.0.0.1.nip.io": "127.0.0.1",
    "localtest.me": "::1",
    "inside.example.com": "10.0.0.5",
    "mapped.example.com": "::ffff:192.168.1.1",
    "nat64.example.com": "64:ff9b::a9fe:a9fe",
}


@pytest.fixture
async def strict_api(sqlite_url: str, tmp_path: Path) -> AsyncIterator[Api]:
    """A gateway that allows no network of its own; its names are those of the test."""
    async with serving(sqlite_url, tmp_path, allow_networks="", poll_interval_s=0.02) as api:
        yield api


class Names:
    """A resolver whose answers change."""

    def __init__(self, **addresses: str) -> None:
        self.addresses = addresses

    async def resolve(self, host: str, _port: int) -> list[str]:
        return [self.addresses[host]]


async def test_every_spelling_is_refused_at_registration_with_a_reason(strict_api: Api) -> None:
    assert len(TABLE) >= 100
    for url in TABLE:
        refused = await strict_api.post(MANAGE, json={"url": url, "events": "*"})
        assert (refused.status_code, fields_of(refused)) == (422, ["url"]), url
        assert refused.json()["errors"][0]["message"].endswith("."), url
    assert (await strict_api.get(MANAGE)).json() == {"webhooks": []}


async def test_every_spelling_is_refused_again_when_it_is_sent_to() -> None:
    async with aclosing(Egress(Guard(), user_agent="Mailweir/test")) as egress:
        for url in TABLE:
            outcome = await egress.post(url, headers={}, body=b"{}", timeout_s=5)
            assert (outcome.status, outcome.error_kind) == (None, "refused_address"), url


async def test_a_name_with_any_such_address_is_refused_when_its_socket_would_open() -> None:
    names = Names()
    async with aclosing(Egress(Guard(resolve=names.resolve), user_agent="Mailweir/test")) as egress:
        for number, address in enumerate([*REFUSED_ADDRESSES, *METADATA_NAMES.values()]):
            host = f"hooks-{number}.example.com"
            names.addresses[host] = address
            outcome = await egress.post(f"https://{host}/", headers={}, body=b"{}", timeout_s=5)
            assert (outcome.status, outcome.error_kind) == (None, "refused_address"), address


@pytest.mark.parametrize(("name", "address"), METADATA_NAMES.items())
async def test_a_name_that_stands_for_such_an_address_is_refused_at_registration(
    strict_api: Api, name: str, address: str
) -> None:
    gateway_of(strict_api).guard.resolve = Names(**{name: address}).resolve
    refused = await strict_api.post(MANAGE, json={"url": f"https://{name}/", "events": "*"})
    assert fields_of(refused) == ["url"]
    assert f"{name} resolves to a refused address" in refused.json()["errors"][0]["message"]


@pytest.mark.parametrize("url", ADDRESSES)
async def test_the_same_addresses_pass_when_they_are_allowed(url: str) -> None:
    everywhere = Guard(["0.0.0.0/0", "::/0"])
    await everywhere.resolve_and_check(url)
    await everywhere.resolve_and_check(url.replace("https:", "http:"))


def odd_ones() -> Iterator[str]:
    """What is no usual spelling of an address, and so refused whatever is allowed."""
    for url in TABLE:
        try:
            Guard(["0.0.0.0/0", "::/0"]).check_url(url)
        except AddressRefused:
            yield url


async def test_a_wide_allow_list_does_not_allow_odd_spellings() -> None:
    odd = set(odd_ones())
    for url in ("https://2130706433/", "https://0x7f.1/", "https://0177.0.0.1/", "https://127.0.0.1./", "https://0/"):
        assert url in odd
        assert refusal(Guard(["127.0.0.0/8"]), url)
    assert not odd & set(ADDRESSES)


async def test_an_allow_list_allows_its_own_networks_alone() -> None:
    for address in REFUSED_ADDRESSES:
        url = f"https://{host_of(address)}/"
        Guard([str(ip_network(address))]).check_url(url)
        assert refusal(Guard(["192.0.2.240/28"]), url)


async def test_a_name_that_is_bound_anew_after_registration_gets_not_a_byte(strict_api: Api) -> None:
    async with serve() as inside:
        names = Names(**{"hooks.example.com": "8.8.8.8"})
        gateway_of(strict_api).guard.resolve = names.resolve
        endpoint = await add_endpoint(strict_api, url=f"https://hooks.example.com:{inside.port}/hook")
        names.addresses["hooks.example.com"] = "127.0.0.1"
        assert (await strict_api.post(f"{MANAGE}/{endpoint['id']}/test")).status_code == 202
        attempt = await first_attempt(strict_api)
        assert attempt["error_kind"] == "refused_address"
        assert "127.0.0.1 is a loopback address" in attempt["error"]
        assert inside.connections == 0


async def first_attempt(api: Api) -> dict[str, Any]:
    async with asyncio.timeout(20):
        while True:
            (delivery,) = (await api.get("/api/deliveries")).json()["data"]
            if delivery["attempts"]:
                return (await api.get(f"/api/deliveries/{delivery['id']}")).json()["attempts"][0]
            await asyncio.sleep(0.02)
