"""The command line: `mailweir VERB`, one file per group of verbs, each imported when it is called.

Lists are a table on a terminal and JSON Lines in a pipe. Exit codes: 0 it is done, 1 the gateway refused (or a check
failed), 2 wrong usage or configuration.
"""

import sys
from typing import NoReturn

import rich_click as click
from click import version_option

from app import __version__
from app.cli.errors import CommandFailed
from app.cli.lazy import LazyGroup, Verb

_GATEWAY, _PROVIDERS, _CLIENT = "The gateway", "Providers", "Talking to a running gateway"

VERBS = {
    "serve": Verb("app.cli.serve:serve", "Run the gateway.", _GATEWAY),
    "login": Verb("app.cli.login:login", "Make a link that opens the dashboard.", _GATEWAY),
    "demo": Verb("app.cli.demo.verb:demo", "Show a gateway at work, with a day behind it.", _GATEWAY),
    "migrate": Verb("app.cli.migrate:migrate", "Bring the database to the form this version needs.", _GATEWAY),
    "prune": Verb("app.cli.prune:prune", "Remove what is too old, and give the space back.", _GATEWAY),
    "backup": Verb("app.cli.backup:backup", "Copy the database of a running gateway.", _GATEWAY),
    "reseal": Verb("app.cli.reseal:reseal", "Seal every stored secret with the first secret key.", _GATEWAY),
    "doctor": Verb("app.cli.doctor.verb:doctor", "Look at this set-up, and say what mends it.", _GATEWAY),
    "config": Verb("app.cli.config:config", "Show every setting, its value and where that comes from.", _GATEWAY),
    "mappings": Verb(
        "app.cli.mappings:mappings", "Look at the providers there are, and check mapping files.", _PROVIDERS
    ),
    "normalize": Verb(
        "app.cli.normalize:normalize", "Turn provider requests into unified events, offline.", _PROVIDERS
    ),
    "trigger": Verb("app.cli.trigger:trigger", "Play a provider: send a signed event to the gateway.", _PROVIDERS),
    "verify": Verb("app.cli.verify:verify", "Check a webhook that a subscriber received.", _PROVIDERS),
    "sources": Verb("app.cli.sources:sources", "List, add and remove the provider accounts that post to us.", _CLIENT),
    "endpoints": Verb("app.cli.endpoints:endpoints", "List, add, test and remove subscribers.", _CLIENT),
    "events": Verb("app.cli.events:events", "Search the events that came in.", _CLIENT),
    "messages": Verb("app.cli.timelines:messages", "See what happened to a message, and its state.", _CLIENT),
    "recipients": Verb("app.cli.timelines:recipients", "See whether to write to an address, and why not.", _CLIENT),
    "tail": Verb("app.cli.tail:tail", "Show the events as they come in.", _CLIENT),
    "listen": Verb("app.cli.listen:listen", "Post the events to a program on this machine as they come in.", _CLIENT),
    "deliveries": Verb("app.cli.deliveries:deliveries", "See what was sent to whom, and send it again.", _CLIENT),
    "stats": Verb("app.cli.stats:stats", "See what came in and went out in numbers.", _CLIENT),
    "alerts": Verb("app.cli.alerts:alerts", "See what fires, and manage the rules that watch.", _CLIENT),
    "receipts": Verb("app.cli.receipts:receipts", "See raw provider requests, and read them again.", _CLIENT),
    "replay": Verb("app.cli.resending:replay", "Send an event again, or many, to those who ask for it.", _CLIENT),
    "recover": Verb("app.cli.resending:recover", "Send an endpoint what failed, or what it never got.", _CLIENT),
    "jobs": Verb("app.cli.jobs:jobs", "See how far replays and recoveries are, and cancel them.", _CLIENT),
    "forget": Verb("app.cli.forget:forget", "Take a recipient out of everything that is stored.", _CLIENT),
    "keys": Verb("app.cli.keys:keys", "See who may use the API, let somebody in, and end that.", _CLIENT),
}

_HELP = """Joins the webhooks of every email provider into one signed, unified stream.

To see it work:

\b
    mailweir serve                              it prints an API key
    export MAILWEIR_API_KEY=mw_live_…           in a second terminal
    mailweir sources add sendgrid sendgrid --simulated
    mailweir trigger sendgrid bounce,click
    mailweir events list

`mailweir VERB --help` explains each verb, with examples.
"""

commands = LazyGroup("mailweir", VERBS, help=_HELP, context_settings={"help_option_names": ["-h", "--help"]})
version_option(__version__, prog_name="Mailweir")(commands)


def main() -> NoReturn:
    """Runs the verb in `sys.argv`."""
    try:
        commands.main(prog_name="mailweir")
    except CommandFailed as failure:
        click.echo(f"mailweir: {failure}", err=True)
        sys.exit(failure.exit_code)
