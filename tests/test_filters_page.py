"""The page about filters and transforms: what it shows is what comes out."""

import json
from typing import Any

import pytest

from adapters.closures import is_true
from adapters.errors import ExpressionError
from adapters.expressions import compile_expression
from app.shaping import transformed
from tests.test_docs import blocks, section

EVENT: dict[str, Any] = json.loads(blocks("json", section("events.md", "One event in full"))[0])


@pytest.mark.parametrize("heading", ["A message for Slack", "A flat form of old"])
def test_a_transform_yields_what_the_page_shows(heading: str) -> None:
    text = section("filters.md", heading)
    (expression,), (result,) = blocks("jmespath", text), blocks("json", text)
    assert json.loads(transformed(compile_expression(expression), json.dumps(EVENT).encode())) == json.loads(result)


def test_the_message_for_slack_can_do_without_a_reason() -> None:
    (expression,) = blocks("jmespath", section("filters.md", "A message for Slack"))
    opened = EVENT | {"type": "email.open", "data": EVENT["data"] | {"bounce": None}}
    assert compile_expression(expression)(opened) == {"text": "*email.open* ann@example.com: no reason given"}


@pytest.mark.parametrize(
    ("data", "passes"),
    [
        ({}, True),
        ({"tags": ["spring", "welcome"]}, True),
        ({"tags": ["spring"]}, False),
        ({"tags": []}, False),
        ({"bounce": EVENT["data"]["bounce"] | {"class": "soft"}}, False),
        ({"bounce": None}, False),
    ],
)
def test_the_filter_passes_hard_bounces_of_that_tag_alone(data: dict[str, Any], passes: bool) -> None:
    (expression,) = blocks("jmespath", section("filters.md", "Only hard bounces of one tag"))
    assert is_true(compile_expression(expression)(EVENT | {"data": EVENT["data"] | data})) is passes


def test_the_mistake_is_told_as_the_page_shows() -> None:
    (shown,) = blocks("json", section("filters.md", "Try before you save"))
    with pytest.raises(ExpressionError) as mistake:
        compile_expression("startswith(type, 'email.')")
    assert json.loads(shown)["message"] == f"{mistake.value} (at position {mistake.value.position})"
