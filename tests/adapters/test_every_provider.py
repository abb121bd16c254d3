"""Every shipped mapping against its own fixtures: native requests, and the events written beside them."""

from typing import Any

import pytest

from adapters.rules import IGNORED
from tests.adapters.native_fixtures import CATALOG, assert_reads_as_written, cases_of, read

CASES = [
    pytest.param(provider, case, id=f"{provider}-{name}")
    for provider in CATALOG.names()
    for name, case in cases_of(provider).items()
]


@pytest.mark.parametrize(("provider", "case"), CASES)
def test_native_requests_become_the_events_written_beside_them(provider: str, case: dict[str, Any]) -> None:
    assert_reads_as_written(provider, case)


@pytest.mark.parametrize(("provider", "case"), CASES)
def test_no_key_that_is_known_counts_as_new(provider: str, case: dict[str, Any]) -> None:
    reading = read(CATALOG.get(provider), case["body"], case["headers"])
    assert [unnamed.keys for unnamed in reading.unnamed if unnamed.keys] == []


@pytest.mark.parametrize("provider", CATALOG.names())
def test_every_event_type_of_a_mapping_has_a_fixture(provider: str) -> None:
    written = {event["type"] for case in cases_of(provider).values() for event in case["events"]}
    adapter = CATALOG.get(provider)
    mapped = {unified for native in adapter.native_types for unified in adapter.unified_types(native)}
    assert mapped - {IGNORED} <= written
