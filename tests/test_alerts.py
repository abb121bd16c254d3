"""What the rules watch for is told once when it begins and once when it ends, to those who ask, and by mail."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from structlog.testing import capture_logs

from app import mails as mails_module
from app.alerts import Alerts
from app.drafting import Drafts
from app.gateway import Gateway
from app.settings import Settings
from app.store import alerts as rules
from app.store.alerts import NewAlert, change_alert, create_alert, read_firing
from app.store.endpoints import delete_endpoint
from app.store.rollups import HOUR_MS, MINUTE_MS
from app.store.tables import AlertMailRow, EventRow, RollupHourRow, RollupRow, table_of
from app.watching import KINDS, Limits
from tests.conftest import FrozenClock
from tests.gateways import ENVIRONMENT, add_account, add_endpoint, opened, settings_for
from tests.servers import Sink, self_signed
from tests.servers import sink as serve
from tests.smtp import mail_sink

pytestmark = pytest.mark.anyio

EVENT, MINUTE, HOUR, MAIL = (table_of(row) for row in (EventRow, RollupRow, RollupHourRow, AlertMailRow))
NEWS = "alert.fired,alert.resolved,source.silent"
SLACK = "{text: join('', ['*', data.alert.name || type, '* ', data.summary])}"
OPERATING = Path(__file__).parents[1] / "docs" / "operating.md"


@pytest.fixture
async def gateway(database_url: str, tmp_path: Path, clock: FrozenClock) -> AsyncIterator[Gateway]:
    async with opened(settings_for(database_url, tmp_path), clock) as gateway:
        await no_rules(gateway)
        yield gateway


@pytest.fixture
async def sink() -> AsyncIterator[Sink]:
    async with serve() as sink:
        yield sink


async def no_rules(gateway: Gateway) -> None:
    for rule in await rules.list_alerts(gateway.engine, ENVIRONMENT):
        await rules.delete_alert(gateway.engine, ENVIRONMENT, rule.id)


async def rule(gateway: Gateway, kind: str, threshold: float, **fields: Any) -> rules.Alert:
    new = NewAlert(name=kind.title(), kind=kind, threshold=threshold, **{"window_s": 600, "min_count": 1} | fields)
    return await create_alert(gateway.engine, ENVIRONMENT, new, gateway.clock.now())


async def counted(gateway: Gateway, measure: str, count: int, *, kind: str = "source", subject_id: int = 1) -> None:
    """As if that had happened in this minute."""
    minute = gateway.clock.ms() // MINUTE_MS * MINUTE_MS
    row = {"environment_id": 1, "kind": kind, "subject_id": subject_id, "minute": minute, "node": 900}
    insert = sa.insert(MINUTE).values(row | {"measure": measure, "count": count})
    await gateway.ledger.run(lambda connection: connection.execute(insert) and None)


async def told(gateway: Gateway) -> list[str]:
    """The types of the gateway's own news, in order."""
    async with gateway.engine.connect() as connection:
        query = sa.select(EVENT.c.type).where(EVENT.c.source_id.is_(None)).order_by(EVENT.c.id)
        return list(await connection.scalars(query))


async def watch(gateway: Gateway, clock: FrozenClock, **later: float) -> None:
    clock.advance(**later)
    await gateway.alerts.watch()


def mailing(database_url: str, folder: Path, server: str, *, to: str = "ops@example.com") -> Settings:
    return settings_for(database_url, folder, smtp_url=server, alert_mail_from="mailweir@example.com", alert_mail_to=to)


async def fire_once(gateway: Gateway, clock: FrozenClock) -> None:
    """The only rule there is fires."""
    await no_rules(gateway)
    await add_account(gateway, "resend", "prod")
    await rule(gateway, "rejected", 5)
    await counted(gateway, "receipt.rejected", 6)
    await watch(gateway, clock, seconds=20)


async def test_what_fires_is_told_once_and_what_passes_is_told_once(
    gateway: Gateway, clock: FrozenClock, sink: Sink
) -> None:
    await add_account(gateway, "resend", "prod")
    await add_endpoint(gateway, sink.url, NEWS)
    alert = await rule(gateway, "rejected", 5)
    await counted(gateway, "receipt.rejected", 6)
    for _ in range(3):
        await watch(gateway, clock, seconds=20)
    [fired] = await sink.arrived(1)
    event = fired.json()
    assert fired.headers["x-webhook-event"] == event["type"] == "alert.fired"
    assert event["data"]["summary"] == "6 requests to prod in the last 10 min did not verify; the threshold is 5."
    assert event["data"]["alert"] == {"id": alert.id, "name": "Rejected", "kind": "rejected"}
    assert event["data"]["source"] == {"name": "prod", "provider": "resend"}
    assert event["data"]["numbers"] == {"value": 6, "threshold": 5, "window_s": 600}
    assert len(await read_firing(gateway.engine, ENVIRONMENT)) == 1
    for _ in range(3):
        await watch(gateway, clock, minutes=12)
    resolved = (await sink.arrived(2))[1].json()
    assert (resolved["type"], resolved["data"]["since"]) == ("alert.resolved", event["data"]["since"])
    assert await told(gateway) == ["alert.fired", "alert.resolved"]
    assert await read_firing(gateway.engine) == {}
    await counted(gateway, "receipt.rejected", 6)
    await watch(gateway, clock, seconds=20)
    assert (await told(gateway))[2:] == ["alert.fired"]


async def test_those_who_asked_for_everything_about_messages_hear_nothing(
    gateway: Gateway, clock: FrozenClock, sink: Sink
) -> None:
    await add_account(gateway, "resend", "prod")
    await add_endpoint(gateway, sink.url, "*,email.unknown")
    await rule(gateway, "rejected", 5)
    await counted(gateway, "receipt.rejected", 6)
    await watch(gateway, clock, seconds=20)
    assert await told(gateway) == ["alert.fired"]
    async with gateway.engine.connect() as connection:
        assert await connection.scalar(sa.text("SELECT count(*) FROM delivery")) == 0


def second_watch(gateway: Gateway, node: int) -> Alerts:
    drafts = Drafts(gateway.registry, gateway.ids.next)
    return Alerts(gateway.registry, gateway.engine, gateway.ledger, drafts, gateway.postbox, gateway.clock, node)


async def test_two_who_judge_at_once_tell_it_once(gateway: Gateway) -> None:
    await add_account(gateway, "resend", "prod")
    await rule(gateway, "rejected", 5)
    await counted(gateway, "receipt.rejected", 6)
    await asyncio.gather(*(second_watch(gateway, node=7).watch() for _ in range(4)))
    assert await told(gateway) == ["alert.fired"]


async def test_one_node_watches_and_another_takes_over_when_it_is_gone(gateway: Gateway, clock: FrozenClock) -> None:
    await add_account(gateway, "resend", "prod")
    await rule(gateway, "rejected", 5)
    await gateway.alerts.watch()
    await counted(gateway, "receipt.rejected", 6)
    other = second_watch(gateway, node=7)
    await other.watch()
    assert await told(gateway) == []
    clock.advance(61)
    await other.watch()
    assert await told(gateway) == ["alert.fired"]


async def test_a_rule_that_was_changed_meanwhile_tells_nothing(gateway: Gateway, clock: FrozenClock) -> None:
    alert = await rule(gateway, "rejected", 5)
    clock.advance(1)
    await change_alert(gateway.engine, ENVIRONMENT, alert.id, {"threshold": 9.0}, clock.now())
    change = rules.Change(alert, 1, "firing", clock.now(), clock.now(), 6, "…")
    assert await gateway.ledger.run(partial(rules.change_state, change=change)) is False
    assert await read_firing(gateway.engine) == {}


async def test_attempts_that_fail_are_told_with_the_endpoint_but_not_its_path(
    gateway: Gateway, clock: FrozenClock, sink: Sink
) -> None:
    await add_endpoint(gateway, sink.url, NEWS)
    failing, _ = await add_endpoint(gateway, "https://crm.example.com/hook/s3cret", "bounce", description="CRM")
    await rule(gateway, "failure_rate", 0.5, min_count=10)
    await counted(gateway, "attempt.5xx", 9, kind="endpoint", subject_id=failing)
    await watch(gateway, clock, seconds=20)
    assert await told(gateway) == []
    await counted(gateway, "attempt.timeout", 1, kind="endpoint", subject_id=failing)
    await watch(gateway, clock, seconds=20)
    [fired] = await sink.arrived(1)
    data = fired.json()["data"]
    assert data["endpoint"] == {"id": failing, "url": "https://crm.example.com", "description": "CRM"}
    assert data["summary"].startswith(
        "Of 10 attempts at https://crm.example.com (CRM) in the last 10 min, 100 % failed"
    )
    assert b"s3cret" not in fired.body


@pytest.mark.parametrize(
    ("kind", "threshold", "measures"),
    [
        ("failure_rate", 0.5, {"attempt.5xx": 5, "attempt.delivered": 5}),
        ("bounce_rate", 0.1, {"event.email.bounced": 1, "event.email.delivered": 9}),
        ("complaint_rate", 0.01, {"event.email.complaint": 1, "event.email.delivered": 10}),
        ("rejected", 10, {"receipt.rejected": 10}),
        ("quarantined", 10, {"receipt.quarantined": 10}),
    ],
)
async def test_every_kind_that_counts_fires_once_from_the_least_number_on_and_resolves_once(
    gateway: Gateway, clock: FrozenClock, sink: Sink, kind: str, threshold: float, measures: dict[str, int]
) -> None:
    await add_account(gateway, "resend", "prod")
    endpoint, _ = await add_endpoint(gateway, sink.url, "bounce")
    of, about = ("endpoint", endpoint) if KINDS[kind].of == "endpoint" else ("source", 1)
    await rule(gateway, kind, threshold, min_count=11)
    for measure, count in measures.items():
        await counted(gateway, measure, count, kind=of, subject_id=about)
    await watch(gateway, clock, seconds=20)
    assert await told(gateway) == ([] if kind.endswith("_rate") else ["alert.fired"])
    clock.advance(minutes=1)
    for measure, count in measures.items():
        await counted(gateway, measure, count, kind=of, subject_id=about)
    for _ in range(3):
        await watch(gateway, clock, seconds=20)
    assert await told(gateway) == ["alert.fired"]
    for _ in range(3):
        await watch(gateway, clock, minutes=12)
    assert await told(gateway) == ["alert.fired", "alert.resolved"]


async def test_what_fires_for_an_endpoint_that_goes_has_passed(gateway: Gateway, clock: FrozenClock) -> None:
    endpoint, _ = await add_endpoint(gateway, "https://crm.example.com/hook")
    await rule(gateway, "failure_rate", 0.5, endpoint_id=endpoint)
    await counted(gateway, "attempt.5xx", 9, kind="endpoint", subject_id=endpoint)
    await watch(gateway, clock, seconds=20)
    await delete_endpoint(gateway.engine, gateway.vault, ENVIRONMENT, endpoint, clock.now(), gateway.registry.reload)
    await watch(gateway, clock, seconds=20)
    await watch(gateway, clock, seconds=20)
    assert await told(gateway) == ["alert.fired", "alert.resolved"]


async def test_deliveries_that_wait_for_too_long_are_told(gateway: Gateway, clock: FrozenClock, sink: Sink) -> None:
    account = await add_account(gateway, "resend", "prod")
    await gateway.sender.close()
    await add_endpoint(gateway, sink.url)
    await rule(gateway, "backlog_age", 900)
    await account.post("email.bounced")
    await watch(gateway, clock, minutes=14)
    assert await told(gateway) == []
    await watch(gateway, clock, minutes=2)
    assert await told(gateway) == ["alert.fired"]


async def test_a_source_that_is_silent_for_longer_than_its_habit_is_told(
    gateway: Gateway, clock: FrozenClock, sink: Sink
) -> None:
    account = await add_account(gateway, "resend", "prod")
    await add_endpoint(gateway, sink.url, NEWS)
    await rule(gateway, "source_silent", 2, window_s=3_600, min_count=20)
    hour = clock.ms() // HOUR_MS * HOUR_MS
    places = {"environment_id": 1, "kind": "source", "subject_id": 1, "measure": "receipt.accepted", "count": 1}
    hours = [places | {"hour": hour - back * HOUR_MS} for back in range(1, 300)]
    await gateway.ledger.run(lambda connection: connection.execute(sa.insert(HOUR), hours) and None)
    for _ in range(25):
        await account.post("email.delivered")
        clock.advance(hours=2)
    await watch(gateway, clock, minutes=90)
    assert await told(gateway) == []
    await watch(gateway, clock, minutes=60)
    assert sorted(await told(gateway)) == ["alert.fired", "source.silent"]
    await account.post("email.delivered")
    await watch(gateway, clock, seconds=60)
    assert (await told(gateway))[2:] == ["alert.resolved"]
    requests = await sink.arrived(3)
    silent = next(request.json() for request in requests if request.json()["type"] == "source.silent")
    assert silent["data"]["source"]["name"] == "prod"
    assert "it usually pauses for 119 min at most" in silent["data"]["summary"]


async def test_silence_is_no_news_just_after_a_start(database_url: str, tmp_path: Path, clock: FrozenClock) -> None:
    settings = settings_for(database_url, tmp_path)
    async with opened(settings, clock) as gateway:
        await no_rules(gateway)
        await add_account(gateway, "resend", "prod")
        await rule(gateway, "source_silent", 1, window_s=600)
        for day in range(12):
            for _ in range(2):
                await counted(gateway, "receipt.accepted", 1)
                clock.advance(minutes=10)
            clock.advance(hours=day)
    clock.advance(days=5)
    async with opened(settings, clock) as gateway:
        await gateway.alerts.watch()
        assert await told(gateway) == []
        await watch(gateway, clock, minutes=11)
        assert "source.silent" in await told(gateway)


async def test_a_transform_makes_a_message_for_slack(gateway: Gateway, clock: FrozenClock, sink: Sink) -> None:
    assert f'--transform "{SLACK}"' in OPERATING.read_text()
    await add_account(gateway, "resend", "prod")
    await add_endpoint(gateway, sink.url, "alert.fired,alert.resolved", transform=SLACK)
    await rule(gateway, "rejected", 5)
    await counted(gateway, "receipt.rejected", 6)
    await watch(gateway, clock, seconds=20)
    [fired] = await sink.arrived(1)
    text = "*Rejected* 6 requests to prod in the last 10 min did not verify; the threshold is 5."
    assert fired.json() == {"text": text}


async def waiting_mails(gateway: Gateway) -> int:
    async with gateway.engine.connect() as connection:
        return (await connection.execute(sa.select(sa.func.count()).select_from(MAIL))).scalar_one()


async def until_no_mail_waits(gateway: Gateway) -> None:
    async with asyncio.timeout(10):
        while await waiting_mails(gateway):
            await asyncio.sleep(0.01)


async def test_what_fires_is_mailed_to_those_in_the_settings_or_of_the_rule(
    database_url: str, tmp_path: Path, clock: FrozenClock
) -> None:
    async with mail_sink() as server:
        settings = mailing(database_url, tmp_path, server.url, to="ops@example.com, ann@example.com")
        async with opened(settings, clock) as gateway:
            await no_rules(gateway)
            await add_account(gateway, "resend", "prod")
            await rule(gateway, "rejected", 5)
            await rule(gateway, "rejected", 6, mail_to=["bob@example.com"])
            await rule(gateway, "rejected", 6, mail_to=[])
            await counted(gateway, "receipt.rejected", 6)
            await watch(gateway, clock, seconds=20)
            await server.tries(2)
            await until_no_mail_waits(gateway)
    (to_all, first), (to_bob, _) = sorted(server.mails, key=lambda mail: mail[0], reverse=True)
    assert (to_all, to_bob) == (["ops@example.com", "ann@example.com"], ["bob@example.com"])
    assert first["Subject"] == "[Mailweir] Rejected: fired"
    assert (first["From"], first["Auto-Submitted"]) == ("mailweir@example.com", "auto-generated")
    assert first["Message-ID"].startswith("<evt_")
    assert "6 requests to prod in the last 10 min did not verify; the threshold is 5." in first.get_content()


async def test_a_mail_that_the_server_does_not_take_is_sent_again(
    database_url: str, tmp_path: Path, clock: FrozenClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mails_module, "LOOK_INTERVAL_S", 0.02)
    async with mail_sink("451 later", "250 taken") as server:
        settings = mailing(database_url, tmp_path, server.url)
        async with opened(settings, clock) as gateway:
            await fire_once(gateway, clock)
            await server.tries(1)
        assert server.mails == []
        clock.advance(minutes=10)
        async with opened(settings, clock) as gateway:  # also after a restart
            await server.tries(2)
            await until_no_mail_waits(gateway)
    assert len(server.mails) == 1


async def test_a_mail_goes_over_tls_to_a_server_that_proves_itself(
    database_url: str, tmp_path: Path, clock: FrozenClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mails_module, "LOOK_INTERVAL_S", 0.02)
    tls, certificate = self_signed(tmp_path)
    async with mail_sink(tls=tls) as server:
        settings = mailing(database_url, tmp_path, server.url)
        async with opened(settings, clock) as gateway:
            await fire_once(gateway, clock)
            async with asyncio.timeout(10):
                while not await tried_mails(gateway):
                    await asyncio.sleep(0.01)
            assert server.mails == []
            monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
            clock.advance(minutes=10)
            await until_no_mail_waits(gateway)
    assert len(server.mails) == 1


async def test_a_mail_goes_to_a_private_server_without_being_asked_for_networks(
    database_url: str, tmp_path: Path, clock: FrozenClock
) -> None:
    async with mail_sink() as server:
        settings = mailing(database_url, tmp_path, server.url).model_copy(update={"allow_networks": ()})
        async with opened(settings, clock) as gateway:
            await fire_once(gateway, clock)
            await until_no_mail_waits(gateway)
    assert len(server.mails) == 1


@pytest.mark.parametrize(
    "server", ["smtp://169.254.169.254:25", "smtps://[fe80::1]", "smtp://[::ffff:169.254.169.254]"]
)
async def test_no_mail_goes_where_no_mail_server_lives(
    database_url: str, tmp_path: Path, clock: FrozenClock, server: str
) -> None:
    with capture_logs() as lines:
        async with opened(mailing(database_url, tmp_path, server), clock) as gateway:
            await fire_once(gateway, clock)
            async with asyncio.timeout(10):
                while not await tried_mails(gateway):
                    await asyncio.sleep(0.01)
    [error] = [line["error"] for line in lines if line["event"] == "mail.failed"]
    assert "is a link-local address; allow it with MAILWEIR_ALLOW_NETWORKS" in error


async def test_a_server_whose_name_cannot_be_one_does_not_end_the_sending_of_mails(
    database_url: str, tmp_path: Path, clock: FrozenClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mails_module, "LOOK_INTERVAL_S", 0.02)
    settings = mailing(database_url, tmp_path, "smtp://mail..example.com")
    async with opened(settings, clock) as gateway:
        await fire_once(gateway, clock)
        async with asyncio.timeout(10):
            for tries in (1, 2):
                while await tried_mails(gateway) < tries:
                    await asyncio.sleep(0.01)
                clock.advance(hours=1)


async def tried_mails(gateway: Gateway) -> int:
    async with gateway.engine.connect() as connection:
        return (await connection.execute(sa.select(sa.func.sum(MAIL.c.attempts)))).scalar_one() or 0


@pytest.mark.parametrize(("reply", "wait"), [("554 never", 0), ("451 later", 25)])
async def test_a_mail_that_cannot_be_sent_is_given_up_at_last(
    database_url: str, tmp_path: Path, clock: FrozenClock, monkeypatch: pytest.MonkeyPatch, reply: str, wait: int
) -> None:
    monkeypatch.setattr(mails_module, "LOOK_INTERVAL_S", 0.02)
    async with mail_sink(reply) as server:
        settings = mailing(database_url, tmp_path, server.url)
        async with opened(settings, clock) as gateway:
            await fire_once(gateway, clock)
            await server.tries(1)
            if wait:
                await asyncio.sleep(0.1)
                assert await waiting_mails(gateway) == 1
                clock.advance(hours=wait)
            await until_no_mail_waits(gateway)
    assert server.mails == []


async def test_a_new_environment_has_a_few_rules(database_url: str, tmp_path: Path) -> None:
    async with opened(settings_for(database_url, tmp_path)) as gateway:
        found = await rules.list_alerts(gateway.engine, ENVIRONMENT)
    assert {alert.kind: Limits(alert.threshold, alert.window_s, alert.min_count) for alert in found} == {
        name: kind.limits for name, kind in KINDS.items()
    }
