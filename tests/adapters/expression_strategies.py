"""What the expression tests are given: JSON documents, expressions of every kind, and scraps that are neither."""

from typing import Any

from hypothesis import strategies as st

from adapters.functions.table import TABLE, Function

NAMES = ("a", "b", "c", '"x-y"')
LITERALS = ("`0`", "`1`", "`-2.5`", "`true`", "`false`", "`null`", "'a'", "''", "`[]`", "`{}`", '`[1, "a"]`', "`bare`")
COMPARATORS = ("==", "!=", "<", "<=", ">", ">=")
NUMERIC = ("abs", "avg", "ceil", "floor", "sum", "max", "min", "sort", "to_number")
GENERAL = ("length", "reverse", "keys", "values", "merge", "not_null", "to_array", "to_string", "type")
UNARY = NUMERIC + GENERAL
BINARY = ["contains", "starts_with", "ends_with", "join", "not_null"]
BY_KEY = ["sort_by", "max_by", "min_by"]

_texts = st.one_of(st.sampled_from(["a", "b", "", "ab", "12", "<a@b>", "550 5.1.1 no", "a, b"]), st.text(max_size=6))
_scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    _texts,
)
_keys = st.sampled_from(["a", "b", "c", "x-y", "name", "value", "email"])


def _containers(children: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(st.lists(children, max_size=4), st.dictionaries(_keys, children, max_size=4))


DOCUMENTS = st.recursive(_scalars, _containers, max_leaves=12)
"""Any JSON value; its objects have the names that the expressions look for."""

_numbers = st.one_of(st.just(""), st.integers(-3, 3).map(str))
_indices = st.integers(-3, 3).map(lambda index: f"[{index}]")
_steps = st.sampled_from(["", ":1", ":-1", ":2"])
_slices = st.builds(lambda start, stop, step: f"[{start}:{stop}{step}]", _numbers, _numbers, _steps)
_leaves = st.one_of(
    st.sampled_from(NAMES), st.just("@"), st.sampled_from(LITERALS), _indices, st.just("*"), st.just("[]")
)


def _compound(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    grouped = inner.map(lambda text: f"({text})")
    suffixes = st.one_of(
        st.sampled_from(["[*]", "[]", ".*", *(f".{name}" for name in NAMES)]),
        _indices,
        _slices,
        inner.map(lambda condition: f"[?{condition}]"),
        st.tuples(inner, inner).map(lambda pair: f".[{pair[0]}, {pair[1]}]"),
        inner.map(lambda value: f".{{k: {value}}}"),
        st.sampled_from(UNARY).map(lambda name: f".{name}(@)"),
    )
    operators = st.sampled_from([" || ", " && ", " | ", *(f" {sign} " for sign in COMPARATORS)])
    return st.one_of(
        st.tuples(st.one_of(inner, grouped), suffixes).map("".join),
        st.tuples(inner, operators, inner).map("".join),
        grouped,
        inner.map(lambda text: f"!{text}"),
        st.tuples(inner, inner).map(lambda pair: f"[{pair[0]}, {pair[1]}]"),
        st.tuples(inner, inner).map(lambda pair: f'{{k: {pair[0]}, "l m": {pair[1]}}}'),
        st.tuples(st.sampled_from(UNARY), inner).map(lambda call: f"{call[0]}({call[1]})"),
        st.tuples(st.sampled_from(BINARY), inner, inner).map(lambda call: f"{call[0]}({call[1]}, {call[2]})"),
        st.tuples(st.sampled_from(BY_KEY), inner, inner).map(lambda call: f"{call[0]}({call[1]}, &{call[2]})"),
        st.tuples(inner, inner).map(lambda pair: f"map(&{pair[0]}, {pair[1]})"),
        st.tuples(inner, inner).map(lambda pair: f"merge({{a: {pair[0]}, b: @}}, {{b: {pair[1]}}})"),
    )


EXPRESSIONS = st.recursive(_leaves, _compound, max_leaves=8)
"""Expressions of every kind of node that JMESPath has; some do not parse, which must be agreed on too."""

_PIECES = (*NAMES, *LITERALS, *COMPARATORS, *"@&|!*.,:()[]{}?'`\"-\\0", "[?", "[]", "&&", "||", "lower(", "map(", " ")
SCRAPS = st.lists(st.sampled_from(_PIECES), max_size=12).map("".join)

_arguments = st.one_of(st.sampled_from(["@", "a", "b", "[0]", "values(@)", "'<(.)'"]), st.sampled_from(LITERALS))


@st.composite
def _calls(draw: st.DrawFn) -> str:
    declared: Function = TABLE[draw(st.sampled_from(sorted(TABLE)))]
    most = declared.arguments_max if declared.arguments_max is not None else declared.arguments_min + 2
    count = draw(st.integers(declared.arguments_min, most))
    arguments = [f"{'&' * (place in declared.references)}{draw(_arguments)}" for place in range(count)]
    return f"{declared.name}({', '.join(arguments)})"


CALLS = _calls()
"""A call of any function with the right number of arguments, of any kind."""
