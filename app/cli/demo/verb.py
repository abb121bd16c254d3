"""The command `mailweir demo`."""

import logging

import msgspec
import rich_click as click
from click import option

from app.cli.errors import CheckFailed
from app.cli.output import json_option, show_one


@click.command()
@option(
    "--port", type=click.IntRange(0, 65535), default=8420, show_default=True, help="The gateway's; another if taken."
)
@option("--subscriber-port", type=click.IntRange(0, 65535), default=8421, show_default=True, help="The subscribers'.")
@option("--subscriber-status", type=click.IntRange(200, 599), default=200, show_default=True, help="What they answer.")
@option("--subscriber-latency-ms", type=click.FloatRange(0, 60_000), default=30, show_default=True, help="How slowly.")
@option(
    "--subscriber-failure-rate", type=click.FloatRange(0, 1), default=0.01, show_default=True, help="How often 503."
)
@option("--mails", type=click.IntRange(50, 100_000), default=1_200, show_default=True, help="Sent in the day before.")
@option("--per-second", type=click.FloatRange(0.1, 200), default=2, show_default=True, help="Mails sent from then on.")
@option("--seed", type=int, default=1, show_default=True, help="The same seed, the same people, mails and mishaps.")
@option("--seconds", type=click.FloatRange(1), help="End after so long; otherwise Ctrl+C ends it.")
@option("--headless", is_flag=True, help="Print only a summary at the end, and check that nothing is missing.")
@json_option
def demo(
    port: int,
    subscriber_port: int,
    subscriber_status: int,
    subscriber_latency_ms: float,
    subscriber_failure_rate: float,
    mails: int,
    per_second: float,
    seed: int,
    seconds: float | None,
    headless: bool,
) -> None:
    """Show a gateway at work: a day of history, live mail from four simulated providers, six subscribers.

    Everything is real but the far side: native requests, signed with keys made for it, through the same routes as
    those of providers; only the database is a temporary one. Needs nothing and leaves nothing behind.

    \b
    Examples:
        mailweir demo
        mailweir demo --subscriber-latency-ms 800 --subscriber-failure-rate 0.2
        mailweir demo --headless --seconds 15 --json
    """
    from app.cli.demo.stage import Plan, play  # here, so that the help need not wait for the gateway
    from app.cli.demo.subscribers import Behaviour
    from app.cli.logs import write_logs

    if headless and seconds is None:
        raise click.UsageError("--headless needs --seconds")
    write_logs("auto", least=logging.ERROR)
    usual = Behaviour(subscriber_status, subscriber_latency_ms, subscriber_failure_rate)
    found = play(Plan(port, subscriber_port, seed, mails, per_second, seconds, usual, headless))
    if found is None:
        return
    show_one(msgspec.to_builtins(found))
    if found.missing:
        raise CheckFailed(f"not there: {', '.join(found.missing)}")
