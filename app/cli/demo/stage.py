"""Puts the demo up, plays it, and takes it away."""

import math
import secrets
import signal
import time
from collections.abc import Callable, Generator
from concurrent.futures import Future
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import rich_click as click

from app.asgi import create_app
from app.cli.client import Client
from app.cli.configuration import settings_in_force
from app.cli.connection import Connection
from app.cli.demo.accounts import Account, open_accounts
from app.cli.demo.day import day_before
from app.cli.demo.findings import Findings, Witness
from app.cli.demo.history import History
from app.cli.demo.serving import Served, listen
from app.cli.demo.subscribers import Behaviour, Subscribers
from app.cli.demo.traffic import Traffic
from app.cli.demo.world import BILLING, DOWN_FOR_S, OLD_CRM, SENDERS, SILENT, SUBSCRIBERS, Subscriber
from app.cli.links import login_url
from app.gateway import Gateway
from app.settings import Settings
from app.store.accounts import KEY_PREFIX
from app.store.nodes import join
from app.store.sessions import create_link
from app.store.tally import tally

LOOPBACK = "127.0.0.0/8"
SETTLED_WITHIN_S = 5.0


class Plan(NamedTuple):
    """What the command line asks for."""

    port: int
    subscriber_port: int
    seed: int
    mails: int
    per_second: float
    seconds: float | None
    usual: Behaviour
    headless: bool


class Stage(NamedTuple):
    """Everything that stands."""

    gateway: Served
    subscribers: Served
    client: Client
    api_key: str
    accounts: dict[str, Account]
    endpoints: dict[int, str]
    """By number, where each listens."""
    dashboard: str
    """A link that logs in once."""


def play(plan: Plan) -> Findings | None:
    """Runs the demo to its end; what there was to see, unless a person saw it."""
    with (
        TemporaryDirectory(prefix="mailweir-demo-") as folder,
        _ending_by_signal(),
        _staged(plan, Path(folder)) as stage,
    ):
        tell = _teller(plan)
        traffic = Traffic(stage.client, stage.accounts, _dice(plan, "traffic"), plan.per_second, tell)
        written = stage.gateway.begin(_write_the_day(stage, plan))
        tell(_banner(stage))
        try:
            _play(stage, traffic, written, plan.seconds, tell)
            return _findings(stage, traffic) if plan.headless else None
        except KeyboardInterrupt:
            click.echo("\nThe demo ends, and removes what it made.", err=True)
            return None
        finally:
            written.cancel()


def _play(
    stage: Stage, traffic: Traffic, written: Future[None], seconds: float | None, tell: Callable[[str], None]
) -> None:
    """Lets mails come for so long, or for ever; and in any case until there is everything to see."""
    end = math.inf if seconds is None else time.monotonic() + seconds
    traffic.play(lambda: traffic.has_shown_all and written.done())
    written.result()
    tell(f"An alert fires: {_alert(stage)}")
    traffic.play(lambda: time.monotonic() >= end)


def _alert(stage: Stage) -> str:
    """Has the gateway watch for the complaints that there are, and judge at once instead of within 20 seconds."""
    rule = {"kind": "complaint_rate", "name": "Complaints", "source": SENDERS[0].source, "threshold": 0.0005}
    made = stage.client.post("/api/alerts", {**rule, "min_count": 100, "mail_to": []})
    gateway: Gateway = stage.gateway.app.state.gateway
    stage.gateway.begin(gateway.alerts.watch()).result()
    fires = stage.client.get(f"/api/alerts/{made['id']}")["firing"]
    return fires[0]["summary"] if fires else made["rule"]


def _dice(plan: Plan, what_for: str) -> Random:
    """Each has dice of its own, so that what one thread throws changes nothing for another."""
    return Random(f"{plan.seed} {what_for}")  # noqa: S311 - nothing secret is made of it


@contextmanager
def _staged(plan: Plan, folder: Path) -> Generator[Stage]:
    listener = listen(plan.port)
    api_key = KEY_PREFIX + secrets.token_urlsafe(30)
    settings = _settings(folder, listener.getsockname()[1], api_key)
    heard = Subscribers(SUBSCRIBERS, plan.usual, _dice(plan, "subscribers"))
    with (
        Served(heard, listen(plan.subscriber_port)) as subscribers,
        Served(create_app(settings), listener) as gateway,
        Connection(gateway.url, api_key) as client,
    ):
        accounts = open_accounts([*SENDERS, SILENT], gateway.app.state.gateway.catalog, gateway.url)
        for account in accounts.values():
            source = {"name": account.source, "provider": account.provider, "secrets": account.secrets}
            client.post("/api/sources", source)
        endpoints = dict(_registered(client, subscribers, one) for one in SUBSCRIBERS)
        link = gateway.begin(_login_link(gateway.app.state.gateway)).result()
        yield Stage(gateway, subscribers, client, api_key, accounts, endpoints, login_url(settings, link))


async def _login_link(gateway: Gateway) -> str:
    return await create_link(gateway.engine, gateway.clock.now()) or ""


def _settings(folder: Path, port: int, api_key: str) -> Settings:
    return settings_in_force(
        database_url=f"sqlite+aiosqlite:///{folder}/mailweir.db",
        data_dir=folder,
        host="127.0.0.1",
        port=port,
        public_url="",
        smtp_url="",
        api_key=api_key,
        secret_key="",
        allow_networks=(LOOPBACK,),
    )


def _registered(client: Client, subscribers: Served, one: Subscriber) -> tuple[int, str]:
    wanted = {"url": f"{subscribers.url}/{one.path}", "events": one.events, "description": one.description, **one.more}
    made = client.post("/api/webhooks/manage", wanted)
    subscribers.app.secrets[one.path] = made["secret"]
    return made["id"], one.path


async def _write_the_day(stage: Stage, plan: Plan) -> None:
    gateway: Gateway = stage.gateway.app.state.gateway
    dice = _dice(plan, "day")
    happened = day_before(dice, time.time(), plan.mails, lambda source, kind: stage.accounts[source].plays(kind))
    node = await join(gateway.engine, gateway.clock)
    await History(gateway, stage.accounts, stage.endpoints, dice, node).write(happened)
    gateway.sender.bell.ring()


def _findings(stage: Stage, traffic: Traffic) -> Findings:
    """Once what is under way has arrived."""
    gateway: Gateway = stage.gateway.app.state.gateway
    environment_id = gateway.registry.sources()[0].environment_id
    until = time.monotonic() + SETTLED_WITHIN_S
    while True:
        counted = stage.gateway.begin(tally(gateway.engine, environment_id)).result()
        if not counted.deliveries.get("sending") or time.monotonic() > until:
            break
        time.sleep(0.1)
    return Witness(stage.client, counted, traffic.staged, stage.subscribers.app.shown).findings()


@contextmanager
def _ending_by_signal() -> Generator[None]:
    """Being told to terminate ends the demo as Ctrl+C does: what it made is removed."""

    def interrupt(_number: int, _frame: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _teller(plan: Plan) -> Callable[[str], None]:
    """Speaks to a person, if one is there."""

    def tell(sentence: str) -> None:
        if not plan.headless:
            click.echo(sentence)

    return tell


def _banner(stage: Stage) -> str:
    numbers = {path: number for number, path in stage.endpoints.items()}
    since = (datetime.now(UTC) - timedelta(seconds=DOWN_FOR_S + 600)).strftime("%Y-%m-%dT%H:%MZ")
    return f"""
Mailweir with a day behind it and mail under way. Nothing of it stays: Ctrl+C ends it.

  dashboard    {stage.dashboard}
               logs in once, within the hour
  gateway      {stage.gateway.url}
  API key      {stage.api_key}
  subscribers  {stage.subscribers.url}/control

In another terminal:

  export MAILWEIR_API_KEY={stage.api_key}
  export MAILWEIR_PORT={stage.gateway.url.rpartition(":")[2]}

  mailweir tail                               the events as they come in
  mailweir stats                              what came in and went out, and the day's rhythm
  mailweir events list --type complaint       the unified events; `mailweir events show evt_…` shows one whole
  mailweir endpoints list                     billing is failing and old-crm is paused; the others are well
  mailweir receipts list --status rejected    forged requests; --status quarantined: a type that no mapping knows
  mailweir sources drift shop                 that type, with a sample
  mailweir deliveries list --status failed    what billing never got; mend it, and send it all again:

  curl {stage.subscribers.url}/control/{BILLING} -d '{{"status": 200}}'
  mailweir recover {numbers[BILLING]} --since {since}
  mailweir endpoints enable {numbers[OLD_CRM]}                what was held for old-crm goes out

  curl {stage.subscribers.url}/control/all -d '{{"latency_ms": 900, "failure_rate": 0.3}}'   a bad day for all

What happens:
"""
