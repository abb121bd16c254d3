import pytest

from adapters.errors import MapFailed
from adapters.shapes import ADDRESS_CHARACTERS_MAX, as_address


def test_an_address_longer_than_any_is_not_read() -> None:
    with pytest.raises(MapFailed, match="an address of 4900000 characters"):
        as_address("<" * 4_900_000)


def test_an_address_with_a_long_name_is_read() -> None:
    assert as_address(f'"{"x" * (ADDRESS_CHARACTERS_MAX - 50)}" <ann@example.net>') == "ann@example.net"
