import socket
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.guard import AddressRefused, Guard, Resolve, resolve_name

REFUSED_ADDRESSES = {
    "0.0.0.0": "an unspecified",  # noqa: S104 - an address to refuse, not to bind
    "0.1.2.3": "a private",
    "10.0.0.5": "a private",
    "100.64.0.1": "a private",
    "100.100.100.200": "a private",
    "127.0.0.1": "a loopback",
    "127.255.255.254": "a loopback",
    "168.63.129.16": "a reserved",
    "169.254.169.254": "a link-local",
    "172.16.0.1": "a private",
    "172.31.255.255": "a private",
    "192.0.0.192": "a reserved",
    "192.0.2.1": "a private",
    "192.88.99.1": "a reserved",
    "192.168.1.1": "a private",
    "198.18.0.1": "a private",
    "198.51.100.7": "a private",
    "203.0.113.9": "a private",
    "224.0.0.1": "a multicast",
    "239.255.255.250": "a multicast",
    "240.0.0.1": "a private",
    "255.255.255.255": "a private",
    "::": "an unspecified",
    "::1": "a loopback",
    "::127.0.0.1": "a loopback",
    "::ffff:127.0.0.1": "a loopback",
    "::ffff:10.0.0.1": "a private",
    "::ffff:a9fe:a9fe": "a link-local",
    "::ffff:0:10.0.0.1": "a private",
    "64:ff9b::169.254.169.254": "a link-local",
    "64:ff9b::10.0.0.1": "a private",
    "64:ff9b:1::1": "a reserved",
    "100::1": "a private",
    "2001:db8::1": "a private",
    "2002:7f00:1::": "a loopback",
    "2002:a00:1::1": "a private",
    "2001:0:4136:e378:8000:63bf:f5ff:fffe": "a private",
    "3fff::1": "a reserved",
    "5f00::1": "a reserved",
    "fc00::1": "a private",
    "fd00:ec2::254": "a private",
    "fe80::1": "a link-local",
    "fec0::1": "a reserved",
    "ff02::1": "a multicast",
    "10.255.255.255": "a private",
    "100.127.255.255": "a private",
    "169.254.0.1": "a link-local",
    "172.20.10.5": "a private",
    "192.168.255.255": "a private",
    "198.19.255.255": "a private",
    "239.0.0.1": "a multicast",
    "250.1.2.3": "a private",
    "::ffff:192.168.1.1": "a private",
    "::ffff:169.254.169.254": "a link-local",
    "::ffff:0:127.0.0.1": "a loopback",
    "::10.0.0.1": "a private",
    "64:ff9b::127.0.0.1": "a loopback",
    "64:ff9b::192.168.0.1": "a private",
    "2002:c0a8:101::1": "a private",
    "2002:a9fe:a9fe::1": "a link-local",
    "fd12:3456:789a::1": "a private",
    "fe80::a9fe:a9fe": "a link-local",
    "ff05::1:3": "a multicast",
    "ff0e::1": "a multicast",
}

PUBLIC_ADDRESSES = ["1.1.1.1", "8.8.8.8", "172.32.0.1", "2606:4700:4700::1111"]

HIDDEN_ADDRESSES = ["::8.8.8.8", "::ffff:8.8.8.8", "::ffff:0:8.8.8.8", "64:ff9b::8.8.8.8", "2002:808:808::1"]

ODD_URLS = {
    "": "begins with https",
    "hooks.example.com/in": "begins with https",
    "ftp://example.com/": "begins with https",
    "file:///etc/passwd": "begins with https",
    "https:///in": "names no host",
    "https://": "names no host",
    "https://user:secret@example.com/": "user name",
    "https://user@example.com/": "user name",
    "https://example.com/#top": "#fragment",
    "https://example.com/#": "#fragment",
    "https://example.com:0/": "not a port",
    "https://example.com:65536/": "not a port",
    "https://example.com:-1/": "not a port",
    "https://example.com:port/": "not a URL",
    "https://example.com./": "leave out the dot",
    "https://127.0.0.1./": "leave out the dot",
    "https://example..com/": "not a host name",
    "https://-example.com/": "not a host name",
    "https://exa%6dple.com/": "not a host name",
    "https://" + "a" * 64 + ".com/": "not a host name",
    "https://" + "a." * 127 + "com/": "not a host name",
    "https://example.com/" + "a" * 2048: "at most 2048",
    "https://example.com/a b": "no spaces",
    "https://example.com\\@127.0.0.1/": "no spaces, backslashes",
    "https://example.com/\r\nHost: x": "control characters",
    "https://example.com/\x00": "control characters",
    "https://example.com/\u202e": "control characters",
    "https://2130706433/": "usual spelling",
    "https://0x7f000001/": "usual spelling",
    "https://0x7f.1/": "usual spelling",
    "https://0x/": "usual spelling",
    "https://127.1/": "usual spelling",
    "https://127.0.1/": "usual spelling",
    "https://0177.0.0.1/": "not a URL",
    "https://127.0.0.0x1/": "usual spelling",
    "https://1.2.3.4.5/": "usual spelling",
    "https://127.0.0.256/": "not a URL",
    "https://example.com.8/": "usual spelling",
    "https://\uff11\uff12\uff17.0.0.1/": "not a URL",
    "https://①②⑦.⓪.⓪.①/": "not a URL",
    "https://[::1/": "not a URL",
    "https://[fe80::1%25eth0]/": "usual spelling|network interface",
    "https://[::ffff:127.0.0.1]/": "loopback",
    "https://127。0。0。1/": "loopback",
    "https://LOCALHOST/": "loopback",
    "https://any.localhost/": "loopback",
}


def host_of(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def refusal(guard: Guard, url: str) -> str:
    with pytest.raises(AddressRefused) as refused:
        guard.check_url(url)
    return refused.value.reason


def resolver_of(**addresses: list[str]) -> Resolve:
    async def resolve(host: str, port: int) -> list[str]:
        try:
            return addresses[host.partition(".")[0]]
        except KeyError:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known") from None

    return resolve


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.mark.parametrize(("address", "kind"), REFUSED_ADDRESSES.items())
def test_addresses_that_are_not_public_are_refused_by_name(address: str, kind: str) -> None:
    reason = refusal(Guard(), f"https://{host_of(address)}/in")
    assert f"is {kind} address" in reason
    assert "MAILWEIR_ALLOW_NETWORKS" in reason


def test_the_table_is_long() -> None:
    assert len(REFUSED_ADDRESSES) >= 60


@pytest.mark.parametrize("address", REFUSED_ADDRESSES)
def test_the_same_addresses_pass_when_their_network_is_allowed(address: str) -> None:
    Guard([address]).check_url(f"https://{host_of(address)}/in")
    Guard(["0.0.0.0/0", "::/0"]).check_url(f"http://{host_of(address)}/in")


@pytest.mark.parametrize("address", PUBLIC_ADDRESSES)
def test_public_addresses_pass_over_https_alone(address: str) -> None:
    Guard().check_url(f"https://{host_of(address)}/in")
    assert "use https" in refusal(Guard(), f"http://{host_of(address)}/in")
    assert "use https" in refusal(Guard(["10.0.0.0/8"]), f"http://{host_of(address)}/in")


def test_the_reason_names_the_address_and_the_setting() -> None:
    reason = refusal(Guard(), "https://10.0.0.5/")
    assert reason == "10.0.0.5 is a private address; allow it with MAILWEIR_ALLOW_NETWORKS"


def test_the_reason_says_which_address_hides_in_another() -> None:
    reason = refusal(Guard(), "https://[64:ff9b::a00:1]/")
    assert reason.startswith("64:ff9b::a00:1 (that is 10.0.0.1) is a private address")


@pytest.mark.parametrize("address", HIDDEN_ADDRESSES)
def test_a_public_address_inside_another_is_refused_unless_it_is_allowed(address: str) -> None:
    assert "(that is 8.8.8.8) hides an address" in refusal(Guard(), f"https://[{address}]/")
    for network in (address, "8.8.8.0/24"):
        Guard([network]).check_url(f"https://[{address}]/")


def test_an_allowed_ipv4_network_covers_its_mapped_addresses() -> None:
    Guard(["10.0.0.0/8"]).check_url("http://[::ffff:10.0.0.1]:8080/in")


def test_an_allowed_network_allows_nothing_else() -> None:
    guard = Guard(["10.1.0.0/16"])
    guard.check_url("http://10.1.2.3/")
    assert "private" in refusal(guard, "https://10.2.0.1/")
    assert "loopback" in refusal(guard, "http://localhost/")


@pytest.mark.parametrize("network", ["127.0.0.0/8", "127.0.0.1/8", "127.0.0.1", "::1"])
def test_localhost_passes_where_loopback_is_allowed(network: str) -> None:
    Guard([network]).check_url("http://localhost:8080/in")


def test_a_network_that_is_none_is_an_error_of_the_operator() -> None:
    with pytest.raises(ValueError, match="not-a-network"):
        Guard(["not-a-network"])


@pytest.mark.parametrize(("url", "reason"), ODD_URLS.items())
def test_odd_urls_are_refused_with_a_reason(url: str, reason: str) -> None:
    with pytest.raises(AddressRefused, match=reason):
        Guard().check_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com",
        "HTTPS://Example.COM/In?a=b&c=%20d",
        "https://hooks.example.com:8443/in",
        "https://my_hooks.example.com/",
        "https://xn--mnchen-3ya.de/",
        "https://münchen.de/grüße",
        "https://example.com:/in",
        "https://3com.example/",
        "https://" + "a" * 63 + ".com/",
    ],
)
def test_ordinary_urls_pass(url: str) -> None:
    Guard().check_url(url)


@given(st.text(max_size=60))
def test_no_text_gets_more_than_a_refusal_out_of_the_guard(text: str) -> None:
    for url in (text, f"https://{text}", f"https://{text}/in", f"https://example.com{text}"):
        try:
            Guard().check_url(url)
        except AddressRefused:
            continue


@given(st.ip_addresses())
def test_an_address_is_judged_alike_as_a_literal_and_at_the_socket(address: IPv4Address | IPv6Address) -> None:
    def passes(check: Callable[[str], object], subject: str) -> bool:
        try:
            check(subject)
        except AddressRefused:
            return False
        return True

    guard, literal = Guard(), f"https://{host_of(str(address))}/"
    assert passes(guard.check_url, literal) == passes(guard.check_ip, str(address))


@pytest.mark.anyio
async def test_registration_checks_every_address_of_a_name() -> None:
    guard = Guard(resolve=resolver_of(public=["8.8.8.8", "2606:4700::1"], mixed=["8.8.8.8", "10.0.0.5"], empty=[]))
    await guard.resolve_and_check("https://public.example/in")
    await guard.resolve_and_check("https://8.8.4.4/in")
    with pytest.raises(AddressRefused, match=r"mixed.example resolves to a refused address: 10.0.0.5 is a private"):
        await guard.resolve_and_check("https://mixed.example/in")
    with pytest.raises(AddressRefused, match=r"the name nowhere.example does not resolve \(Name or service not known"):
        await guard.resolve_and_check("https://nowhere.example/in")
    with pytest.raises(AddressRefused, match="has no address"):
        await guard.resolve_and_check("https://empty.example/in")


@pytest.mark.anyio
async def test_registration_takes_plain_http_for_names_in_allowed_networks_alone() -> None:
    guard = Guard(["10.0.0.0/8"], resolve=resolver_of(public=["8.8.8.8"], inside=["10.0.0.5"]))
    await guard.resolve_and_check("http://inside.example/in")
    await guard.resolve_and_check("https://public.example/in")
    with pytest.raises(AddressRefused, match="use https"):
        await guard.resolve_and_check("http://public.example/in")


@pytest.mark.anyio
async def test_the_system_resolves_localhost_to_loopback() -> None:
    assert set(await resolve_name("localhost", 80)) <= {"127.0.0.1", "::1"}
    with pytest.raises(AddressRefused, match="does not resolve"):
        await Guard().resolve_and_check("https://no-such-name.invalid/")
