"""The benchmark's tables go into their places in a page, and nothing else of it changes."""

from pathlib import Path

import pytest

from bench.figures import Figure, Limit, Ratio
from bench.machine import ROOT
from bench.markdown import PlaceMissing, write_into
from bench.scenarios import NAMES

PAGE = """# Figures
<!-- figures of machine -->
<!-- end of machine -->
Words.
<!-- figures of single -->
| old |
<!-- end of single -->
<!-- figures of disk -->
| of yesterday |
<!-- end of disk -->
<!-- figures of ratios -->
<!-- end of ratios -->
"""
FIGURES = [
    Figure("single events", "events/s", [1_500.0, 1_700.0, 1_600.0], scenario="single"),
    Figure("one filter", "µs", [2.16], Limit("the target", 5.0), scenario="single"),
]


def test_tables_go_into_their_places_and_the_rest_stays(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    ratios = [Ratio("single", "bare ASGI", 16_000.0, 10.0), Ratio("one filter", "the target", 5.0, 43.0)]
    write_into(page, {"cpu": "fast", "commit": "abc"}, FIGURES, ratios, "`bench` at abc:")
    text = page.read_text()
    assert "| single events | 1,600 | 1,500 to 1,700 | events/s |  |  |" in text
    assert "| one filter | 2.16 |  | µs | the target: 5.00 | 43 % |" in text
    assert "| single | bare ASGI: 16,000 | 10 % |" in text
    assert "| cpu | fast |" in text
    assert "`bench` at abc:" in text
    assert "Words." in text
    assert "| of yesterday |" in text
    assert "| old |" not in text


def test_a_page_without_a_place_is_left_as_it_was(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Nothing\n")
    with pytest.raises(PlaceMissing, match="figures of machine"):
        write_into(page, {"cpu": "fast"}, FIGURES, [], "")
    assert page.read_text() == "# Nothing\n"


def test_the_page_of_the_project_has_a_place_for_everything_that_is_measured() -> None:
    text = (ROOT / "docs" / "performance.md").read_text()
    places = ("machine", "ratios", *NAMES)
    assert [name for name in places if f"<!-- figures of {name} -->" not in text] == []
    assert [name for name in places if f"<!-- end of {name} -->" not in text] == []
