"""A mapping file as a tree of places: each value knows its file, line and key, so that a mistake can be shown."""

import re
from collections.abc import Callable, Collection, Iterable
from difflib import get_close_matches
from math import isfinite
from typing import Any, ClassVar, cast

import yaml

from adapters.errors import MappingInvalid

try:
    from yaml import CSafeLoader as SafeLoader
except ImportError:  # PyYAML was built without libyaml: slower, else the same
    from yaml import SafeLoader

FILE_CHARACTERS_MAX = 256 * 1024
DEPTH_MAX = 40
NODES_MAX = 20_000
"""Values of a file, each counted again wherever an alias repeats it."""
OPENINGS_UNCHECKED_MAX = 5_000
"""Up to so many marks that open something inside something, libyaml cannot run out of stack."""

_MERGE = "<<"


class _Loader(SafeLoader):  # pyright: ignore[reportGeneralTypeIssues, reportUntypedBaseClass]  either of two
    """YAML with the scalars of JSON: `on`, `yes` and dates stay text, as providers use them for names."""

    yaml_implicit_resolvers: ClassVar[dict[str, list[tuple[str, re.Pattern[str]]]]] = {}


def _scalar_tag(kind: str) -> str:
    return f"tag:yaml.org,2002:{kind}"


def _resolve(kind: str, pattern: str, beginnings: str) -> None:
    for beginning in beginnings:
        _Loader.yaml_implicit_resolvers.setdefault(beginning, []).append((_scalar_tag(kind), re.compile(pattern)))


_resolve("bool", r"(?:true|false)$", "tf")
_resolve("null", r"(?:null|~)$", "n~")
_resolve("int", r"-?(?:0|[1-9][0-9]*)$", "-0123456789")
_resolve("float", r"-?(?:0|[1-9][0-9]*)\.[0-9]+$", "-0123456789")
_Loader.yaml_implicit_resolvers[""] = [(_scalar_tag("null"), re.compile(r"$"))]


def _finite(text: str) -> float:
    number = float(text)
    if not isfinite(number):
        raise ValueError(text)
    return number


_SCALARS: dict[str, Callable[[str], Any]] = {
    _scalar_tag("bool"): lambda text: text == "true",
    _scalar_tag("null"): lambda _text: None,
    _scalar_tag("int"): int,
    _scalar_tag("float"): _finite,
}


class Place:
    """One value of a mapping file and where it stands.

    Its readers (`text`, `flag`, `section`, …) return the value in the form that the mapping language asks for there, or
    raise `MappingInvalid` with the line and key.
    """

    def __init__(self, node: yaml.Node, file: str, key: str = "") -> None:
        self._node = node
        self.file = file
        self.key = key

    @property
    def line(self) -> int:
        return self._node.start_mark.line + 1

    @property
    def is_list(self) -> bool:
        return isinstance(self._node, yaml.SequenceNode)

    @property
    def is_section(self) -> bool:
        return isinstance(self._node, yaml.MappingNode)

    def invalid(self, message: str) -> MappingInvalid:
        return MappingInvalid(message, file=self.file, line=self.line, key=self.key)

    def text(self) -> str:
        """The characters of a scalar that is not empty, whatever YAML would make of them: expressions, names, words."""
        if not isinstance(self._node, yaml.ScalarNode) or not self._node.value.strip():
            raise self.invalid("a text is needed here")
        return self._node.value.strip()

    def flag(self) -> bool:
        value = self.value()
        if not isinstance(value, bool):
            raise self.invalid("true or false is needed here")
        return value

    def whole(self) -> int:
        value = self.value()
        if not isinstance(value, int) or isinstance(value, bool):
            raise self.invalid("a whole number is needed here")
        return value

    def one_of(self, words: Collection[str]) -> str:
        word = self.text()
        if word not in words:
            raise self.invalid(f"'{word}' is not known here; {_suggestion(word, words)}")
        return word

    def items(self) -> list["Place"]:
        """The elements of a list that is not empty; a single value counts as a list of one."""
        if not isinstance(self._node, yaml.SequenceNode):
            return [self]
        if not self._node.value:
            raise self.invalid("the list is empty; at least one is needed here")
        return self._elements()

    def entries(self) -> dict[str, "Place"]:
        """The values of a section whose keys are the user's own; keys are text even where they look like numbers.

        `<<: *anchor` brings in the keys of another section; the section's own come before them.
        """
        if not isinstance(self._node, yaml.MappingNode):
            raise self.invalid("keys with values are needed here")
        found: dict[str, Place] = {}
        for key_node, value_node in self._node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise self.invalid("keys must be plain texts")
            name: str = key_node.value
            dotted = f"{self.key}.{name}" if self.key else name
            if name in found:
                raise MappingInvalid("given twice", file=self.file, line=key_node.start_mark.line + 1, key=dotted)
            found[name] = self._inner(value_node, dotted)
        inherited = found.pop(_MERGE).entries() if _MERGE in found else {}
        return {**inherited, **found}

    def section(self, known: Collection[str]) -> dict[str, "Place"]:
        """The values of a section whose keys the language defines."""
        found = self.entries()
        for name, place in found.items():
            if name not in known:
                raise place.invalid(f"unknown key '{name}'; {_suggestion(name, known)}")
        return found

    def inside(self, path: str) -> "Place":
        """The place at the dotted `path` below this one, or the last one on the way that exists."""
        place = self
        for step in re.findall(r"[^.\[\]]+", path):
            if place.is_list and step.isdecimal() and int(step) < len(place.items()):
                place = place.items()[int(step)]
            elif place.is_section and step in place.entries():
                place = place.entries()[step]
            else:
                break
        return place

    def value(self) -> Any:
        """The plain value: dicts, lists, texts, numbers, booleans, None."""
        if self.is_section:
            return {name: place.value() for name, place in self.entries().items()}
        if self.is_list:
            return [place.value() for place in self._elements()]
        convert = _SCALARS.get(self._node.tag)
        try:
            return convert(self._node.value) if convert else self._node.value
        except ValueError:
            raise self.invalid(f"no number of a size that can be read: {self._node.value:.40}") from None

    def _elements(self) -> list["Place"]:
        nodes: list[yaml.Node] = self._node.value
        return [self._inner(node, f"{self.key}[{index}]") for index, node in enumerate(nodes)]

    def _inner(self, node: yaml.Node, key: str) -> "Place":
        return Place(node, self.file, key)


def parse(text: str, file: str) -> Place:
    """The whole of a mapping file; raises `MappingInvalid` with the line where it is not YAML."""
    if len(text) > FILE_CHARACTERS_MAX:
        raise MappingInvalid(f"longer than {FILE_CHARACTERS_MAX} characters", file=file)
    try:
        if sum(map(text.count, "[{-?")) > OPENINGS_UNCHECKED_MAX:
            _refuse_depth(text, file)
        node = cast("yaml.Node | None", yaml.compose(text, Loader=_Loader))  # type: ignore[arg-type]
    except yaml.MarkedYAMLError as mistake:
        mark = mistake.problem_mark
        raise MappingInvalid(_explained(mistake), file=file, line=mark.line + 1 if mark else None) from None
    except (yaml.YAMLError, RecursionError) as mistake:
        raise MappingInvalid(f"not YAML: {mistake}", file=file) from None
    if node is None:
        raise MappingInvalid("the file is empty", file=file, line=1)
    _refuse_size(node, file)
    return Place(node, file)


def _refuse_depth(text: str, file: str) -> None:
    """Before libyaml makes a tree of it, which takes the stack of the process for every level."""
    depth = 0
    events = cast("Iterable[yaml.Event]", yaml.parse(text, Loader=_Loader))  # type: ignore[arg-type]
    for event in events:
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEPTH_MAX:
            raise _too_deep(event, file)


def _refuse_size(root: yaml.Node, file: str) -> None:
    """A few lines may stand for millions of values, where an alias repeats what repeats others, or for ever."""
    measured: dict[int, tuple[int, int]] = {}

    def measure(node: yaml.Node, depth: int) -> tuple[int, int]:
        """Its values and its levels, which an alias may bring to more than there are in the text."""
        if depth > DEPTH_MAX:
            raise _too_deep(node, file)
        if id(node) not in measured:
            children = _inner_nodes(node)
            inner = [measure(child, depth + 1) for child in children if not isinstance(child, yaml.ScalarNode)]
            values = 1 + len(children) - len(inner) + sum(each[0] for each in inner)
            levels = 1 + max((each[1] for each in inner), default=1)
            if levels > DEPTH_MAX:
                raise _too_deep(node, file)
            if values > NODES_MAX:
                message = f"more than {NODES_MAX} values, those counted that aliases repeat"
                raise MappingInvalid(message, file=file, line=node.start_mark.line + 1)
            measured[id(node)] = values, levels
        return measured[id(node)]

    measure(root, 0)


def _inner_nodes(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [value for _, value in node.value]
    return node.value if isinstance(node, yaml.SequenceNode) else []


def _too_deep(at: yaml.Node | yaml.Event, file: str) -> MappingInvalid:
    message = f"nested more than {DEPTH_MAX} deep, or an anchor inside itself"
    return MappingInvalid(message, file=file, line=at.start_mark.line + 1)


def _explained(mistake: yaml.MarkedYAMLError) -> str:
    problem = mistake.problem or "not YAML"
    if "expected ','" not in problem:
        return problem
    return f"{problem}: between [ ] or {{ }} an expression with a comma or a bracket needs quotes around it"


def _suggestion(word: str, known: Collection[str]) -> str:
    close = get_close_matches(word, known, n=1)
    return f"did you mean '{close[0]}'?" if close else f"known are {', '.join(sorted(known)) or 'none'}"
