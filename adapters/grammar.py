"""The grammar of expressions: jmespath's own parser, with limits and with the position of every mistake."""

import warnings
from collections.abc import Iterator
from typing import Any, NoReturn, TypeAlias, cast

from jmespath import exceptions, parser

from adapters.errors import ExpressionError

SOURCE_CHARACTERS_MAX = 4096

Node: TypeAlias = dict[str, Any]
"""One node of jmespath's tree: `type`, `children`, `value`, and `start` (an offset) where this module adds it."""


def parse(source: str) -> Node:
    """The tree of `source`. Raises ExpressionError with the 0-based position of what does not fit."""
    if len(source) > SOURCE_CHARACTERS_MAX:
        raise ExpressionError(
            f"longer than {SOURCE_CHARACTERS_MAX} characters", expression=source[:80], position=SOURCE_CHARACTERS_MAX
        )
    try:
        with warnings.catch_warnings(action="ignore", category=PendingDeprecationWarning):
            return cast(Node, _Parser().parse(source).parsed)
    except RecursionError:
        raise ExpressionError("nested too deeply", expression=source, position=0) from None
    except ValueError as error:
        _refuse(source, error)


def _refuse(source: str, error: ValueError) -> NoReturn:
    position: int = getattr(error, "lex_position", 0)
    if isinstance(error, exceptions.IncompleteExpressionError):
        message = "the expression ends too early"
    elif isinstance(error, exceptions.LexerError):
        message = str(error.message)
    elif isinstance(error, exceptions.ParseError):
        message = f"{error.msg} at {error.token_value!r}"
    else:
        message = "an expression cannot be empty" if not source else str(error)
    raise ExpressionError(message, expression=source, position=position) from None


class _Parser(parser.Parser):
    """Notes where names, literals, `&` and slices start, so that a mistake which the grammar allows can be shown."""

    _CACHE: dict[str, Any] = {}  # noqa: RUF012 - jmespath's cache by source; its own must not see our trees

    def _token_nud_unquoted_identifier(self, token: Node) -> Node:
        return cast(Any, super())._token_nud_unquoted_identifier(token) | {"start": token["start"]}

    def _token_nud_literal(self, token: Node) -> Node:
        return cast(Any, super())._token_nud_literal(token) | {"start": token["start"]}

    def _token_nud_expref(self, token: Node) -> Node:
        return cast(Any, super())._token_nud_expref(token) | {"start": token["start"]}

    def _parse_slice_expression(self) -> Node:
        start = cast(Any, self)._lookahead_token(0)["start"]
        return cast(Any, super())._parse_slice_expression() | {"start": start}

    def _token_led_lparen(self, left: Node) -> Node:
        return cast(Any, super())._token_led_lparen(left) | {"start": left.get("start")}


def flattened(node: Node, *kinds: str) -> list[Node]:
    """The members of a chain of nodes of these kinds, left to right: `a || b || c` is a chain of three."""
    members: list[Node] = []
    pending = [node]
    while pending:
        latest = pending.pop()
        if latest["type"] in kinds:
            pending.extend(reversed(latest["children"]))
        else:
            members.append(latest)
    return members


def weight_of(node: Node) -> int:
    """The number of nodes in the tree: about the steps that one evaluation of it takes."""
    return sum(1 for _ in _nodes(node))


def shape_of(node: Node) -> tuple[Any, ...]:
    """What is equal for equal trees, however they are spaced."""
    return tuple((each["type"], repr(each.get("value")), *map(_leaf, each["children"])) for each in _nodes(node))


def _leaf(child: Any) -> Any:
    return None if isinstance(child, dict) else (child,)


def _nodes(node: Node) -> Iterator[Node]:
    pending = [node]
    while pending:
        latest = pending.pop()
        yield latest
        pending.extend(cast(Node, child) for child in latest["children"] if isinstance(child, dict))
