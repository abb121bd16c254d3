"""A scheme's declaration, read key by key; what is not understood is refused."""

from collections.abc import Collection, Mapping
from typing import Any, cast


class DeclarationInvalid(ValueError):
    """A declaration that must not be used; `key` is the dotted path inside it ("signature.encoding")."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(f"{key}: {message}" if key else message)
        self.key = key
        self.message = message


class Declaration:
    """The keys and values of one level. Each reader takes its key away; `finish` refuses those that nobody took."""

    def __init__(self, values: object, key: str = "") -> None:
        self.key = key
        if not isinstance(values, Mapping):
            raise DeclarationInvalid(key, "must be keys and values")
        self._values = dict(cast("Mapping[object, Any]", values))

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def invalid(self, name: str, message: str) -> DeclarationInvalid:
        return DeclarationInvalid(self.path(name), message)

    def path(self, name: str) -> str:
        return ".".join(filter(None, (self.key, name)))

    def text(self, name: str, default: str | None = None) -> str:
        """Text that is not empty; without a default the key must be there."""
        value = self._take(name, default)
        if not isinstance(value, str) or (not value and value != default):
            raise self.invalid(name, "must be text")
        return value

    def choice(self, name: str, options: Collection[str], default: str | None = None) -> str:
        value = self.text(name, default)
        if value not in options:
            raise self.invalid(name, f"must be one of {', '.join(options)}")
        return value

    def flag(self, name: str) -> bool:
        value = self._take(name, False)
        if not isinstance(value, bool):
            raise self.invalid(name, "must be true or false")
        return value

    def seconds(self, name: str, default: float | None = None) -> float:
        """A number of seconds, 0 or more; "unlimited" is infinity."""
        value = self._take(name, default)
        if value == "unlimited":
            return float("inf")
        if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
            raise self.invalid(name, "must be a number of seconds, or unlimited")
        return value

    def entries(self, name: str) -> list[Any]:
        """A list with something in it."""
        value = self._take(name, None)
        if not isinstance(value, list) or not value:
            raise self.invalid(name, "must be a list")
        return cast("list[Any]", value)

    def section(self, name: str) -> "Declaration":
        return Declaration(self._take(name, None), self.path(name))

    def finish(self) -> None:
        for name in self._values:
            raise self.invalid(str(name), "is not a key that is known here")

    def _take(self, name: str, default: Any) -> Any:
        value = self._values.pop(name, default)
        if value is None:
            raise self.invalid(name, f"the key '{name}' is missing")
        return value
