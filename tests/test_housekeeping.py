from functools import partial
from pathlib import Path

import pytest
import sqlalchemy as sa
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy.ext.asyncio import AsyncEngine
from structlog.testing import capture_logs

from app import metrics
from app.housekeeping import Housekeeping
from app.store.drift import Drift, record_drift
from app.store.idempotency import keep_reply
from app.store.tables import EventRow, ReceiptRow, table_of
from tests.conftest import FrozenClock
from tests.gateways import ENVIRONMENT, add_account, opened, settings_for

pytestmark = pytest.mark.anyio


def removed_so_far() -> dict[str, float]:
    families = text_string_to_metric_families(metrics.exposition().decode())
    samples = [sample for family in families if family.name == "mailweir_removed_rows" for sample in family.samples]
    return {sample.labels["kind"]: sample.value for sample in samples}


async def rows(engine: AsyncEngine) -> tuple[int, int]:
    async with engine.connect() as connection:
        counts = [
            await connection.scalar(sa.select(sa.func.count()).select_from(table_of(row)))
            for row in (ReceiptRow, EventRow)
        ]
    return counts[0] or 0, counts[1] or 0


async def test_a_running_gateway_removes_what_is_too_old_and_says_so(
    database_url: str, tmp_path: Path, clock: FrozenClock
) -> None:
    async with opened(settings_for(database_url, tmp_path), clock) as gateway:
        await gateway.housekeeping.close()
        account = await add_account(gateway, "resend")
        await account.post("email.bounced")
        await account.post("email.delivered")
        await gateway.ledger.run(partial(record_drift, found=[new_name(clock)]))
        await keep_reply(gateway.engine, ENVIRONMENT, "1 key", b"digest", 201, b"{}", clock.now())
        clock.advance(days=1.5)
        await account.post("email.bounced")
        clock.advance(days=1)
        before = removed_so_far()
        with capture_logs() as lines:
            await Housekeeping(gateway.engine, gateway.ledger, clock, kept_days=2).tidy()
        assert await rows(gateway.engine) == (1, 1)
    (line,) = [line for line in lines if line["event"] == "housekeeping.done"]
    grown = {kind: value - before.get(kind, 0) for kind, value in removed_so_far().items()}
    expected = {
        "receipts": 2,
        "events": 2,
        "deliveries": 0,
        "attempts": 0,
        "drift": 1,
        "jobs": 0,
        "replies": 1,
        "rollups": 4,
    }
    assert grown == expected == {kind: line[f"{kind}_removed"] for kind in expected}


async def test_a_provider_that_repeats_itself_after_that_time_brings_a_new_event(
    database_url: str, tmp_path: Path, clock: FrozenClock
) -> None:
    async with opened(settings_for(database_url, tmp_path), clock) as gateway:
        await gateway.housekeeping.close()
        account = await add_account(gateway, "postmark")
        request = account.request("Bounce")
        await account.send(request)
        await account.send(request)
        assert await rows(gateway.engine) == (2, 1)
        clock.advance(days=3)
        await Housekeeping(gateway.engine, gateway.ledger, clock, kept_days=2).tidy()
        await account.send(request)
        assert await rows(gateway.engine) == (1, 1)


def new_name(clock: FrozenClock) -> Drift:
    """A key that no mapping names."""
    now = clock.ms()
    return Drift(
        source_id=1, kind="key", name="via", count=1, first_seen=now, last_seen=now, receipt_id=1, sample="ada"
    )
