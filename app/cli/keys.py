"""`mailweir keys`: who may use the API, and how much of it."""

import rich_click as click
from click import argument, option

from app.cli.client import Client, with_client
from app.cli.output import say, show_list, show_one

_PATH = "/api/keys"
_ROLES = ("admin", "write", "read")
_COLUMNS = {
    "Id": "id",
    "Name": "name",
    "Role": "role",
    "Begins with": "hint",
    "Made": "created_at",
    "Revoked": "revoked_at",
}


@click.group()
def keys() -> None:
    """See who may use the API, let somebody in, and end that. It takes an admin key.

    \b
    Examples:
        mailweir keys list
        mailweir keys create billing --role write
        mailweir keys revoke 3
    """


@keys.command("list")
@with_client
def list_keys(client: Client) -> None:
    """List the API keys, revoked ones included."""
    show_list(client.get(_PATH)["data"], _COLUMNS)


@keys.command("create")
@argument("name")
@option(
    "--role",
    type=click.Choice(_ROLES),
    default="read",
    show_default=True,
    help="read looks, write changes sources and endpoints and sends again, admin manages keys as well.",
)
@with_client
def create_key(client: Client, name: str, role: str) -> None:
    """Make an API key; NAME says what it is for. The key is shown this once."""
    show_one(client.post(_PATH, {"name": name, "role": role}))
    say("The key is shown this once: keep it.")


@keys.command("revoke")
@argument("key_id", type=int)
@with_client
def revoke_key(client: Client, key_id: int) -> None:
    """End the key with the number KEY_ID, within five seconds on every node."""
    client.delete(f"{_PATH}/{key_id}")
    say(f"The key {key_id} opens nothing any more.")
