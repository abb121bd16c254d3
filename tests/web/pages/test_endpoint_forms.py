from typing import Any

import pytest
from msgspec import UNSET

from app.store.endpoints import Endpoint
from app.web.pages.endpoint_forms import (
    EndpointForm,
    changed_endpoint,
    errors_by_field,
    form_of,
    new_endpoint,
    span_text,
)
from app.web.problems import Problem

SHOWN: dict[str, Any] = {
    "id": 7,
    "url": "https://example.com/hook",
    "events": "bounce,complaint",
    "active": True,
    "created_at": "2026-03-03T08:15:00.000Z",
    "updated_at": "2026-03-03T08:15:00.000Z",
    "description": "CRM",
    "disabled_reason": None,
    "filter": "data.recipient",
    "transform": None,
    "headers": {"X-Tenant": "(hidden)"},
    "signature": "hmac",
    "max_in_flight": 8,
    "rate_limit_per_s": 2.5,
    "timeout_s": 10.0,
    "retry_schedule_s": [5.0, 90.0, 7200.0],
    "retry_max_age_s": 86400.0,
    "retry_on": ["5xx", 429],
    "ordering": "recipient",
    "delivery": "batch",
    "batch_max_events": 50,
    "batch_max_wait_ms": 500,
    "old_secrets": [],
}


def test_a_form_that_nobody_touched_changes_nothing() -> None:
    change = changed_endpoint(form_of(Endpoint(**SHOWN)))
    kept = {"description", "events", "filter", "transform", "max_in_flight", "rate_limit_per_s", "timeout_s", "url"}
    for name in kept | {
        "delivery",
        "batch_max_events",
        "batch_max_wait_ms",
        "retry_schedule_s",
        "retry_max_age_s",
        "retry_on",
        "ordering",
        "signature",
    }:
        assert getattr(change, name) == SHOWN[name], name
    assert (change.headers, change.secret, change.active) == (UNSET, UNSET, UNSET)


def test_what_is_left_empty_is_the_default() -> None:
    new = new_endpoint(EndpointForm(url="https://example.com/hook"))
    assert (new.events, new.secret, new.filter, new.retry_schedule_s, new.retry_on) == ("*", UNSET, None, None, None)


@pytest.mark.parametrize(
    ("text", "schedule"),
    [("", None), ("none", []), ("5, 30", [5, 30]), ("5 s, 2 min,1h, 1d", [5, 120, 3600, 86400]), ("1.5", [1.5])],
)
def test_waits_are_given_in_any_unit(text: str, schedule: list[float] | None) -> None:
    assert new_endpoint(EndpointForm(url="https://a.example", retry_schedule_s=text)).retry_schedule_s == schedule


@pytest.mark.parametrize(
    ("seconds", "text"), [(5, "5 s"), (90, "90 s"), (600, "10 min"), (3600, "1 h"), (0.5, "0.5 s")]
)
def test_a_stretch_of_time_is_written_as_it_is_given(seconds: float, text: str) -> None:
    assert span_text(seconds) == text


def test_headers_are_given_by_the_line() -> None:
    form = EndpointForm(url="https://a.example", headers="X-Tenant: north\r\n\r\nX-Time: 10:30\n")
    assert new_endpoint(form).headers == {"X-Tenant": "north", "X-Time": "10:30"}
    assert changed_endpoint(EndpointForm(url="https://a.example", drop_headers="yes")).headers == {}


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("headers", "X-Tenant"),
        ("headers", "X-A: 1\nX-A: 2"),
        ("timeout_s", "soon"),
        ("timeout_s", "900"),
        ("max_in_flight", "1.5"),
        ("retry_schedule_s", "5, later"),
        ("retry_max_age_s", "one day"),
        ("retry_on", "5xx, 200"),
        ("signature", "rsa"),
    ],
)
def test_what_is_wrong_is_told_beside_its_field(field: str, text: str) -> None:
    with pytest.raises(Problem) as refused:
        new_endpoint(EndpointForm(**{"url": "https://a.example", field: text}))
    assert list(errors_by_field(refused.value)) == [field]
