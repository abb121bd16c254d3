"""Our mappings beside django-anymail's views, on our own fixtures; the page about differences is held to the truth."""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from tests.adapters.native_fixtures import CATALOG, cases_of, read
from tests.test_docs import read as page
from tests.test_docs import rows

pytest.importorskip("anymail", reason="django-anymail comes with the extra `test`")

from tests.anymail_events import VIEWS, compared, contradicts, counterparts, read_by_anymail, settle

Differences = Mapping[str, set[str]]
"""By field: the native types that differ; for `events` the cases of which the number of events differs."""

PROVIDERS = sorted(VIEWS)
ANYMAIL_IN_COMMON_MIN = 8
"""Events, of each provider, that both read: fewer would show little."""


@pytest.fixture(scope="module", autouse=True)
def _django() -> None:
    settle()


@pytest.mark.parametrize("provider", PROVIDERS)
def test_every_contradiction_is_on_the_page_and_the_page_has_no_other(provider: str) -> None:
    assert found(provider) == listed(provider)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_there_is_enough_to_compare(provider: str) -> None:
    assert sum(len(ours) for _, ours, _ in pairs(provider)) >= ANYMAIL_IN_COMMON_MIN


def found(provider: str) -> Differences:
    differences: dict[str, set[str]] = defaultdict(set)
    for case, ours, theirs in pairs(provider):
        if len(ours) != len(theirs):
            differences["events"].add(case)
            continue
        for (native, mine), other in zip(ours, theirs, strict=True):
            for field, value in mine.items():
                if contradicts(field, other[field], value):
                    differences[field].add(native)
    return differences


def pairs(provider: str) -> Iterator[tuple[str, list[tuple[str, dict[str, Any]]], list[dict[str, Any]]]]:
    """Every case that anymail can read: its name, our events with their native types, and anymail's."""
    for name, case in cases_of(provider).items():
        events = read(CATALOG.get(provider), case["body"], case["headers"]).events
        ours = [(event.data.provider.event_type or "", compared(event)) for event in events]
        theirs = read_by_anymail(provider, case["body"], case["headers"])
        if theirs:
            yield name, ours, counterparts(theirs, [event for _, event in ours])


def listed(provider: str) -> Differences:
    return {
        row[1].strip("`"): set(re.findall(r"`([^`]+)`", row[2]))
        for row in rows(page("differences-from-anymail.md"))
        if row[0] == f"`{provider}`"
    }
