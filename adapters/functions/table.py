"""How a function of the expression language is declared: one table, filled by decorators.

A declaration gives the signature as the documentation prints it; the number of arguments follows from it
(`name?` may be left out, `…` repeats the one before). The docstring of what is declared is the function's meaning.
"""

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import msgspec
from msgspec import UNSET

from adapters.errors import ExpressionError
from adapters.functions.scope import SHORT_TEXT, Json, Scope, spend_text

Closure: TypeAlias = Callable[[Json, Scope], Any]
"""A compiled node: the current value and the scope in, the result out."""
Body: TypeAlias = Callable[..., Any]
"""A function's own code: the scope and the evaluated arguments in, the result out."""


class Argument(msgspec.Struct, frozen=True):
    """One argument as the compiler hands it over; `literal` is its value where the source spells it out."""

    run: Closure
    position: int | None = None
    literal: Any = UNSET


class Reference(msgspec.Struct, frozen=True):
    """The value of `&expression`: a function applies it itself. `weight` is the steps one application costs."""

    run: Closure
    weight: int


class Function(msgspec.Struct, frozen=True):
    """One function: how it is documented, what it accepts, and how a call of it is built."""

    signature: str
    meaning: str
    arguments_min: int
    arguments_max: int | None
    metered: bool
    """Whether a call may spend steps."""
    references: tuple[int, ...]
    """The places of the arguments that must be `&expression`."""
    build: Callable[[list[Argument]], Closure]

    @property
    def name(self) -> str:
        return self.signature.partition("(")[0]

    @property
    def wants(self) -> str:
        """The number of arguments in words."""
        if self.arguments_max is None:
            return f"at least {self.arguments_min}"
        if self.arguments_min == self.arguments_max:
            return f"{self.arguments_min}"
        return f"{self.arguments_min} to {self.arguments_max}"


TABLE: dict[str, Function] = {}
"""Every function by name."""


def special(
    signature: str, *, metered: bool = True, references: tuple[int, ...] = ()
) -> Callable[[Callable[[list[Argument]], Closure]], Callable[[list[Argument]], Closure]]:
    """Declares a function that builds its own call, because it reads literals at compile time or skips arguments."""
    names = [part.strip() for part in signature.partition("(")[2].rstrip(")").split(",") if part.strip()]
    needed = sum(1 for name in names if name != "…" and not name.endswith("?"))

    def declare(build: Callable[[list[Argument]], Closure]) -> Callable[[list[Argument]], Closure]:
        most = None if "…" in names else len(names)
        declared = Function(signature, (build.__doc__ or "").strip(), needed, most, metered, references, build)
        TABLE[declared.name] = declared
        return build

    return declare


def function(
    signature: str,
    *,
    types: str = "",
    metered: bool = True,
    references: tuple[int, ...] = (),
) -> Callable[[Body], Body]:
    """Declares a function of evaluated arguments; `types` names their kinds, which are checked: "string|array any"."""

    def declare(body: Body) -> Body:
        name = signature.partition("(")[0]
        checked = _checking(name, types.split(), body) if types else body
        special(signature, metered=metered, references=references)(_calling(checked, body.__doc__))
        return body

    return declare


def text_function(signature: str) -> Callable[[Body], Body]:
    """Declares a function whose arguments are all text: numbers and booleans are spelled out, any null gives null."""
    return lambda body: _declare_text(signature, body)


def _declare_text(signature: str, body: Body) -> Body:
    name = signature.partition("(")[0]

    def build(arguments: list[Argument]) -> Closure:
        first, *others = [argument.run for argument in arguments]
        literals = [argument.literal for argument in arguments[1:] if type(argument.literal) is str]
        if len(literals) == len(others):
            return _of_one_text(name, body, first, literals)
        return _of_texts(name, body, [first, *others])

    build.__doc__ = body.__doc__
    special(signature)(build)
    return body


def _of_one_text(name: str, body: Body, run: Closure, literals: list[str]) -> Closure:
    """A call of which all but the first argument stands in the source, as in most: only the first is looked at."""
    given = sum(map(len, literals))
    free = SHORT_TEXT - given

    def call(value: Json, scope: Scope) -> Any:
        text = run(value, scope)
        if text is None:
            return None
        if type(text) is not str:
            text = to_text(name, text)
        if len(text) > free:
            spend_text(scope, len(text) + given)
        return body(scope, text, *literals) if literals else body(scope, text)

    return call


def _of_texts(name: str, body: Body, runs: list[Closure]) -> Closure:
    def call(value: Json, scope: Scope) -> Any:
        texts = [run(value, scope) for run in runs]
        if None in texts:
            return None
        spelled = [text if type(text) is str else to_text(name, text) for text in texts]
        spend_text(scope, sum(map(len, spelled)))
        return body(scope, *spelled)

    return call


def to_text(name: str, value: Json) -> str:
    """The text of a scalar; raises ExpressionError, naming the function, for an array or object."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(value)
    raise wrong_type(name, "text", value)


def wrong_type(name: str, wanted: str, value: object) -> ExpressionError:
    """The error of an argument of the wrong kind; it names the kind and never the value."""
    return ExpressionError(f"{name}() wants {wanted}, not {kind_of(value)}")


_KINDS: dict[type, str] = {
    str: "string",
    int: "number",
    float: "number",
    bool: "boolean",
    list: "array",
    dict: "object",
    type(None): "null",
}


def kind_of(value: object) -> str:
    """JMESPath's name for the type of a JSON value."""
    return _KINDS.get(type(value), "expression")


def _calling(body: Body, meaning: str | None) -> Callable[[list[Argument]], Closure]:
    """How a call of `body` is built, for as many arguments as it has."""

    def build(arguments: list[Argument]) -> Closure:
        runs = [argument.run for argument in arguments]
        if len(runs) == 1:
            (only,) = runs
            return lambda value, scope: body(scope, only(value, scope))
        if len(runs) == 2:
            first, second = runs
            return lambda value, scope: body(scope, first(value, scope), second(value, scope))
        return lambda value, scope: body(scope, *[run(value, scope) for run in runs])

    build.__doc__ = meaning
    return build


def _checking(name: str, kinds: list[str], body: Body) -> Body:
    """`body` behind a check of the kind of every argument; of a repeated argument the last kind counts."""
    checks = [_check(name, kind) for kind in kinds]
    if len(checks) == 1:
        (only,) = checks

        def checked(scope: Scope, *values: Any) -> Any:
            for value in values:
                only(value)
            return body(scope, *values)

        return checked

    def all_checked(scope: Scope, *values: Any) -> Any:
        for check, value in zip(checks, values, strict=True):
            check(value)
        return body(scope, *values)

    return all_checked


def _check(name: str, kinds: str) -> Callable[[Any], None]:
    """A check for "any", "number", "string|array" or, for the elements too, "array[number]|array[string]"."""
    if kinds == "any":
        return _accept
    if "[" in kinds:
        elements = tuple(kind[len("array[") : -1] for kind in kinds.split("|"))
        return lambda value: _check_elements(name, elements, value)
    allowed = frozenset(kind for kind in kinds.split("|"))
    wanted = kinds.replace("|", " or ")

    def check(value: Any) -> None:
        if kind_of(value) not in allowed:
            raise wrong_type(name, wanted, value)

    return check


def _accept(_: Any) -> None:
    """Anything will do."""


def _check_elements(name: str, elements: Iterable[str], value: Json) -> None:
    """The elements must be of one of the kinds, and all of the same."""
    wanted = " or ".join(f"an array of {kind}s" for kind in elements)
    if type(value) is not list:
        raise wrong_type(name, wanted, value)
    found = {kind_of(item) for item in value}
    if len(found) > 1 or not found.issubset(elements):
        raise ExpressionError(f"{name}() wants {wanted}, not of {' and '.join(sorted(found))}")
