"""`mailweir reseal`: the last step of a rotation of the secret key."""

import asyncio

import rich_click as click

from app.cli.configuration import settings_in_force
from app.cli.database import opened_database
from app.cli.output import json_option, say, show_one
from app.cli.starting import explained
from app.settings import Settings
from app.store.sealing import reseal_replies, reseal_secrets
from app.vault import Vault


@click.command()
@json_option
def reseal() -> None:
    """Seal every stored secret with the first key of MAILWEIR_SECRET_KEY, so that the others may go.

    To rotate: put the new key in front of the list and start the gateway anew, on every node. Then run this with the
    same list; it may be run beside the gateway, and again. When it is done, leave the old key out of the list.

    \b
    Examples:
        MAILWEIR_SECRET_KEY=new,old mailweir reseal
    """
    settings = settings_in_force()
    with explained():
        done = asyncio.run(_reseal(settings))
    show_one(done)
    say("Everything is sealed with the first key; the others are not needed any more.")


async def _reseal(settings: Settings) -> dict[str, int]:
    """How many rows were sealed anew."""
    async with opened_database(settings.database_url) as engine:
        vault = Vault.from_settings(settings)
        return {
            "secrets": await reseal_secrets(engine, vault),
            "replies": await reseal_replies(engine, vault),
        }
