"""`mailweir mappings`: the providers there are, whether mapping files are sound, and the way to a new one."""

from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import rich_click as click
from click import argument, option

from app.cli.errors import CheckFailed, Misconfigured
from app.cli.output import json_option, show_list, show_one

_COLUMNS = {"Provider": "provider", "Title": "title", "Secrets": "secrets", "Native types": "native_types"}


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


@mappings.command("list")
@json_option
def list_mappings() -> None:
    """List every provider: the shipped ones, and those of MAILWEIR_MAPPINGS_DIR."""
    from app.cli.providers import described, load_catalog  # here as below, so that the help need not wait

    catalog = load_catalog()
    show_list([described(catalog.get(name)) for name in catalog.names()], _COLUMNS)


@mappings.command("show")
@argument("provider")
@json_option
def show_mapping(provider: str) -> None:
    """Show one provider: its documentation, secrets, native types and samples."""
    from app.cli.providers import described, find_adapter

    show_one(described(find_adapter(provider)))


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
    from app.cli.providers import checked

    found, mistakes = checked(files)
    for mistake in mistakes:
        click.echo(str(mistake))
    if mistakes:
        wrong = {mistake.file for mistake in mistakes}
        raise CheckFailed(f"{len(wrong)} of {found} mappings cannot be used")
    click.echo(f"{found} mapping{'s are' if found != 1 else ' is'} sound.")


@mappings.command("try")
@argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@argument("request", type=click.File("rb"), required=False)
@json_option
def try_mapping(file: Path, request: BinaryIO | None) -> None:
    """Show what the mapping in FILE makes of a REQUEST, or else of each of its own samples.

    REQUEST is a file, or - for standard input: a body as the provider posts it, or a request in JSON as `mailweir
    normalize` takes it, with its headers and secrets. The exit code is 1 when something could not be read.

    \b
    Examples:
        mailweir mappings try acme.yaml
        mailweir mappings try acme.yaml payload.json
        pbpaste | mailweir mappings try acme.yaml -
    """
    from app.cli.mapping_trial import show_tried, tried

    unread = 0
    for one in tried(file, request.read() if request else None):
        show_tried(one)
        unread += len(one.quarantined) + bool(one.error)
    if unread:
        raise CheckFailed(f"{unread} of what was tried could not be read")


@mappings.command("new")
@argument("name")
@argument("payload", type=click.File("rb"), required=False)
@option("--output", type=click.Path(file_okay=False, exists=True, path_type=Path), default=".", help="The folder.")
@option("--force", is_flag=True, help="Write over a file that is there.")
def new_mapping(name: str, payload: BinaryIO | None, output: Path, force: bool) -> None:
    """Write NAME.yaml, a first mapping for the provider NAME, guessed from a PAYLOAD of its webhooks.

    PAYLOAD is a file with a body as the provider posts it (JSON, JSON Lines or a form), or - for standard input;
    without one, a small example stands in for it. Addresses, ids and times in the mapping's sample are replaced.

    \b
    Examples:
        mailweir mappings new acme payload.json
        pbpaste | mailweir mappings new acme - --output mappings
        mailweir mappings try mappings/acme.yaml payload.json
    """
    from app.cli.pasted import PAYLOAD_BYTES_MAX, pasted
    from app.cli.skeleton import EXAMPLE, NAME, draft_mapping, mistake_in

    if not NAME.fullmatch(name):
        raise click.BadParameter("a provider's name has small letters, digits and _, and begins with a letter")
    path = output / f"{name}.yaml"
    if path.exists() and not force:
        raise Misconfigured(f"{path} is there already; --force writes over it")
    given = EXAMPLE if payload is None else pasted(payload.read(PAYLOAD_BYTES_MAX + 1))
    draft = draft_mapping(name, given)
    path.write_text(draft.text, "utf-8")
    click.echo(str(path))
    for left_open in draft.missing:
        click.echo(f"not found: {left_open}", err=True)
    if mistake := mistake_in(draft.text, path, given.raw):
        raise CheckFailed(f"{path} is written, and needs your hand: {mistake}")
