"""Where a request comes from: the peer, unless a proxy that the operator trusts says otherwise."""

import pytest

from app.proxies import FORWARDED_CHARACTERS_MAX, TrustedProxies

PROXIES = TrustedProxies(("10.0.0.0/8", "2001:db8::/32"))
PEER = "10.0.0.1"


def client(peer: str = PEER, *lines: tuple[str, str], proxies: TrustedProxies = PROXIES) -> str:
    headers = [(name.encode(), value.encode("latin-1")) for name, value in lines]
    return proxies.client(peer, [(b"host", b"x"), *headers])


def xff(value: str) -> tuple[str, str]:
    return "x-forwarded-for", value


def forwarded(value: str) -> tuple[str, str]:
    return "forwarded", value


@pytest.mark.parametrize("header", [xff("1.2.3.4"), forwarded("for=1.2.3.4")])
@pytest.mark.parametrize("peer", ["192.0.2.9", "11.0.0.1", "::ffff:192.0.2.9", "2001:db9::1"])
def test_a_peer_that_is_not_trusted_is_the_client_whatever_it_says(peer: str, header: tuple[str, str]) -> None:
    assert client(peer, header) == peer
    assert client(PEER, header, proxies=TrustedProxies()) == PEER


def test_a_trusted_peer_that_says_nothing_is_the_client() -> None:
    assert client() == PEER


def test_without_a_peer_nobody_knows_the_client() -> None:
    assert client("", xff("1.2.3.4")) == ""


@pytest.mark.parametrize("peer", [PEER, f"::ffff:{PEER}", "2001:db8::5"])
@pytest.mark.parametrize(
    ("value", "address"),
    [
        ("192.0.2.9", "192.0.2.9"),
        ("1.2.3.4, 192.0.2.9", "192.0.2.9"),
        ("1.2.3.4,192.0.2.9,10.1.1.1, 2001:db8::7", "192.0.2.9"),
        ("unknown, <script>, 192.0.2.9, 10.1.1.1", "192.0.2.9"),
        ("10.1.1.1, 192.0.2.9", "192.0.2.9"),
        ("10.9.9.9, 10.1.1.1", "10.9.9.9"),
        ("::ffff:192.0.2.9", "192.0.2.9"),
        ("192.0.2.9:51234", "192.0.2.9"),
        ("[2001:db9::9]:51234", "2001:db9::9"),
        ("2001:db9::9", "2001:db9::9"),
    ],
)
def test_the_right_most_address_that_is_no_proxy_is_the_client(peer: str, value: str, address: str) -> None:
    assert client(peer, xff(value)) == address


@pytest.mark.parametrize(
    "value", ["", "unknown", "1.2.3.4, unknown", "1.2.3.4, ", "1.2.3.4, 10.1.1.300, 10.1.1.1", "²"]
)
def test_what_is_no_address_on_the_way_leaves_the_client_unknown(value: str) -> None:
    assert client(PEER, xff(value)) == ""


def test_a_header_on_several_lines_is_one() -> None:
    assert client(PEER, xff("1.2.3.4"), xff("192.0.2.9"), xff("10.1.1.1")) == "192.0.2.9"


@pytest.mark.parametrize(
    ("value", "address"),
    [
        ("for=192.0.2.9", "192.0.2.9"),
        ("for=1.2.3.4, For=192.0.2.9;proto=https;by=10.0.0.1", "192.0.2.9"),
        ('proto=https; for="[2001:db9::9]:4711", for=10.1.1.1', "2001:db9::9"),
        ('for="1.2.3.4, for=192.0.2.9', "192.0.2.9"),
        ("for=_hidden, for=10.1.1.1", ""),
        ("for=unknown", ""),
        ("proto=https", ""),
        ("192.0.2.9", ""),
    ],
)
def test_forwarded_is_read_in_the_same_way(value: str, address: str) -> None:
    assert client(PEER, forwarded(value)) == address


def test_a_proxy_writes_one_header_and_the_other_may_be_anybodys() -> None:
    assert client(PEER, xff("192.0.2.9"), forwarded("for=192.0.2.9")) == "192.0.2.9"
    assert client(PEER, xff("192.0.2.9"), forwarded("for=1.2.3.4")) == ""
    assert client(PEER, xff("1.2.3.4"), forwarded("for=192.0.2.9")) == ""


def test_headers_without_end_are_not_read() -> None:
    long = "1.2.3.4, " * (FORWARDED_CHARACTERS_MAX // 9) + "192.0.2.9"
    assert client(PEER, xff(long)) == ""
    assert client(PEER, xff(long[9 * 20 :])) == "192.0.2.9"
