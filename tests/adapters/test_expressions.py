"""The expression language: JMESPath's semantics (jmespath itself is the oracle), our functions, and the limits."""

import json
import warnings
from pathlib import Path
from typing import Any

import jmespath
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import adapters.functions
from adapters.errors import ExpressionError
from adapters.expressions import FUNCTIONS, NO_SCOPE, Scope, compile_expression
from adapters.functions.scope import STEPS_MAX
from adapters.functions.table import TABLE
from adapters.request import NativeRequest
from tests.adapters.expression_strategies import CALLS, DOCUMENTS, EXPRESSIONS, SCRAPS

FIXTURES = Path(__file__).parent / "expressions"


def cases(name: str) -> list[Any]:
    groups = json.loads((FIXTURES / name).read_text())
    return [
        pytest.param(expression, group["given"], expected, id=f"{group['title']}: {expression}")
        for group in groups
        for expression, expected in group["cases"].items()
    ]


def written(value: Any) -> str:
    """Tells 1, 1.0 and true apart, which Python's equality does not."""
    return json.dumps(value, sort_keys=True)


def evaluate(expression: str, value: Any = None, scope: Scope = NO_SCOPE) -> Any:
    return compile_expression(expression)(value, scope)


@pytest.mark.parametrize(("expression", "value", "expected"), cases("jmespath.json"))
def test_an_expression_gives_what_jmespath_specifies(expression: str, value: Any, expected: Any) -> None:
    assert written(evaluate(expression, value)) == written(expected)


@pytest.mark.parametrize(("expression", "value", "expected"), cases("functions.json"))
def test_a_function_of_ours_gives_what_its_line_says(expression: str, value: Any, expected: Any) -> None:
    assert written(evaluate(expression, value)) == written(expected)


@pytest.mark.parametrize(
    "case", json.loads((FIXTURES / "refusals.json").read_text()), ids=lambda case: case["expression"]
)
def test_a_mistake_is_refused_when_compiling_with_its_position(case: dict[str, Any]) -> None:
    with pytest.raises(ExpressionError) as refused:
        compile_expression(case["expression"])
    assert (refused.value.expression, refused.value.position) == (case["expression"], case["position"])
    assert case["message"] in str(refused.value)


@pytest.mark.filterwarnings("ignore:deprecated string literal syntax:PendingDeprecationWarning")
@settings(deadline=None, max_examples=400)
@given(EXPRESSIONS, DOCUMENTS)
def test_every_expression_agrees_with_jmespath_on_every_document(expression: str, document: Any) -> None:
    try:
        expected = written(jmespath.search(expression, document))
    except jmespath.exceptions.JMESPathError:
        with pytest.raises(ExpressionError):
            evaluate(expression, document)
    except (TypeError, ValueError):
        value_or_error(expression, document)
    else:
        assert written(evaluate(expression, document)) == expected


def value_or_error(expression: str, document: Any, scope: Scope = NO_SCOPE) -> Any:
    try:
        return evaluate(expression, document, scope)
    except ExpressionError as error:
        return error


@settings(deadline=None, max_examples=300)
@given(st.one_of(SCRAPS, st.text(max_size=30)), DOCUMENTS)
def test_any_text_as_an_expression_gives_a_value_or_the_one_error(source: str, document: Any) -> None:
    value_or_error(source, document)


@settings(deadline=None, max_examples=600)
@given(CALLS, DOCUMENTS)
def test_any_call_of_a_function_gives_a_value_or_the_one_error(source: str, document: Any) -> None:
    request = NativeRequest(url="https://gateway.example/api?a=1", headers={"a": "1"}, body=b"")
    value_or_error(source, document, Scope(request=request, body=document, parent=[document]))


def test_what_jmespath_only_warns_about_compiles_in_silence() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert evaluate("`bare word`") == "bare word"


@pytest.mark.parametrize("function", ["abs", "join", "keys", "sort", "sort_by", "map", "lower", "omit", "header_value"])
def test_an_argument_of_the_wrong_kind_names_the_function_and_not_the_value(function: str) -> None:
    declared = TABLE[function]
    places = range(declared.arguments_min)
    arguments = ", ".join("&a" if place in declared.references else "@" for place in places)
    wrong: Any = ["private", {}] if function in {"lower", "abs", "omit", "keys", "sort"} else 4711
    with pytest.raises(ExpressionError) as failed:
        evaluate(f"{function}({arguments})", wrong)
    assert f"{function}()" in str(failed.value)
    assert "private" not in str(failed.value)
    assert "4711" not in str(failed.value)


def test_a_failed_evaluation_names_the_expression_and_no_position() -> None:
    with pytest.raises(ExpressionError) as failed:
        evaluate("a | join(',', @)", {"a": [1]})
    assert (failed.value.expression, failed.value.position) == ("a | join(',', @)", None)


def test_functions_see_the_request_the_body_the_parent_and_the_recipient() -> None:
    request = NativeRequest(url="https://gateway.example/in?token=t%201", headers={"x-topic": "mail"}, body=b"")
    scope = Scope(request=request, body={"batch": 7}, parent={"id": "p"}, recipient="ada@example.org")
    seen = evaluate("[header('X-Topic'), query('token'), body().batch, parent().id, recipient(), @]", "item", scope)
    assert seen == ["mail", "t 1", 7, "p", "ada@example.org", "item"]


@pytest.mark.parametrize("call", ["header('a')", "query('a')", "body()", "parent()", "recipient()"])
def test_without_a_scope_its_functions_give_null(call: str) -> None:
    assert evaluate(call, {}) is None


def test_the_documentation_lists_every_function_with_its_meaning() -> None:
    listed = " ".join((adapters.functions.__doc__ or "").split())
    assert set(FUNCTIONS) == set(TABLE)
    for declared in TABLE.values():
        assert declared.meaning, declared.name
        assert f"{declared.signature} {declared.meaning}" in listed
        assert FUNCTIONS[declared.name] == f"{declared.signature}: {declared.meaning}"


def test_jmespath_has_no_function_that_is_missing_here() -> None:
    assert set(jmespath.functions.Functions.FUNCTION_TABLE) <= set(TABLE)


@pytest.mark.parametrize(
    "source",
    [
        "a" * 4097,
        "(" * 1000 + "a" + ")" * 1000,
        "[" * 2000,
        "!" * 4000 + "a",
        "`" + "[" * 2000 + "]" * 2000 + "`",
        "[" * 33 + "a" + "]" * 33,
        "a" + "[]" * 40,
        "length(" * 33 + "a" + ")" * 33,
    ],
    ids=["length", "parentheses", "brackets", "not", "literal", "lists", "flatten", "calls"],
)
def test_an_expression_that_is_too_long_or_too_deep_is_refused(source: str) -> None:
    with pytest.raises(ExpressionError):
        compile_expression(source)


@pytest.mark.parametrize("link", [" || a", " && a", " | @", "[0]", ".a", ".a[0]"])
def test_a_long_chain_is_not_deep(link: str) -> None:
    value_or_error("a" + link * 500, {"a": 1})
    compile_expression("a" + link * 500)


@pytest.mark.parametrize(
    "source",
    [
        "@" + " | [@, @]" * 40,
        "@" + " | {a: @, b: @}" * 40,
        "@" + " | [@, @]" * 40 + " | to_string(@)",
        "[@" + " | [@, @]" * 40 + ", @" + " | [@, @]" * 40 + "] | [0] == [1]",
        "contains(@" + " | [@, @]" * 40 + ", `[[]]`)",
        "@" + " | [@, @][]" * 40,
        "items[*].body().items[*].body().items[*].a",
        "items[*].body()",
        "items[*].lower(body().text)",
        "items[*].contains(body().text, 'b')",
        "items[*].regex(body().text, 'b')",
        "items[*].json(body().json)",
        "items[*].sort(body().items)",
        "map(&body().items[?@ == body()], items)",
        "map(&'" + "a" * 4000 + "', items)",
        "map(&header('x'), items)",
        "items[*].starts_with(body().text, body().text)",
        "sort_by(items, &body().text)",
        "replace(text, 'a', text)",
        "template('" + "{0}" * 1000 + "', text)",
        "join(text, items[*].to_string(@))",
    ],
    ids=lambda source: source[:40],
)
def test_an_evaluation_that_would_do_or_build_too_much_is_stopped(source: str) -> None:
    big = {"items": list(range(5000)), "text": "a" * 200_000, "json": json.dumps(list(range(20_000)))}
    with pytest.raises(ExpressionError, match=f"more than {STEPS_MAX} steps"):
        evaluate(source, big, Scope(body=big, request=NativeRequest(headers={"x": "a" * 10_000}, body=b"")))


def test_every_evaluation_has_the_whole_budget() -> None:
    expression, items = compile_expression("[*].{a: @}"), list(range(50_000))
    scope = Scope()
    for _ in range(5):
        assert len(expression(items, scope)) == len(expression(items)) == len(items)
    assert NO_SCOPE.steps_left == STEPS_MAX


@pytest.mark.parametrize("source", ["@ == [@]", "[@] == [@]", "to_string(@)", "text(@)", "sort_by([@], &to_string(@))"])
def test_a_value_nested_beyond_reason_gives_a_value_or_the_one_error(source: str) -> None:
    deep: Any = []
    for _ in range(20_000):
        deep = [deep]
    value_or_error(source, deep, Scope(body=deep))


def test_json_in_text_is_read_to_a_depth_and_no_further() -> None:
    assert evaluate("json(@)", "[" * 60 + "]" * 60) is not None
    assert evaluate("json(@)", "[" * 70 + "]" * 70) is None
    assert evaluate("json(@)", "[" * 100_000 + "]" * 100_000) is None


def test_a_pattern_that_would_backtrack_for_ever_takes_linear_time() -> None:
    assert evaluate("regex_match(@, '^(a+)+$')", "a" * 5_000 + "!") is False


@pytest.mark.parametrize("text", ["(", '"\\"', "<", "@:", "a,", '"', "a:b@c;", "((a)"])
def test_reading_addresses_takes_linear_time(text: str) -> None:
    assert isinstance(evaluate("addresses(@)", text * 20_000), list)


def test_addresses_in_more_text_than_any_header_has_are_not_read() -> None:
    with pytest.raises(ExpressionError):
        evaluate("addresses(@)", "<" * 1_000_000)


def test_writing_many_elements_as_json_costs_more_than_looking_at_them() -> None:
    written = compile_expression("to_string(@)", steps_max=1_000)
    assert written(list(range(200)))
    with pytest.raises(ExpressionError, match="more than 1000 steps"):
        written(list(range(300)))
    assert written(["x" * 10_000]), "characters are written fast"
