"""Whatever a request holds, an adapter answers with events, quarantined items or a refusal, never with a fault."""

import contextlib
import json
from functools import cache
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.adapter import Adapter
from adapters.errors import VerificationFailed
from adapters.request import NativeRequest
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


ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=60)
MEDIA_TYPES = st.sampled_from(
    ["application/json", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=b", ""]
)
NESTED = st.builds(
    lambda opening, depth, closing: opening * depth + "1" + closing * depth,
    st.sampled_from(["[", '{"event":', '{"events":[', '{"data":']),
    st.sampled_from([1, 60, 70, 5_000]),
    st.sampled_from(["", "]", "}", "]}"]),
)


@cache
def played(adapter: Adapter) -> tuple[list[NativeRequest], dict[str, list[str]]]:
    """The samples as the provider would sign them, and the secrets that a source then has."""
    stored, signing = adapter.generate_secrets()
    url = "https://gateway.example.com/api/webhooks/ours"
    requests = [
        adapter.sample_request([name], signing=signing, url=url, at=AT, recipient="ann@example.net", unique=lambda: "u")
        for name in adapter.samples
    ]
    return requests, {name: [secret] for name, secret in stored.items()}


def damaged(data: st.DataObject, request: NativeRequest, names: list[str]) -> NativeRequest:
    """The request with other headers, and perhaps another method, URL and body."""
    headers = data.draw(st.dictionaries(st.sampled_from(names) | ANY_TEXT.map(str.lower), ANY_TEXT, max_size=4))
    media_type = data.draw(st.none() | MEDIA_TYPES)
    body = data.draw(
        st.none() | st.binary(max_size=60) | NESTED.map(str.encode) | VALUES.map(json.dumps).map(str.encode)
    )
    return NativeRequest(
        method=data.draw(st.sampled_from(["POST", "GET", "HEAD", "OPTIONS"])),
        url=data.draw(st.just(request.url) | ANY_TEXT),
        headers={**request.headers, **headers, **({} if media_type is None else {"content-type": media_type})},
        body=request.body if body is None else body,
        client=data.draw(st.sampled_from(["192.0.2.1", "", "no address"])),
    )


@pytest.mark.parametrize("provider", CATALOG.names())
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_whatever_arrives_gives_events_or_quarantine_or_a_refusal(provider: str, data: st.DataObject) -> None:
    adapter = CATALOG.get(provider)
    requests, secrets = played(adapter)
    names = sorted({name for request in requests for name in request.headers})
    request = damaged(data, data.draw(st.sampled_from(requests)), names)
    adapter.recognizes(request)
    adapter.handshake(request)
    for known in (secrets, None):
        with contextlib.suppress(VerificationFailed):
            reading = adapter.read(request, known, AT, int(AT * 1000))
            assert msgspec.json.encode([event.data for event in reading.events])
