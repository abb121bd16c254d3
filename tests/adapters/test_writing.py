"""What is written from a mapping: its text is never part of the program, and what is found once is not sought again."""

from typing import Any

import pytest

from adapters.expressions import Scope
from adapters.fields import constant
from adapters.writing import Value, Writing, compiled
from tests.adapters.test_mapping import mail, only, with_fields

HOSTILE_NAMES = [
    "x'] = 1; import os; y['",
    '"""',
    "a\nraise SystemExit\n",
    "{0}",
    "\\",
    "\0",
    "object0",
    "é\N{RIGHT-TO-LEFT OVERRIDE}",
]


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_a_name_is_data_whatever_it_spells(name: str) -> None:
    def write(code: Writing) -> str:
        return code.found(code.at_path([name, name]))

    assert compiled(write, "test")({name: {name: 7}}, Scope()) == 7
    assert compiled(constant(name), "test")(None, Scope()) == name


def test_a_key_of_an_object_may_spell_a_program() -> None:
    adapter = with_fields("""metadata: {object: {"x'] = 1; import os; y['": code, "{0}": code}}""")
    assert only(adapter, mail(code=5)).data.metadata == {"x'] = 1; import os; y['": 5, "{0}": 5}


def evaluations(*values: Value) -> tuple[list[Any], list[str]]:
    """What a function gives that finds these values, and what it evaluated for them."""
    code = Writing()
    code.line(f"return [{', '.join([value(code) for value in values])}]")
    asked: list[str] = []
    given: Any = code.function("test")({"asked": asked, "empty": ""}, Scope())
    return given, asked


def noting(name: str) -> Value:
    def note(item: Any, _: Scope) -> str:
        item["asked"].append(name)
        return name

    return lambda code: code.found(f"{code.bind(note, 'expression')}(item, scope)")


def test_what_is_found_is_not_sought_again() -> None:
    once = noting("a")
    assert evaluations(once, once, noting("b")) == (["a", "a", "b"], ["a", "b"])


def test_what_is_found_under_a_condition_only_is_sought_again() -> None:
    value = noting("a")

    def if_asked(code: Writing) -> str:
        found = code.local("None")
        with code.only_if(code.at_path(["empty"])):
            code.line(f"{found} = {value(code)}")
        return found

    assert evaluations(if_asked, value) == ([None, "a"], ["a"])


def test_a_list_of_fields_may_be_long_and_lists_deep() -> None:
    long = ", ".join(f"key{number}" for number in range(500))
    assert only(with_fields(f"subject: [{long}, last]"), mail(last="found")).data.subject == "found"
    deep = "[other, " * 30 + "last" + "]" * 30
    assert only(with_fields(f"subject: {deep}"), mail(last="found")).data.subject == "found"
