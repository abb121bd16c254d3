import re
from datetime import UTC, datetime
from xml.etree import ElementTree

import pytest

from app.web.pages.charts import Bar, sparkline, stacked_bars
from app.web.pages.words import ago, clipped, count, moment, visible

NOW = datetime(2026, 3, 3, 8, 15, tzinfo=UTC)


@pytest.mark.parametrize(
    ("iso", "said"),
    [
        ("2026-03-03T08:15:00.000Z", "now"),
        ("2026-03-03T08:14:59.500Z", "now"),
        ("2026-03-03T08:14:18.000Z", "42 s ago"),
        ("2026-03-03T08:12:00.000Z", "3 min ago"),
        ("2026-03-03T06:00:00.000Z", "2 h ago"),
        ("2026-02-01T06:00:00.000Z", "30 d ago"),
        ("2024-01-01T06:00:00.000Z", "2 y ago"),
        ("2026-03-03T08:25:00.000Z", "in 10 min"),
    ],
)
def test_a_time_is_told_by_how_long_ago_it_was(iso: str, said: str) -> None:
    assert ago(iso, NOW) == said


def test_a_time_and_a_number_are_written_to_be_read() -> None:
    assert moment("2026-03-03T08:15:00.123Z") == "2026-03-03 08:15:00"
    assert count(1_234_567) == "1\u202f234\u202f567"
    assert clipped("abc", 2) == "ab"


@pytest.mark.parametrize(
    "text", ["<script>alert(1)</script>", "\"'><img src=x onerror=alert(1)>", "</code></pre>", "&lt;"]
)
def test_a_text_is_never_html(text: str) -> None:
    shown = visible(text)
    assert re.fullmatch(r'<bdi dir="auto">[^<>"\']*</bdi>', shown)
    assert shown.striptags() == text


@pytest.mark.parametrize("mark", ["\u202e", "\u2066", "\u200f", "\u200b", "\ufeff", "\x00", "\x1b", "\u00ad", "\x85"])
def test_what_cannot_be_seen_is_named(mark: str) -> None:
    shown = visible(f"a{mark}b")
    assert mark not in shown
    assert f">U+{ord(mark):04X}</span>" in shown


def test_lines_and_ordinary_letters_of_every_script_stay_as_they_are() -> None:
    text = "Zażółć\n\tשלום مرحبا 你好 👩🏽"  # noqa: RUF001 - several scripts
    assert text in visible(text)


def test_a_long_hostile_text_is_shown_in_time() -> None:
    assert len(visible("<\u202e" * 500_000)) > 1_000_000


@pytest.mark.parametrize("values", [[], [0], [0, 0, 0], [1], [3, 1, 2]])
def test_a_sparkline_is_drawn_within_its_frame(values: list[float]) -> None:
    svg = ElementTree.fromstring(sparkline(values, 'Events "a" < 1 & 50 %'))  # noqa: S314 - our own
    assert svg.get("aria-label") == 'Events "a" < 1 & 50 %'
    line = svg.find("polyline")
    assert line is not None
    points = [tuple(map(float, point.split(","))) for point in (line.get("points") or "").split()]
    assert len(points) == len(values)
    assert all(0 <= x <= 120 and 0 <= y <= 28 for x, y in points)


def test_bars_are_stacked_from_below_and_say_what_they_are() -> None:
    svg = ElementTree.fromstring(stacked_bars([Bar("08:00", [3, 1]), Bar("<09:00>", [0, 0])], ["good", "bad"], "x"))  # noqa: S314 - our own
    first, second = svg.findall("g")
    assert [title.text for title in svg.iter("title")] == ["08:00: good 3, bad 1", "<09:00>: good 0, bad 0"]
    good, bad = first.findall("rect")
    assert (good.get("class"), bad.get("class")) == ("good", "bad")
    assert float(bad.get("y") or 0) + float(bad.get("height") or 0) == pytest.approx(float(good.get("y") or 0))
    assert float(bad.get("y") or 1) == 0
    assert second.findall("rect") == []
