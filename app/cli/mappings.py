"""`mailweir mappings`: the providers there are, and whether mapping files are sound."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Any

import rich_click as click
from click import argument

from adapters.adapter import Adapter
from adapters.catalog import SUFFIXES, Catalog, own_files, read_file
from adapters.errors import MappingInvalid, UnknownProvider
from adapters.mapping import load_mapping
from app.cli.configuration import settings_in_force
from app.cli.errors import CheckFailed, Misconfigured
from app.cli.mapping_trial import try_mapping
from app.cli.output import json_option, show_list, show_one
from app.cli.skeleton import new_mapping
from app.mapping_files import mistakes_in_samples

_COLUMNS = {"Provider": "provider", "Title": "title", "Secrets": "secrets", "Native types": "native_types"}

MappingFile = tuple[str, Callable[[], str]]
"""Where it is, and how it is read, which may raise MappingInvalid."""


@click.group()
def mappings() -> None:
    """Look at the providers there are, and check mapping files.

    A mapping is a YAML file that says how one provider's webhooks are verified and read. Your own go into the folder
    that MAILWEIR_MAPPINGS_DIR names; one called like a shipped mapping replaces it.

    \b
    Examples:
        mailweir mappings list
        mailweir mappings show sendgrid
        mailweir mappings new acme payload.json
        mailweir mappings try acme.yaml payload.json
        mailweir mappings check acme.yaml
    """


mappings.add_command(try_mapping)
mappings.add_command(new_mapping)


@mappings.command("list")
@json_option
def list_mappings() -> None:
    """List every provider: the shipped ones, and those of MAILWEIR_MAPPINGS_DIR."""
    catalog = load_catalog()
    show_list([_described(catalog.get(name)) for name in catalog.names()], _COLUMNS)


@mappings.command("show")
@argument("provider")
@json_option
def show_mapping(provider: str) -> None:
    """Show one provider: its documentation, secrets, native types and samples."""
    show_one(_described(find_adapter(provider)))


@mappings.command("check")
@argument("files", nargs=-1, type=click.Path(exists=True, dir_okay=False, path_type=Path))
def check_mappings(files: Sequence[Path]) -> None:
    """Check mapping files: FILES, or all that `serve` would load.

    Each mistake is printed as `file:line: key: message`; the exit code is 1 when there is one. A mapping must also be
    able to read its own samples.

    \b
    Examples:
        mailweir mappings check
        mailweir mappings check acme.yaml
    """
    found = [_file(path) for path in files] if files else [*_shipped(), *_own()]
    mistakes = [mistake for file in found for mistake in _mistakes(*file)]
    for mistake in mistakes:
        click.echo(str(mistake))
    if mistakes:
        wrong = {mistake.file for mistake in mistakes}
        raise CheckFailed(f"{len(wrong)} of {len(found)} mappings cannot be used")
    click.echo(f"{len(found)} mapping{'s are' if len(found) != 1 else ' is'} sound.")


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


def _described(adapter: Adapter) -> dict[str, Any]:
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
