"""What is stored is packed, comes back as it was, and is read too as versions before stored it."""

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.store.packing import DICTIONARIES, NEWEST, SHORTEST, packed, plain_size, unpacked
from app.store.requests import KeptRequest, request_of, stored_request
from tests.stored import Columns

EVENT = b'{"id":"evt_01M7Z8TCSN00205","type":"email.delivered","schema_version":"1","data":{"email_id":"one"}}'


@given(st.binary(max_size=200))
def test_bytes_come_back_as_they_were(plain: bytes) -> None:
    assert unpacked(packed(plain)) == plain


@pytest.mark.parametrize("first", [b"\xf8", b"\xf9", b"\xfa", b"\xff"])
@pytest.mark.parametrize("rest", [b"", b"x" * 10, b"x" * 1000])
def test_what_begins_like_something_packed_comes_back_too(first: bytes, rest: bytes) -> None:
    assert unpacked(packed(first + rest)) == first + rest


@pytest.mark.parametrize("plain", [b"", b"ok", b"{}", EVENT, b'[["Content-Type","text/plain"]]', "\ufeffä".encode()])
def test_what_versions_before_stored_in_plain_is_read_as_it_is(plain: bytes) -> None:
    assert unpacked(plain) == plain


@pytest.mark.parametrize("plain", [b"\xf9", b"\xf9 not packed at all", b"\xf9" + b"\xff" * 30, b"\xfe\xff\x00o\x00k"])
def test_an_earlier_versions_bytes_that_only_look_packed_are_read_as_they_are(plain: bytes) -> None:
    assert unpacked(plain) == plain


def test_an_event_takes_less_than_half_the_room() -> None:
    assert len(packed(EVENT)) < len(EVENT) / 2


def test_short_texts_stay_as_they_are() -> None:
    assert packed(b"x" * (SHORTEST - 1)) == b"x" * (SHORTEST - 1)


@given(st.binary(max_size=100), st.integers(1, 3000))
def test_the_size_of_a_value_is_known_from_its_beginning(part: bytes, times: int) -> None:
    plain = part * times
    kept = packed(plain)
    assert len(plain) <= plain_size(kept[:20], len(kept)) <= len(plain) + 1


def test_every_dictionary_that_rows_may_name_is_there() -> None:
    assert {path.name for path in DICTIONARIES.glob("*.zdict")} == {
        f"{number}.zdict" for number in range(1, NEWEST + 1)
    }


def test_threads_pack_side_by_side() -> None:
    plains = [EVENT.replace(b"one", b"%d" % number) for number in range(2_000)]
    wrong = list[bytes]()

    def pack_all() -> None:
        wrong.extend(plain for plain in plains if unpacked(packed(plain)) != plain)

    threads = [threading.Thread(target=pack_all) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@given(st.text(max_size=50).filter(lambda url: url.isprintable()), st.binary(max_size=500))
def test_a_request_comes_back_part_by_part(url: str, body: bytes) -> None:
    request = KeptRequest("POST", url, b'{"host":"hooks.example.com"}', body)
    assert request_of(Columns(*stored_request(request))) == request


def test_a_request_that_was_stored_in_columns_is_read_from_them() -> None:
    columns = Columns("POST", "https://hooks.example.com/x", b"{}", b"\xf9 whatever it is")
    assert request_of(columns) == columns


def test_packed_requests_leave_the_other_columns_empty() -> None:
    assert stored_request(KeptRequest("POST", "https://hooks.example.com/x", b"{}", EVENT))[:3] == ("", "", b"")
