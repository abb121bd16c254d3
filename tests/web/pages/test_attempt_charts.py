from xml.etree import ElementTree

import pytest

from app.outcome import Timing
from app.web.pages.attempt_charts import BAR_WIDTH, Mark, attempt_strip, milliseconds, timing_bar, timing_words
from app.web.pages.wire_texts import DEPTH_MAX, laid_out

FULL = Timing(dns_ms=1.0, connect_ms=2.0, tls_ms=5.0, wait_ms=40.0, read_ms=2.0, total_ms=50.0)
NOTHING = Timing(None, None, None, None, None, 0.0)


@pytest.mark.parametrize("timing", [FULL, NOTHING, Timing(None, None, None, 12.0, 0.0, 12.0)])
@pytest.mark.parametrize("longest_ms", [0, 50, 5_000])
def test_a_bar_stays_within_its_picture(timing: Timing, longest_ms: float) -> None:
    svg = ElementTree.fromstring(timing_bar(timing, longest_ms))  # noqa: S314 - our own
    for part in svg.iter("rect"):
        left, wide = float(part.get("x") or 0), float(part.get("width") or 0)
        assert 0 <= left <= left + wide <= BAR_WIDTH + 0.2
    assert svg.get("aria-label") == timing_words(timing)


def test_the_stages_are_told_in_their_order() -> None:
    assert timing_words(FULL) == "DNS 1 ms, connect 2 ms, TLS 5 ms, wait 40 ms, read 2 ms"
    assert timing_words(NOTHING) == "no connection"
    titles = [title.text for title in ElementTree.fromstring(timing_bar(FULL, 50)).iter("title")]  # noqa: S314
    assert titles == ["DNS 1 ms", "connect 2 ms", "TLS 5 ms", "wait 40 ms", "read 2 ms"]


@pytest.mark.parametrize(
    ("spent", "said"), [(0.0, "0.0 ms"), (0.42, "0.4 ms"), (31.4, "31 ms"), (2_500, "2.5 s"), (306_000, "5.1 min")]
)
def test_a_time_is_written_to_be_read(spent: float, said: str) -> None:
    assert milliseconds(spent) == said


def test_a_strip_tells_failed_from_delivered_without_colour() -> None:
    svg = ElementTree.fromstring(attempt_strip([Mark(True, "fine"), Mark(False, "<failed>")]))  # noqa: S314 - our own
    delivered, failed = svg.findall("rect")
    assert float(delivered.get("height") or 0) < float(failed.get("height") or 0)
    assert [title.text for title in svg.iter("title")] == ["fine", "<failed>"]
    assert svg.get("aria-label") == "The last 2 attempts: 1 delivered, 1 failed"


def test_json_is_laid_out_and_everything_else_stays_as_it_is() -> None:
    assert laid_out('{"big":12345678901234567890,"a":[1.10]}') == (
        '{\n  "big": 12345678901234567890,\n  "a": [\n    1.10\n  ]\n}'
    )
    for text in ("", "ok", "<html>", "{not json", '{"a": 1} 2'):
        assert laid_out(text) == text


@pytest.mark.parametrize("depth", [DEPTH_MAX + 5, 50_000])
def test_what_is_nested_too_deeply_stays_as_it_is(depth: int) -> None:
    text = "[" * depth + "]" * depth
    assert laid_out(text) == text
