"""Addresses and networks: what counts as one, and that IPv4 inside IPv6 is IPv4."""

import pytest

from adapters.addresses import Ranges, read_address, read_network


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("::FFFF:c000:0207", "192.0.2.7"),
        ("2001:DB8::1", "2001:db8::1"),
    ],
)
def test_an_address_has_one_spelling(text: str, address: str) -> None:
    assert str(read_address(text)) == address


@pytest.mark.parametrize(
    "text", ["", " ", "host", "192.0.2", "192.0.2.256", "192.0.02.7", "192.0.2.7/32", "1:2", "²", "1" * 5000]
)
def test_what_is_no_address_is_none(text: str) -> None:
    assert read_address(text) is None


@pytest.mark.parametrize(
    ("text", "network"),
    [
        ("192.0.2.0/24", "192.0.2.0/24"),
        ("192.0.2.7", "192.0.2.7/32"),
        ("2001:db8::/32", "2001:db8::/32"),
        ("::ffff:192.0.2.0/120", "192.0.2.0/24"),
    ],
)
def test_a_network_is_a_cidr_or_one_address(text: str, network: str) -> None:
    assert str(read_network(text)) == network


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is no network"),
        ("acme.example", "is no network"),
        ("192.0.2.0/33", "is no network"),
        ("192.0.2/24", "is no network"),
        ("192.0.2.0-192.0.2.255", "is no network"),
        ("192.0.2.7/24", "is 192.0.2.0/24 meant?"),
        ("2001:db8::1/32", "is 2001:db8::/32 meant?"),
        ("0.0.0.0/0", "every address"),
        ("::/0", "every address"),
        ("::ffff:0:0/96", "every address"),
    ],
)
def test_a_network_that_is_none_or_all_is_refused_with_a_sentence(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message.replace("?", r"\?")):
        read_network(text)


@pytest.mark.parametrize("inside", ["192.0.2.0", "192.0.2.255", "::ffff:192.0.2.9", "2001:db8:ffff::1"])
def test_ranges_hold_the_addresses_of_their_networks(inside: str) -> None:
    assert Ranges(map(read_network, ("192.0.2.0/24", "2001:db8::/32"))).hold_text(inside)


@pytest.mark.parametrize(
    "outside", ["192.0.1.255", "192.0.3.0", "2001:db9::1", "::192.0.2.9", "64:ff9b::192.0.2.9", "2002:c000:0209::", ""]
)
def test_ranges_hold_nothing_else(outside: str) -> None:
    ranges = Ranges(map(read_network, ("192.0.2.0/24", "2001:db8::/32")))
    assert not ranges.hold_text(outside)
    assert not Ranges([]).hold_text(outside)
