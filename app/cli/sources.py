"""`mailweir sources`: the provider accounts that post to us."""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

import rich_click as click
from click import argument, option

from app.cli.client import Client, with_client
from app.cli.given import given_texts, given_values
from app.cli.output import say, show_list, show_one

_PATH = "/api/sources"
_DRIFT = {
    "Kind": "kind",
    "Name": "name",
    "Count": "count",
    "Named now": "named",
    "Last seen": "last_seen",
    "Receipt": "receipt_id",
    "Sample": "sample",
}
_COLUMNS = {"Name": "name", "Provider": "provider", "Verification": "verification", "Posts to": "url"}


@click.group()
def sources() -> None:
    """List, add and remove the provider accounts that post to us.

    \b
    Examples:
        mailweir sources list
        mailweir sources add prod resend --secret signing_secret=whsec_…
        mailweir sources drift prod
        mailweir sources remove prod
    """


@sources.command("list")
@with_client
def list_sources(client: Client) -> None:
    """List the sources."""
    show_list(
        client.get(_PATH)["data"], _COLUMNS, empty="There is no source yet; `mailweir sources add --help` tells how."
    )


@sources.command("show")
@argument("name")
@with_client
def show_source(client: Client, name: str) -> None:
    """Show one source. Of its secrets it is only told which are set."""
    show_one(client.get(_path(name)))


@sources.command("add")
@argument("name")
@argument("provider")
@option(
    "--secret", "secrets", multiple=True, metavar="NAME=VALUE", help="A secret; @FILE as value reads it from there."
)
@option("--option", "options", multiple=True, metavar="NAME=VALUE", help="What is not secret, such as topic_arns.")
@option("--no-verification", is_flag=True, help="Take requests that prove nothing.")
@option("--redact", metavar="WORDS", help="What is never stored, with commas: recipient,subject,ip,metadata.user_id, …")
@option("--simulated", is_flag=True, help="Take the keys that `mailweir trigger PROVIDER` signs with.")
@with_client
def add_source(
    client: Client,
    name: str,
    provider: str,
    secrets: Sequence[str],
    options: Sequence[str],
    no_verification: bool,
    redact: str | None,
    simulated: bool,
) -> None:
    """Add the source NAME of PROVIDER, and show the URL that the provider is to post to.

    `mailweir mappings show PROVIDER` tells which secrets there are. A secret given twice is one that rotates.

    \b
    Examples:
        mailweir sources add prod resend --secret signing_secret=whsec_…
        mailweir sources add prod sendgrid --secret public_key=@key.pem
        mailweir sources add try sendgrid --simulated
    """
    body = {
        "name": name,
        "provider": provider,
        "secrets": {**(_simulated(provider) if simulated else {}), **given_texts(secrets)},
        "options": given_values(options),
        "verification": "none" if no_verification else "required",
        "redact": [word.strip() for word in (redact or "").split(",") if word.strip()],
    }
    show_one(client.post(_PATH, body))


@sources.command("drift")
@argument("name")
@with_client
def drift(client: Client, name: str) -> None:
    """List what the source NAME brought that its mapping does not name: native types, and keys of native items.

    A type that is not named is quarantined: name it in the mapping, then read those receipts again. A key that is not
    named gets lost.

    \b
    Examples:
        mailweir sources drift prod
        mailweir receipts reprocess --source prod
    """
    found = client.get(f"{_path(name)}/drift")["data"]
    show_list(found, _DRIFT, empty="The mapping names everything that came.")


@sources.command("remove")
@argument("name")
@with_client
def remove_source(client: Client, name: str) -> None:
    """Take a source away. What it brought stays in the log; its provider is answered 404 from now on."""
    client.delete(_path(name))
    say(f"The source {name} is gone.")


def _path(name: str) -> str:
    return f"{_PATH}/{quote(name, safe='')}"


def _simulated(provider: str) -> Mapping[str, Any]:
    from app.cli.accounts import simulated_account  # it loads every mapping, which no other verb here needs

    return simulated_account(provider).secrets
