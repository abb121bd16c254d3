from pathlib import Path
from typing import Any

import pytest
import rich_click as click

from app.cli.given import given_texts, given_values


@pytest.mark.parametrize(
    ("pairs", "values"),
    [
        ([], {}),
        (["a=1", "b=x=y"], {"a": "1", "b": "x=y"}),
        (["a=1", "a=2", "a=3"], {"a": ["1", "2", "3"]}),
        (["a="], {"a": ""}),
        (['a=["x", "y"]', 'b={"c": 1}'], {"a": ["x", "y"], "b": {"c": 1}}),
    ],
)
def test_values_are_given_by_name(pairs: list[str], values: dict[str, Any]) -> None:
    assert given_values(pairs) == values


def test_a_text_can_lie_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_text("-----BEGIN\n")
    assert given_texts([f"public_key=@{tmp_path}/key.pem"]) == {"public_key": "-----BEGIN"}


@pytest.mark.parametrize("pair", ["a", "=1", "a=@/no/such/file", "a=[1"])
def test_what_cannot_be_meant_is_wrong_usage(pair: str) -> None:
    with pytest.raises(click.BadParameter):
        given_values([pair])
