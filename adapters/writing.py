"""Functions written line by line and compiled once: all fields of an event in one, instead of a call for each.

Nothing of a mapping stands in the text. Its keys, its constants and the closures of its expressions are bound to names
(`key2`, `constant0`, `expression5`); what stands between these is ours alone.

    def written(item, scope, …):
        object0 = item if type(item) is dict else nothing
        object1 = object0.get(key0)
        if type(object1) is not dict:
            object1 = nothing
        value0 = object1.get(key1)
        …
"""

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

import msgspec

_NOTHING: dict[str, Any] = {}


class Writing:
    """A function of an item and its scope, and of what `parameters` name, while it is written."""

    def __init__(self, *parameters: str) -> None:
        self._parameters = parameters
        self._bound: dict[str, Any] = {}
        self._names: dict[int | str, str] = {}
        self._objects: dict[tuple[str, ...], str] = {}
        self._beginning: list[str] = []
        self._lines: list[str] = []
        self._found: dict[str, str] = {}
        self._depth = 1

    def bind(self, value: Any, what: str) -> str:
        """A name for `value`, which says what it is."""
        same: int | str = value if type(value) is str else id(value)
        name = self._names.get(same)
        if name is None:
            name = self._names[same] = f"{what}{len(self._bound)}"
            self._bound[name] = value
        return name

    def line(self, text: str) -> None:
        self._lines.append("    " * self._depth + text)

    @contextmanager
    def only_if(self, condition: str) -> Generator[None, None, None]:
        """What is written meanwhile runs only where `condition` is true."""
        self.line(f"if {condition}:")
        self._depth += 1
        yield
        self._depth -= 1

    @contextmanager
    def trying(self, fault: type[Exception], otherwise: str) -> Generator[None, None, None]:
        """What is written meanwhile may raise `fault`, the `mistake` of which the line `otherwise` takes note of."""
        self.line("try:")
        self._depth += 1
        yield
        self._depth -= 1
        self.line(f"except {self.bind(fault, 'Fault')} as mistake:")
        self.line(f"    {otherwise}")

    def local(self, text: str) -> str:
        """A new local that holds what `text` gives."""
        name = f"value{len(self._lines)}"
        self.line(f"{name} = {text}")
        return name

    def found(self, text: str) -> str:
        """A local that holds what `text` gives, the one that does already where `text` has been evaluated for sure."""
        if text in self._found:
            return self._found[text]
        name = self.local(text)
        if self._depth == 1:
            self._found[text] = name
        return name

    def at_path(self, names: Sequence[str]) -> str:
        """A local that holds what the item has at a path, None where there is nothing."""
        *parents, key = names
        return self.found(f"{self._object(tuple(parents))}.get({self._bind_key(key)})")

    def function(self, name: str) -> Callable[..., Any]:
        """What has been written, compiled; `name` is shown where it fails."""
        begins = f"def written({', '.join(('item', 'scope', *self._parameters))}):"
        text = "\n".join([begins, *self._beginning, *self._lines])
        exec(compile(text, f"<{name}>", "exec"), self._bound)  # noqa: S102  the text is ours, see above
        return self._bound["written"]

    def _bind_key(self, key: str) -> str:
        """A name for a key, if possible for the very object that the decoder, which remembers keys, puts into dicts.

        Looking that up compares no texts, which in large batches is a twentieth of the time.
        """
        return self.bind(next(iter(msgspec.json.decode(msgspec.json.encode({key: None})))), "key")

    def _object(self, path: tuple[str, ...]) -> str:
        """A local that holds the object at a path, an empty one where there is none; set before all else."""
        if path in self._objects:
            return self._objects[path]
        nothing = self.bind(_NOTHING, "nothing")
        if not path:
            name = "object0"
            lines = [f"{name} = item if type(item) is dict else {nothing}"]
        else:
            holder = self._object(path[:-1])
            name = f"object{len(self._objects)}"
            lines = [
                f"{name} = {holder}.get({self._bind_key(path[-1])})",
                f"if type({name}) is not dict:",
                f"    {name} = {nothing}",
            ]
        self._beginning += [f"    {line}" for line in lines]
        self._objects[path] = name
        return name


Value: TypeAlias = Callable[[Writing], str]
"""Writes what finds a value; gives the name that holds it then."""


def compiled(value: Value, name: str) -> Callable[[Any, Any], Any]:
    """The function of an item and its scope that gives one value."""
    code = Writing()
    code.line(f"return {value(code)}")
    return code.function(name)
