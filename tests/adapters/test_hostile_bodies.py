"""Whatever a body holds, an adapter answers with events and quarantined items, never with an exception of its own."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.adapter import Adapter
from tests.adapters.native_fixtures import AT, CATALOG, native_request, read

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(min_value=10**18, max_value=10**400),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=20),
    st.sampled_from(["<", "<a@b>", "{", "[1", "\0", "2026-01-01T00:00:00Z", "9" * 400, "-1", "1e999", "Infinity"]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner, max_size=3)),
    max_leaves=6,
)


def bodies_of(adapter: Adapter) -> list[Any]:
    """The decoded body of a request for each sample."""
    requests = [
        adapter.sample_request([name], signing={}, url="", at=AT, recipient="ann@example.net", unique=lambda: "u")
        for name in adapter.samples
    ]
    return [adapter.decode(request) for request in requests]


def places_in(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path to every value inside `value`."""
    keys = value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    return [place for key in keys for place in [(*path, key), *places_in(value[key], (*path, key))]]


def with_value(body: Any, path: tuple[Any, ...], value: Any) -> Any:
    changed = json.loads(json.dumps(body))
    inner = changed
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return changed


@pytest.mark.parametrize("provider", CATALOG.names())
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_an_odd_value_anywhere_costs_at_most_its_own_item(provider: str, data: st.DataObject) -> None:
    adapter = CATALOG.get(provider)
    body = data.draw(st.sampled_from(bodies_of(adapter)))
    path = data.draw(st.sampled_from(places_in(body)))
    value = data.draw(VALUES)
    reading = read(adapter, with_value(body, path, value))
    if value != []:  # which in place of the items is an empty batch
        assert len(reading.events) + len(reading.quarantined) + reading.ignored >= 1
    assert all(item.reason for item in reading.quarantined)
    for event in reading.events:
        assert 0 < event.timestamp_ms < 253_402_300_800_000
        assert msgspec.json.encode(event.data)


@pytest.mark.parametrize("provider", CATALOG.names())
@settings(max_examples=60, deadline=None)
@given(body=st.one_of(st.binary(max_size=60), st.text(max_size=60), VALUES))
def test_a_body_that_nobody_sent_is_read_without_an_exception(provider: str, body: Any) -> None:
    adapter = CATALOG.get(provider)
    assert read(adapter, body).events == []
    assert adapter.handshake(native_request(body)) is None
