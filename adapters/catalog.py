"""The adapters there are: those shipped in `mappings`, then the user's own, which may replace them."""

import gc
from collections.abc import Collection, Generator, Iterable, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from functools import cache
from importlib import resources
from pathlib import Path

from adapters.adapter import Adapter
from adapters.errors import MappingInvalid, UnknownProvider
from adapters.mapping import load_mapping
from adapters.request import NativeRequest

SUFFIXES = (".yaml", ".yml")
"""Of mapping files; those that are shipped have the first."""
FILE_BYTES_MAX = 1024**2


class Catalog:
    """Adapters by name. One that is shipped is compiled when it is first asked for; most are never used."""

    def __init__(self, adapters: Iterable[Adapter], shipped: Collection[str] = ()) -> None:
        """`shipped` are providers whose own mapping is taken unless one of the `adapters` has the name."""
        self._adapters: Mapping[str, Adapter] = {adapter.name: adapter for adapter in adapters}
        self._shipped = shipped

    @classmethod
    def load(cls, extra_dir: Path | None = None) -> "Catalog":
        """The shipped mappings and those in `extra_dir`. Raises `MappingInvalid` for the first of these that is wrong.

        Those that are shipped are known to be sound.
        """
        own = [load_file(path) for path in own_files(extra_dir)] if extra_dir is not None else []
        return cls(own, _shipped_names())

    def extended(self, adapters: Iterable[Adapter]) -> "Catalog":
        """This catalog with those added, or put in place of their namesakes."""
        return Catalog([*self._adapters.values(), *adapters], self._shipped)

    def get(self, name: str) -> Adapter:
        """Raises `UnknownProvider`, which names the closest and all others."""
        if name in self._adapters:
            return self._adapters[name]
        if name in self._shipped:
            return _shipped(name)
        raise UnknownProvider(self._unknown(name))

    def names(self) -> list[str]:
        return sorted({*self._adapters, *self._shipped})

    def all(self) -> list[Adapter]:
        """Every adapter, by name; the first time it takes a quarter of a second."""
        return [self.get(name) for name in self.names()]

    def recognize(self, request: NativeRequest) -> list[Adapter]:
        """The providers whose requests look like this one; which of them sent it, a signature must tell."""
        return [adapter for adapter in self.all() if adapter.recognizes(request)]

    def _unknown(self, name: str) -> str:
        close = get_close_matches(name.lower(), self.names(), n=1)
        hint = f"did you mean '{close[0]}'? " if close else ""
        return f"no provider is called '{name:.80}'; {hint}known are {', '.join(self.names())}"


@cache
def _shipped_names() -> frozenset[str]:
    files = (Path(entry.name) for entry in resources.files("mappings").iterdir())
    return frozenset(file.stem for file in files if file.suffix == SUFFIXES[0])


@cache
def _shipped(provider: str) -> Adapter:
    """What is installed does not change while the program runs, and adapters keep nothing of what they read."""
    name = f"{provider}{SUFFIXES[0]}"
    with _uncollected():
        return _load(name, name, resources.files("mappings").joinpath(name).read_text("utf-8"))


@contextmanager
def _uncollected() -> Generator[None, None, None]:
    """Nothing looks for garbage meanwhile: what is loaded stays, and the looking is a fifth of the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def own_files(folder: Path) -> list[Path]:
    """The user's mapping files, by name. Raises `MappingInvalid` when there is no such folder."""
    if not folder.is_dir():
        raise MappingInvalid("is not a folder", file=str(folder))
    return sorted(path for path in folder.iterdir() if is_mapping_file(path))


def is_mapping_file(path: Path) -> bool:
    """By its name; pipes and devices, whose reading may never end, and folders are none."""
    return path.suffix in SUFFIXES and path.is_file()


def load_file(path: Path) -> Adapter:
    """The adapter that one file declares. Raises `MappingInvalid`, also when there are two files of that name."""
    for twin in (path.with_suffix(suffix) for suffix in SUFFIXES if suffix != path.suffix):
        if twin.exists():
            raise MappingInvalid(f"{twin.name} is beside it: a provider has one file", file=str(path))
    return _load(path.name, str(path), read_file(path))


def read_file(path: Path) -> str:
    """What a mapping file holds. Raises `MappingInvalid`, with the line where it is not UTF-8."""
    try:
        with path.open("rb") as file:
            content = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise MappingInvalid(f"cannot be read: {error.strerror}", file=str(path)) from None
    if len(content) > FILE_BYTES_MAX:
        raise MappingInvalid(f"larger than {FILE_BYTES_MAX} bytes", file=str(path))
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise MappingInvalid(f"not UTF-8: byte 0x{content[error.start]:02x}", file=str(path), line=line) from None


def mapping_text(provider: str, extra_dir: Path | None = None) -> str | None:
    """The file that declares a provider, the user's own before the shipped one; None where there is neither."""
    own = [path for path in own_files(extra_dir) if path.stem == provider] if extra_dir is not None else []
    if own:
        return read_file(own[0])
    shipped = resources.files("mappings").joinpath(f"{provider}{SUFFIXES[0]}")
    return shipped.read_text("utf-8") if provider in _shipped_names() else None


def _load(name: str, path: str, text: str) -> Adapter:
    adapter = load_mapping(text, path)
    if adapter.name != Path(name).stem:
        raise MappingInvalid(f"the file must be called {adapter.name}{SUFFIXES[0]}", file=path, key="provider")
    return adapter
