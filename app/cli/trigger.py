"""`mailweir trigger`: plays a provider, with signed requests in its own form."""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

import rich_click as click
from click import argument, option

from app.cli.client import Client, with_keyless_client
from app.cli.errors import GatewayRefused
from app.cli.given import RECIPIENT, given_texts
from app.cli.output import say, show_json, show_list

COUNT_MAX = 100_000

_INBOUND = "/api/webhooks"
_LISTED = {"Event": "event", "Becomes": "type"}
_SENT = {"Sent": "events", "To": "url", "Bytes": "bytes", "Answer": "status", "Body": "answer"}


@click.command()
@argument("provider")
@argument("event", required=False)
@option("--source", help="The source to post to; the one called like the provider unless given.")
@option("--recipient", default=RECIPIENT, show_default=True, help="Whom the events are about.")
@option("--count", type=click.IntRange(1, COUNT_MAX), default=1, help="How many times, each with ids of its own.")
@option(
    "--signing-secret",
    "signing",
    multiple=True,
    metavar="NAME=VALUE",
    help="Sign with this, not the account's own key.",
)
@option("--list", "list_only", is_flag=True, help="List the events that can be sent.")
@option("--secrets", "secrets_only", is_flag=True, help="Print the JSON to put under secrets when adding the source.")
@with_keyless_client
def trigger(
    client: Client,
    provider: str,
    event: str | None,
    source: str | None,
    recipient: str,
    count: int,
    signing: Sequence[str],
    list_only: bool,
    secrets_only: bool,
) -> None:
    """Play PROVIDER: send the gateway a signed EVENT in the provider's own form.

    EVENT is a native type ("bounce", "email.bounced") or a unified one ("click"); several, separated by commas, make
    one batch where the provider batches. The simulated account's keys are made once and kept in the data folder. The
    exit code is 0 only when the gateway answered 200.

    \b
    Examples:
        mailweir trigger sendgrid --list
        mailweir sources add sendgrid sendgrid --simulated
        mailweir trigger sendgrid bounce,click --recipient ann@example.com
        mailweir trigger resend click --source prod --signing-secret signing_secret=whsec_…
    """
    from app.cli.accounts import account_of  # all imported here, so that the help need not wait
    from app.cli.playing import Player, playable, send
    from app.cli.providers import find_adapter

    adapter = find_adapter(provider)
    if secrets_only:
        return show_json(account_of(adapter).secrets)
    if list_only:
        return show_list(playable(adapter), _LISTED, empty=f"The mapping of {provider} has no samples.")
    if event is None:
        raise click.UsageError("name an EVENT; --list shows those there are")
    player = Player(adapter, {**account_of(adapter).signing, **_last_of(given_texts(signing))}, recipient)
    samples = [player.sample_for(word) for word in event.split(",") if word.strip()]
    path = f"{_INBOUND}/{quote(source or provider, safe='')}"
    answers = [answer for _ in range(count) for answer in send(client, player, samples, path)]
    show_list(answers, _SENT)
    if refused := [answer for answer in answers if answer["status"] != 200]:
        _explain(provider, source or provider, refused)
    return None


def _last_of(texts: Mapping[str, str | list[str]]) -> dict[str, str]:
    return {name: text if isinstance(text, str) else text[-1] for name, text in texts.items()}


def _explain(provider: str, source: str, refused: Sequence[Mapping[str, Any]]) -> None:
    first = refused[0]
    if first["status"] == 404:
        say(f"Add the source with: mailweir sources add {source} {provider} --simulated")
    elif first["status"] in (401, 406):
        say("The source has other keys than this simulated account: see --secrets and --signing-secret.")
    raise GatewayRefused(f"{len(refused)} of the requests were not answered 200")
