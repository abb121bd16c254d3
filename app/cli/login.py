"""`mailweir login`: the way into the dashboard for whoever may use the database."""

import asyncio

import rich_click as click

from app.cli.errors import CommandFailed


@click.command()
def login() -> None:
    """Make a link that opens the dashboard, as the oldest admin key.

    It logs in once, within the hour. Run it where the gateway runs, with the same settings: it needs the database and
    no key.

    \b
    Examples:
        mailweir login
    """
    from app.cli.configuration import settings_in_force  # all imported here, so that the help need not wait
    from app.cli.links import login_url, new_link
    from app.cli.starting import explained

    settings = settings_in_force()
    with explained():
        link = asyncio.run(new_link(settings))
    if link is None:
        raise CommandFailed("there is no admin key to log in as; start the gateway once, it makes one")
    click.echo(login_url(settings, link))
