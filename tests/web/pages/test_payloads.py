import re
from typing import Any

import pytest

from app.web.pages.payloads import LINES_MAX, link, shown

EVENT: dict[str, Any] = {
    "id": "evt_1",
    "type": "email.bounced",
    "timestamp": "2026-03-03T08:15:00.000Z",
    "org_id": "org_1",
    "data": {
        "email_id": "aebf604ce1a3f1cd",
        "recipient": "ann@example.com",
        "attribution": "exact",
        "provider": {"name": "sendgrid", "source": "sendgrid", "event_type": "bounce"},
        "received_at": "2026-03-03T08:15:00.000Z",
        "bounce": {"class": "hard", "smtp_code": 550, "enhanced_code": "5.1.1", "permanent": True},
        "deferral": {"attempt": 3},
    },
}


def linked(native: Any) -> dict[str, str]:
    """By dotted path in the event, the dotted path in the native item."""
    links = link(native, EVENT)
    back = {number: path for path, number in links.native.items()}
    return {dotted(path): dotted(back[number]) for path, number in links.unified.items()}


def dotted(path: tuple[str | int, ...]) -> str:
    return ".".join(map(str, path))


@pytest.mark.parametrize(
    ("native", "field", "origin"),
    [
        ({"email": "ann@example.com"}, "data.recipient", "email"),
        ({"to": ["Ann <Ann@Example.com>"]}, "data.recipient", "to.0"),
        ({"timestamp": 1772525700}, "timestamp", "timestamp"),
        ({"when": {"at": "2026-03-03T09:15:00+01:00"}}, "timestamp", "when.at"),
        ({"ts": "1772525700000"}, "timestamp", "ts"),
        ({"event": "bounce"}, "data.provider.event_type", "event"),
        ({"x": "bounce", "event": "bounce"}, "data.provider.event_type", "event"),
        ({"reason": "550 5.1.1 No such user"}, "data.bounce.smtp_code", "reason"),
        ({"reason": "550 5.1.1 No such user"}, "data.bounce.enhanced_code", "reason"),
        ({"smtp_code": "550"}, "data.bounce.smtp_code", "smtp_code"),
        ({"sg_message_id": "aebf604ce1a3f1cd.x", "id": "<aebf604ce1a3f1cd@y>"}, "data.email_id", "sg_message_id"),
        ({"attempt": 3}, "data.deferral.attempt", "attempt"),
    ],
)
def test_a_field_is_linked_to_the_value_it_was_made_of(native: Any, field: str, origin: str) -> None:
    assert linked(native)[field] == origin


@pytest.mark.parametrize(
    "native",
    [
        {"flag": True, "count": 3, "empty": "", "nothing": None},
        {"name": "sendgrid", "id": "evt_1", "org": "org_1", "how": "exact"},
        {"port": 5501, "at": 1772525701},
        {},
        [],
        None,
        "text",
    ],
)
def test_what_says_too_little_or_is_our_own_is_linked_to_nothing(native: Any) -> None:
    assert linked(native) == {}


def test_both_sides_carry_the_same_number() -> None:
    native = {"email": "ann@example.com", "timestamp": 1772525700}
    links = link(native, EVENT)
    of_native = re.findall(r'data-link="(\d)"><span class="\w">(.*?)</span>', shown(native, links.native))
    of_unified = re.findall(r'data-link="(\d)"><span class="\w">(.*?)</span>', shown(EVENT, links.unified))
    assert {number for number, _ in of_native} == {number for number, _ in of_unified} == {"1", "2"}


def test_keys_that_no_field_reads_are_marked_at_the_top_alone() -> None:
    html = shown({"new": 1, "old": {"new": 2}}, {}, ["new"])
    assert html.count('class="unmapped"') == 1
    assert html.striptags().count("new") == 2


def test_the_lines_are_json_again_without_the_markup() -> None:
    assert str(shown({"a": [1, "x", None, True, 1.5, {}, []], "b": {"c": "ü"}}, {}).striptags()) == (
        '{ "a": [ 1, "x", null, true, 1.5, {}, [] ], "b": { "c": "ü" } }'
    )


@pytest.mark.parametrize("text", ["<script>alert(1)</script>", '"><img src=x>', "</code></pre>", "\u202egnp.exe"])
def test_a_payload_is_never_html(text: str) -> None:
    for html in (shown({text: text}, {("x",): 1}, [text]), shown({text: text}, {(text,): 1})):
        assert "<script" not in html
        assert "<img" not in html
        assert "</pre" not in html
        assert "\u202e" not in html


def test_what_is_too_long_is_cut_and_says_so() -> None:
    long = shown({"body": "x" * 1_000_000, "after": 1}, {})
    assert len(long) < 5_000
    assert "1000000 characters" in long
    many = shown(list(range(100_000)), {})
    assert many.count("\n") == LINES_MAX
    assert "cut here" in many
    deep: Any = "bottom"
    for _ in range(60):
        deep = {"a": [deep]}
    assert "bottom" in shown(deep, {})
