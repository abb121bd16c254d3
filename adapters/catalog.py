"""The adapters there are: those shipped in `mappings`, then the user's own, which may replace them."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from functools import cache
from importlib import resources
from pathlib import Path

from adapters.adapter import Adapter
from adapters.errors import MappingInvalid, UnknownProvider
from adapters.mapping import load_mapping
from adapters.request import NativeRequest

_SUFFIX = ".yaml"


class Catalog:
    """Adapters by name."""

    def __init__(self, adapters: Iterable[Adapter]) -> None:
        self._adapters: Mapping[str, Adapter] = {adapter.name: adapter for adapter in adapters}

    @classmethod
    def load(cls, extra_dir: Path | None = None) -> "Catalog":
        """The shipped mappings and those in `extra_dir`. Raises `MappingInvalid` for the first that is wrong."""
        own = [load_file(path) for path in own_files(extra_dir)] if extra_dir is not None else []
        return cls([*_shipped(), *own])

    def extended(self, adapters: Iterable[Adapter]) -> "Catalog":
        """This catalog with those added, or put in place of their namesakes."""
        return Catalog([*self._adapters.values(), *adapters])

    def get(self, name: str) -> Adapter:
        """Raises `UnknownProvider`, which names the closest and all others."""
        adapter = self._adapters.get(name)
        if adapter is None:
            raise UnknownProvider(self._unknown(name))
        return adapter

    def names(self) -> list[str]:
        return sorted(self._adapters)

    def recognize(self, request: NativeRequest) -> list[Adapter]:
        """The providers whose requests look like this one; which of them sent it, a signature must tell."""
        return [adapter for adapter in self._adapters.values() if adapter.recognizes(request)]

    def _unknown(self, name: str) -> str:
        close = get_close_matches(name.lower(), self._adapters, n=1)
        hint = f"did you mean '{close[0]}'? " if close else ""
        return f"no provider is called '{name:.80}'; {hint}known are {', '.join(self.names())}"


@cache
def _shipped() -> tuple[Adapter, ...]:
    """What is installed does not change while the program runs, and adapters keep nothing of what they read."""
    files = [entry for entry in resources.files("mappings").iterdir() if entry.name.endswith(_SUFFIX)]
    return tuple(
        _load(entry.name, entry.name, entry.read_text("utf-8")) for entry in sorted(files, key=lambda entry: entry.name)
    )


def own_files(folder: Path) -> list[Path]:
    """The user's mapping files, by name. Raises `MappingInvalid` when there is no such folder."""
    if not folder.is_dir():
        raise MappingInvalid("is not a folder", file=str(folder))
    return sorted(folder.glob(f"*{_SUFFIX}"))


def load_file(path: Path) -> Adapter:
    """The adapter that one file declares. Raises `MappingInvalid`."""
    try:
        return _load(path.name, str(path), path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise MappingInvalid(f"cannot be read: {error}", file=str(path)) from None


def _load(name: str, path: str, text: str) -> Adapter:
    adapter = load_mapping(text, path)
    if adapter.name != name.removesuffix(_SUFFIX):
        raise MappingInvalid(f"the file must be called {adapter.name}{_SUFFIX}", file=path, key="provider")
    return adapter
