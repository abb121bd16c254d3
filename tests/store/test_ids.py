from hypothesis import given
from hypothesis import strategies as st

from app.store.ids import DELIVERY, EVENT, IdSource, first_id_at, parse_id, public_id, time_ms

NUMBERS = st.integers(0, (1 << 63) - 1)


@given(NUMBERS)
def test_a_public_id_leads_back_to_its_number(number: int) -> None:
    assert parse_id(EVENT, public_id(EVENT, number)) == number


@given(NUMBERS, NUMBERS)
def test_public_ids_sort_like_their_numbers(one: int, other: int) -> None:
    assert (public_id(EVENT, one) < public_id(EVENT, other)) == (one < other)


@given(st.text(max_size=40))
def test_any_text_is_an_id_or_is_not(text: str) -> None:
    for candidate in (text, EVENT + text):
        number = parse_id(EVENT, candidate)
        assert number is None or public_id(EVENT, number) == candidate


def test_the_id_of_another_kind_is_none() -> None:
    assert parse_id(DELIVERY, public_id(EVENT, 1)) is None


def test_numbers_grow_although_the_clock_steps_back() -> None:
    times = iter([1000, 1000, 400, 1001])
    source = IdSource(7, lambda: next(times))
    numbers = [source.next() for _ in range(4)]
    assert numbers == sorted(set(numbers))
    assert [time_ms(number) for number in numbers] == [1000, 1000, 1000, 1001]


def test_more_than_a_millisecond_holds_borrows_from_the_next() -> None:
    source = IdSource(0, lambda: 5)
    numbers = [source.next() for _ in range(5000)]
    assert numbers == sorted(set(numbers))
    assert time_ms(numbers[-1]) == 7


def test_two_nodes_share_no_number() -> None:
    one, other = IdSource(1, lambda: 5), IdSource(2, lambda: 5)
    assert not {one.next() for _ in range(3000)} & {other.next() for _ in range(3000)}


def test_the_first_id_of_a_moment_is_below_every_id_made_then() -> None:
    number = IdSource(3, lambda: 1234).next()
    assert first_id_at(1234) <= number < first_id_at(1235)
