"""The providers there are, for verbs that need no server, and whether mapping files are sound."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Any

from adapters.adapter import Adapter
from adapters.catalog import SUFFIXES, Catalog, own_files, read_file
from adapters.errors import MappingInvalid, UnknownProvider
from adapters.mapping import load_mapping
from app.cli.configuration import settings_in_force
from app.cli.errors import Misconfigured
from app.mapping_files import mistakes_in_samples

MappingFile = tuple[str, Callable[[], str]]
"""Where it is, and how it is read, which may raise MappingInvalid."""


def load_catalog() -> Catalog:
    """The mappings that `serve` would load. Raises Misconfigured for one that is wrong."""
    try:
        return Catalog.load(settings_in_force().mappings_dir)
    except MappingInvalid as mistake:
        raise Misconfigured(str(mistake)) from mistake


def find_adapter(provider: str) -> Adapter:
    """Raises Misconfigured, which names the closest provider and all others."""
    try:
        return load_catalog().get(provider)
    except UnknownProvider as unknown:
        raise Misconfigured(str(unknown)) from unknown


def adapter_in(file: Path) -> Adapter:
    """The adapter that a file declares. Raises Misconfigured."""
    try:
        return load_mapping(read_file(file), str(file))
    except MappingInvalid as error:
        raise Misconfigured(str(error)) from error


def described(adapter: Adapter) -> dict[str, Any]:
    """What there is to know of a provider, as a row."""
    return {
        "provider": adapter.name,
        "title": adapter.title,
        "documentation": list(adapter.documentation),
        "console": list(adapter.console),
        "signs": adapter.signs,
        "secrets": [name if required else f"{name} (optional)" for name, required in adapter.secret_names],
        "options": [f"{name} ({type_}): {meaning}" for name, type_, meaning in adapter.options],
        "native_types": list(adapter.native_types),
        "samples": list(adapter.samples),
    }


def checked(files: Sequence[Path]) -> tuple[int, list[MappingInvalid]]:
    """How many mapping files there are, of `files` or else of all that `serve` would load, and their mistakes."""
    found = [_file(path) for path in files] if files else [*_shipped(), *_own()]
    return len(found), [mistake for file in found for mistake in _mistakes(*file)]


def _shipped() -> Iterator[MappingFile]:
    for entry in sorted(resources.files("mappings").iterdir(), key=lambda entry: entry.name):
        if entry.name.endswith(SUFFIXES):
            yield entry.name, partial(entry.read_text, "utf-8")


def _own() -> Iterator[MappingFile]:
    folder = settings_in_force().mappings_dir
    if folder is None:
        return
    if not folder.is_dir():
        raise Misconfigured(f"{folder} is not a folder; check MAILWEIR_MAPPINGS_DIR")
    yield from map(_file, own_files(folder))


def _file(path: Path) -> MappingFile:
    return str(path), partial(read_file, path)


def _mistakes(file: str, read: Callable[[], str]) -> Iterator[MappingInvalid]:
    try:
        adapter = load_mapping(read(), file)
    except MappingInvalid as mistake:
        yield mistake
        return
    if Path(file).stem != adapter.name:
        yield MappingInvalid(f"the file must be called {adapter.name}{SUFFIXES[0]}", file=file, key="provider")
    yield from mistakes_in_samples(adapter, file)
