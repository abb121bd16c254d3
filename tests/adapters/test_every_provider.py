"""Every shipped mapping against its own fixtures: native requests, and the events written beside them."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from adapters.rules import IGNORED
from tests.adapters.native_fixtures import CATALOG, RECEIVED_MS, assert_reads_as_written, cases_of, read, written

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


OTHER_NAMES = {
    "brevo": {"invalid": "invalid_email", "clicked": "click", "listAddition": "list_addition"},
    "mailersend": {
        "activity.rejected": "activity.suppressed",
        "activity.survey_opened": "activity.survey_submitted",
    },
    "resend": {"email.queued": "email.scheduled"},
    "zeptomail": {
        "email_delivered": "delivered",
        "soft bounce": "softbounce",
        "email open": "email_open",
        "email link click": "email_link_click",
        "feedback_loop": "feedbackloop",
        "feedback loop": "feedbackloop",
    },
}
"""Native types that mean the same as one that has a fixture."""


@pytest.mark.parametrize("provider", CATALOG.names())
def test_every_native_type_has_a_fixture_or_is_another_name_for_one_that_has(provider: str) -> None:
    adapter = CATALOG.get(provider)
    told = {event["event_type"] for case in cases_of(provider).values() for event in case["events"]}
    types = {native for native in adapter.native_types if adapter.unified_types(native) != {IGNORED}}
    assert types - told == OTHER_NAMES.get(provider, {}).keys()


@pytest.mark.parametrize(
    ("provider", "name", "usual"),
    [(provider, *pair) for provider in OTHER_NAMES for pair in OTHER_NAMES[provider].items()],
)
def test_another_name_means_the_same(provider: str, name: str, usual: str) -> None:
    cases = [case for case in cases_of(provider).values() if {e["event_type"] for e in case["events"]} == {usual}]
    body = json.dumps(cases[0]["body"]).replace(f'"{usual}"', f'"{name}"')
    events = [written(event) for event in read(CATALOG.get(provider), body, cases[0]["headers"]).events]
    assert json.loads(json.dumps(events).replace(f'"{name}"', f'"{usual}"')) == cases[0]["events"]


NEEDED = (
    "time",
    "neither recipient",
    "no type",
    "not name the native type",
    "none of the",
    "not an object",
    "does not hold",
)
"""What an event cannot be without: where that is empty, the item is quarantined with these words."""


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Every value inside `value`, and where it stands."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in inner:
        yield (*path, key), child
        yield from places(child, (*path, key))


def emptied(text: str, path: tuple[Any, ...], by: Any) -> Any:
    changed = json.loads(text)
    holder = changed
    for step in path[:-1]:
        holder = holder[step]
    holder[path[-1]] = by
    return changed


@pytest.mark.parametrize("provider", CATALOG.names())
def test_an_event_is_read_without_whatever_it_can_be_without(provider: str) -> None:
    adapter = CATALOG.get(provider)
    for sample in adapter.samples:
        played = adapter.sample_request(
            [sample], signing={}, url="https://x/", at=RECEIVED_MS / 1000, recipient="ann@example.net", unique=str
        )
        if played.media_type == "application/x-www-form-urlencoded":
            continue
        text = played.body.decode()
        for path, value in places(json.loads(text)):
            for empty in (None, "", *([[]] if isinstance(value, dict) else [])):  # an empty object is so written by PHP
                reading = read(adapter, emptied(text, path, empty), dict(played.headers))
                unreadable = [item.reason for item in reading.quarantined]
                assert all(any(word in reason for word in NEEDED) for reason in unreadable), (sample, path, empty)
