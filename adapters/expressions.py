"""The expression language of mappings, filters and transforms: JMESPath and our functions, compiled once to closures.

The text is parsed by jmespath's own parser; the tree becomes nested Python closures of (value, scope), so an evaluation
walks no tree. The results are JMESPath's, except that a comparison of a number with a text is null (jmespath raises),
and that unknown functions, wrong numbers of arguments and misplaced `&` are refused when compiling.

The functions, JMESPath's and ours, are in `adapters.functions`, whose docstring lists them.
"""

from collections.abc import Callable
from typing import Any, NoReturn

from adapters.closures import (
    all_true,
    comparison,
    equality_with,
    filter_projection,
    first_true,
    flatten,
    in_turn,
    index,
    is_true,
    path,
    projection,
    value_projection,
)
from adapters.errors import ExpressionError
from adapters.functions import FUNCTIONS, suggestion
from adapters.functions.scope import NO_SCOPE, STEPS_MAX, Json, Scope, weigh
from adapters.functions.table import TABLE, Argument, Closure, Function, Reference
from adapters.grammar import Node, flattened, parse, weight_of

__all__ = ["FUNCTIONS", "NO_SCOPE", "Expression", "ExpressionError", "Scope", "compile_expression"]

NESTING_MAX = 32
"""How deep the nodes of an expression may be nested; `a.b[0]`, `a || b` and `a | b` count as one however long."""


class Expression:
    """A compiled expression: call it with a JSON value. Raises ExpressionError when it cannot give a result."""

    __slots__ = ("evaluate", "source")

    def __init__(self, source: str, evaluate: Closure) -> None:
        self.source = source
        self.evaluate = evaluate
        """The same for whoever has a scope, faster."""

    def __call__(self, value: Any, scope: Scope = NO_SCOPE) -> Any:
        return self.evaluate(value, Scope() if scope is NO_SCOPE else scope)

    def __repr__(self) -> str:
        return f"Expression({self.source!r})"


def compile_expression(source: str, *, steps_max: int = STEPS_MAX) -> Expression:
    """`source` compiled; one evaluation may take `steps_max` steps.

    Raises ExpressionError with the position of the mistake when it is not a valid expression.
    """
    compiler = _Compiler(source)
    run = compiler.closure(parse(source), 0)
    if compiler.repeats:
        run = _weighed(run)
    return Expression(source, _guarded(source, run, compiler.metered, steps_max) if compiler.may_fail else run)


def _guarded(source: str, run: Closure, metered: bool, steps_max: int) -> Closure:
    """An evaluation that fails as it should. `metered` says that it needs its budget: some cannot spend any steps."""

    def evaluate(value: Json, scope: Scope) -> Any:
        if metered:
            scope.steps_left = scope.steps_max = steps_max
        try:
            return run(value, scope)
        except ExpressionError as error:
            error.expression = source
            raise
        except RecursionError:
            raise ExpressionError("the value is nested too deeply", expression=source) from None
        except (ArithmeticError, TypeError, ValueError) as error:
            raise ExpressionError(f"the evaluation failed: {error}", expression=source) from error

    return evaluate


def _weighed(run: Closure) -> Closure:
    """Counts the result too: that of `[@, @] | [@, @] | …` shares its parts in memory, and is huge when written."""

    def weighed(value: Json, scope: Scope) -> Any:
        result = run(value, scope)
        if type(result) in (list, dict):
            weigh(scope, result)
        return result

    return weighed


_UNFAILING = frozenset(
    {
        *("identity", "current", "literal", "field", "index", "subexpression", "index_expression", "pipe"),
        *("or_expression", "and_expression", "not_expression"),
    }
)
"""Nodes that give a result whatever they are applied to."""


class _Compiler:
    """Turns one tree into closures.

    `metered` tells that some node may spend steps, `repeats` that the result may hold a part more than once, `may_fail`
    that an evaluation may raise something.
    """

    def __init__(self, source: str) -> None:
        self.source = source
        self.metered = False
        self.repeats = False
        self.may_fail = False
        self.loops = 0

    def closure(self, node: Node, depth: int) -> Closure:
        self.may_fail |= node["type"] not in _UNFAILING
        if depth >= NESTING_MAX:
            self.refuse(f"nested deeper than {NESTING_MAX} levels", node)
        return _BUILDERS[node["type"]](self, node, depth + 1)

    def refuse(self, message: str, node: Node) -> NoReturn:
        raise ExpressionError(message, expression=self.source, position=node.get("start"))

    def repeated(self, node: Node, depth: int) -> tuple[Closure, int]:
        """The closure of what is applied to every element, and the steps that one application costs."""
        self.metered = True
        self.loops += 1
        run = self.closure(node, depth)
        self.loops -= 1
        return run, weight_of(node)

    def same_again(self) -> None:
        """Called for what gives the same part to every element of a projection, as a literal or body() does."""
        self.repeats |= self.loops > 0


def _current(_compiler: _Compiler, _node: Node, _depth: int) -> Closure:
    return lambda value, _: value


def _literal(compiler: _Compiler, node: Node, _depth: int) -> Closure:
    compiler.same_again()
    literal = node["value"]
    return lambda _, __: literal


def _sequence(compiler: _Compiler, node: Node, depth: int) -> Closure:
    """`a.b`, `a[0]`, `a | b`: each step applied to what the one before gave."""
    steps: list[Closure] = []
    names: list[str] = []
    for step in flattened(node, "subexpression", "index_expression", "pipe"):
        if step["type"] == "field":
            names.append(step["value"])
            continue
        if names:
            steps.append(path(names))
            names = []
        if step["type"] not in ("identity", "current"):
            steps.append(compiler.closure(step, depth))
    if names:
        steps.append(path(names))
    return in_turn(steps)


def _field(_compiler: _Compiler, node: Node, _depth: int) -> Closure:
    return path([node["value"]])


def _index(_compiler: _Compiler, node: Node, _depth: int) -> Closure:
    return index(node["value"])


def _slice(compiler: _Compiler, node: Node, _depth: int) -> Closure:
    if node["children"][2] == 0:
        compiler.refuse("the step of a slice cannot be 0", node)
    part = slice(*node["children"])
    return lambda value, _: value[part] if type(value) is list else None


def _flatten(compiler: _Compiler, node: Node, depth: int) -> Closure:
    compiler.metered = True
    return flatten(compiler.closure(node["children"][0], depth))


def _projection(compiler: _Compiler, node: Node, depth: int) -> Closure:
    base = compiler.closure(node["children"][0], depth)
    return projection(base, *compiler.repeated(node["children"][1], depth))


def _value_projection(compiler: _Compiler, node: Node, depth: int) -> Closure:
    base = compiler.closure(node["children"][0], depth)
    return value_projection(base, *compiler.repeated(node["children"][1], depth))


def _filter_projection(compiler: _Compiler, node: Node, depth: int) -> Closure:
    base, condition = (compiler.closure(node["children"][place], depth) for place in (0, 2))
    each, weight = compiler.repeated(node["children"][1], depth)
    return filter_projection(base, condition, each, weight + weight_of(node["children"][2]))


def _multi_select_list(compiler: _Compiler, node: Node, depth: int) -> Closure:
    compiler.metered = compiler.repeats = True
    runs = [compiler.closure(child, depth) for child in node["children"]]
    return lambda value, scope: None if value is None else [run(value, scope) for run in runs]


def _multi_select_dict(compiler: _Compiler, node: Node, depth: int) -> Closure:
    compiler.metered = compiler.repeats = True
    runs = [(pair["value"], compiler.closure(pair["children"][0], depth)) for pair in node["children"]]
    return lambda value, scope: None if value is None else {name: run(value, scope) for name, run in runs}


def _or(compiler: _Compiler, node: Node, depth: int) -> Closure:
    return first_true([compiler.closure(child, depth) for child in flattened(node, "or_expression")])


def _and(compiler: _Compiler, node: Node, depth: int) -> Closure:
    return all_true([compiler.closure(child, depth) for child in flattened(node, "and_expression")])


def _not(compiler: _Compiler, node: Node, depth: int) -> Closure:
    run = compiler.closure(node["children"][0], depth)
    return lambda value, scope: not is_true(run(value, scope))


def _comparator(compiler: _Compiler, node: Node, depth: int) -> Closure:
    kind = node["value"]
    left, right = (compiler.closure(child, depth) for child in node["children"])
    for child, run in zip(reversed(node["children"]), (left, right), strict=True):
        if kind in ("eq", "ne") and child["type"] == "literal":
            plain = equality_with(kind, run, child["value"])
            if plain is not None:
                return plain
    compiler.metered = True
    return comparison(kind, left, right)


def _reference(compiler: _Compiler, node: Node, _depth: int) -> Closure:
    compiler.refuse("& belongs in front of an argument of functions such as sort_by() and map()", node)


def _function(compiler: _Compiler, node: Node, depth: int) -> Closure:
    name, children = node["value"], node["children"]
    declared = TABLE.get(name)
    if declared is None:
        compiler.refuse(f"there is no function {name}(){suggestion(name)}", node)
    many = declared.arguments_max is not None and len(children) > declared.arguments_max
    if many or len(children) < declared.arguments_min:
        compiler.refuse(f"{declared.signature} wants {declared.wants} arguments, not {len(children)}", node)
    compiler.metered |= declared.metered
    compiler.same_again()
    arguments = [_argument(compiler, declared, place, child, depth) for place, child in enumerate(children)]
    try:
        return declared.build(arguments)
    except ExpressionError as error:
        error.expression = compiler.source
        error.position = node.get("start") if error.position is None else error.position
        raise


def _argument(compiler: _Compiler, declared: Function, place: int, node: Node, depth: int) -> Argument:
    refers = node["type"] == "expref"
    if refers != (place in declared.references):
        wanted = "an expression after &" if not refers else "a value, not an expression after &"
        compiler.refuse(f"argument {place + 1} of {declared.signature} must be {wanted}", node)
    if refers:
        run, weight = compiler.repeated(node["children"][0], depth)
        reference = Reference(run, weight)
        return Argument(lambda _, __: reference, node.get("start"))
    run = compiler.closure(node, depth)
    if node["type"] == "literal":
        return Argument(run, node.get("start"), node["value"])
    return Argument(run, node.get("start"))


_BUILDERS: dict[str, Callable[[_Compiler, Node, int], Closure]] = {
    "identity": _current,
    "current": _current,
    "literal": _literal,
    "field": _field,
    "subexpression": _sequence,
    "index_expression": _sequence,
    "pipe": _sequence,
    "index": _index,
    "slice": _slice,
    "flatten": _flatten,
    "projection": _projection,
    "value_projection": _value_projection,
    "filter_projection": _filter_projection,
    "multi_select_list": _multi_select_list,
    "multi_select_dict": _multi_select_dict,
    "or_expression": _or,
    "and_expression": _and,
    "not_expression": _not,
    "comparator": _comparator,
    "expref": _reference,
    "function_expression": _function,
}
