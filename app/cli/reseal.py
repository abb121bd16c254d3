"""`mailweir reseal`: the last step of a rotation of the secret key."""

import asyncio

import rich_click as click

from app.cli.output import json_option, say, show_one


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
    from app.cli.configuration import settings_in_force  # all imported here, so that the help need not wait
    from app.cli.resealing import reseal_database
    from app.cli.starting import explained

    settings = settings_in_force()
    with explained():
        done = asyncio.run(reseal_database(settings))
    show_one(done)
    say("Everything is sealed with the first key; the others are not needed any more.")
