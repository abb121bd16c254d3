"""The first page: the steps before anything came in, the numbers, what needs attention, and what it costs."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from html import unescape
from typing import Any

import anyio
import pytest
import sqlalchemy as sa

from app.clock import Clock
from app.store.rollups import HOUR_MS, MINUTE_MS
from app.store.tables import DeliveryRow, RollupHourRow, RollupRow, table_of
from app.store.transactions import writing
from app.tallies import RENEWED_MAX, Tallies
from app.web.pages.tiles import RANGES
from tests.conftest import FrozenClock
from tests.servers import Answer
from tests.servers import sink as serve
from tests.web.gateways import Api, add_endpoint, add_source, gateway_of, post_native
from tests.web.pages.visitors import Visitor
from tests.web.test_auth import make_key
from tests.web.test_stats import NOT_AUTHENTIC, until_attempts

pytestmark = pytest.mark.anyio

STATEMENTS_MAX = 35


async def seen(visitor: Visitor, path: str = "/") -> str:
    """The words of the page, without its tags."""
    answer = await visitor.get(path)
    assert answer.status_code == 200, answer.text
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", answer.text)).split())


@contextmanager
def counted_statements(api: Api) -> Iterator[list[str]]:
    """What is asked of the database meanwhile."""
    statements: list[str] = []
    engine = gateway_of(api).engine.sync_engine

    def note(*what: Any) -> None:
        if what[2] != "BEGIN":
            statements.append(what[2])

    sa.event.listen(engine, "before_cursor_execute", note)
    try:
        yield statements
    finally:
        sa.event.remove(engine, "before_cursor_execute", note)


async def test_a_new_gateway_shows_three_steps_and_each_leads_on(small_api: Api) -> None:
    visitor = await Visitor(small_api).log_in()
    page = (await visitor.get("/")).text
    assert 'href="/sources/new"' in page
    assert 'href="/endpoints/new"' in page
    await add_source(small_api)
    await add_endpoint(small_api)
    assert "Needs attention" not in await seen(visitor)
    sent = await visitor.fill("/attention/test", "/", endpoint_id=1)
    assert (sent.status_code, sent.headers["location"]) == (303, "/")
    assert "A test event is on its way" in await seen(visitor)


async def test_what_came_and_went_is_on_the_tiles_and_in_the_tables(api: Api) -> None:
    await add_source(api)
    async with serve(Answer(200), Answer(200), Answer(200)) as sink:
        endpoint = await add_endpoint(api, url=sink.url, description="CRM")
        for native in ("email.delivered", "email.delivered", "email.bounced"):
            await post_native(api, native)
        await until_attempts(api, f"/api/webhooks/manage/{endpoint['id']}/stats", 3)
        page = await seen(await Visitor(api).log_in())
    assert "Events in 3 in 3 requests" in page
    assert "Delivery success 100 % of 3 attempts" in page
    assert "Bounce rate 33.33 % of 3 messages" in page
    assert "Oldest undelivered None" in page
    assert "Every source verifies, every endpoint takes what it is sent" in page
    assert "prod resend" in page
    assert "CRM ● healthy 100 %" in page
    assert "anna@example.com" in page


async def test_each_trouble_is_a_sentence_with_its_action(api: Api) -> None:
    await add_source(api)
    endpoint = await add_endpoint(api, description="CRM", active=False)
    await post_native(api)
    await post_native(api, headers=NOT_AUTHENTIC)
    await api.post("/api/sources", json={"name": "open", "provider": "resend", "verification": "none"})
    unknown = {"type": "email.newfangled", "created_at": "2026-03-03T08:15:00Z"}
    assert (await api.post("/api/webhooks/open", json=unknown)).status_code == 200
    await gateway_of(api).drifts.write()
    visitor = await Visitor(api).log_in()
    page = await seen(visitor)
    assert "“CRM” is paused. 1 delivery is held, and not lost. Resume it" in page
    assert "1 request to prod within a day does not verify" in page
    assert "1 request to open within a day could not be read in full and is kept." in page
    assert "The mapping does not name “email.newfangled”. See why" in page
    resumed = await visitor.fill("/attention/enable", "/", endpoint_id=endpoint["id"])
    assert resumed.status_code == 303
    assert "is paused" not in await seen(visitor)


async def test_what_was_given_up_is_sent_again_at_a_click(api: Api) -> None:
    await add_source(api)
    endpoint = await add_endpoint(api, description="CRM")
    await gateway_of(api).sender.close()
    await post_native(api)
    delivery = table_of(DeliveryRow)
    async with writing(gateway_of(api).engine) as connection:
        await connection.execute(sa.update(delivery).values(status="failed"))
    visitor = await Visitor(api).log_in()
    assert "1 delivery to “CRM” was given up, and can be sent again. Send again" in await seen(visitor)
    assert (await visitor.fill("/attention/recover", "/", endpoint_id=endpoint["id"])).status_code == 303
    assert "1 delivery is sent again." in await seen(visitor)


async def test_who_may_only_read_sees_troubles_and_no_buttons(small_api: Api) -> None:
    await add_source(small_api)
    await add_endpoint(small_api, active=False)
    await post_native(small_api)
    reader = await Visitor(small_api).log_in((await make_key(small_api, "read"))["key"])
    page = (await reader.get("/")).text
    assert "is paused" in page
    assert "/attention/" not in page
    refused = await reader.fill("/attention/enable", "/", endpoint_id=1)
    assert refused.status_code == 403


@pytest.mark.parametrize("endpoint_id", ["7", "x", "0", str(2**40)])
async def test_an_endpoint_that_is_not_there_is_told(small_api: Api, endpoint_id: str) -> None:
    visitor = await Visitor(small_api).log_in()
    for action in ("enable", "test", "recover"):
        refused = await visitor.fill(f"/attention/{action}", endpoint_id=endpoint_id)
        assert refused.status_code in (404, 422)


async def test_an_unknown_time_is_refused(small_api: Api) -> None:
    assert (await (await Visitor(small_api).log_in()).get("/?range=2y")).status_code == 422


async def test_what_strangers_wrote_stays_text(small_api: Api) -> None:
    await add_source(small_api)
    await add_endpoint(small_api, description="<script>alert(1)</script>\u202e", active=False)
    await post_native(small_api, recipient='"<b>x</b>"@example.com')
    page = (await (await Visitor(small_api).log_in()).get("/")).text
    assert "<script>alert" not in page
    assert "<b>x" not in page
    assert "\u202e" not in page.partition("Needs attention")[2].partition("</ul>")[0]


@pytest.mark.parametrize("chosen", ["1h", "24h", "7d", "30d"])
async def test_the_page_asks_little_however_much_there_is(api: Api, chosen: str) -> None:
    await add_source(api)
    for number in range(12):
        await add_endpoint(api, description=f"endpoint {number}", active=False)
    await post_native(api)
    visitor = await Visitor(api).log_in()
    await fill_rollups(api)
    for _ in range(30):
        await post_native(api)
    with counted_statements(api) as statements:
        page = await visitor.get(f"/?range={chosen}")
    assert len(statements) < STATEMENTS_MAX, "\n".join(statements)
    assert len(page.content) < 150_000


async def fill_rollups(api: Api) -> None:
    """Minutes of the last hours and hours of the days before, of the source and some endpoints."""
    now = gateway_of(api).clock.ms()
    rows: dict[sa.Table, list[dict[str, Any]]] = {}
    for table, moment, length, node in (
        (table_of(RollupRow), "minute", MINUTE_MS, {"node": 1}),
        (table_of(RollupHourRow), "hour", HOUR_MS, {}),
    ):
        for back in range(1, 100):
            at = (now // length - back) * length if moment == "minute" else (now // length - 48 - back) * length
            measures = [("source", 1, "event.email.delivered"), ("endpoint", 1, "attempt.delivered")]
            for kind, subject, measure in [*measures, ("endpoint", 2, "latency.08")]:
                key = {"environment_id": 1, "kind": kind, "subject_id": subject, "measure": measure, moment: at}
                rows.setdefault(table, []).append(key | node | {"count": 3})
    async with writing(gateway_of(api).engine) as connection:
        for table, of_table in rows.items():
            await connection.execute(sa.insert(table), of_table)


async def total(api: Api, kind: str, starts: range, measure: str) -> int:
    found = await gateway_of(api).tallies.read(1, kind, starts)
    assert sorted(found) == list(starts)
    return sum(counts.get(measure, 0) for by_subject in found.values() for counts in by_subject.values())


@pytest.mark.parametrize("length", [HOUR_MS, 6 * HOUR_MS, 24 * HOUR_MS])
async def test_the_same_is_counted_when_it_is_remembered(api: Api, length: int) -> None:
    await add_source(api)
    await add_endpoint(api)
    await fill_rollups(api)
    until = (gateway_of(api).clock.ms() // length + 1) * length
    starts = range(until - 30 * 24 * HOUR_MS, until, length)
    for _ in range(2):
        assert await total(api, "source", starts, "event.email.delivered") == 2 * 99 * 3
    minute = gateway_of(api).clock.ms() // MINUTE_MS * MINUTE_MS
    row = {"environment_id": 1, "kind": "source", "subject_id": 1, "minute": minute, "node": 2}
    async with writing(gateway_of(api).engine) as connection:
        insert = sa.insert(table_of(RollupRow)).values(row | {"measure": "event.email.delivered", "count": 1})
        await connection.execute(insert)
    assert await total(api, "source", starts, "event.email.delivered") == 2 * 99 * 3 + 1


def half_past() -> FrozenClock:
    """In the hour before this one; an hour that has just ended is not finished yet."""
    return FrozenClock(Clock().ms() // HOUR_MS * HOUR_MS - HOUR_MS // 2)


async def add_an_event(api: Api, minute: int) -> None:
    row = {"environment_id": 1, "kind": "source", "subject_id": 1, "minute": minute, "node": 3}
    async with writing(gateway_of(api).engine) as connection:
        insert = sa.insert(table_of(RollupRow)).values(row | {"measure": "event.email.delivered", "count": 1})
        await connection.execute(insert)


async def test_what_was_read_long_ago_is_read_again_a_few_at_a_time(small_api: Api) -> None:
    await add_source(small_api)
    clock = half_past()
    tallies = Tallies(gateway_of(small_api).engine, clock)
    hour = clock.ms() // HOUR_MS * HOUR_MS
    starts = range(hour - 5 * HOUR_MS, hour, HOUR_MS)
    assert [len(counts) for counts in (await tallies.read(1, "source", starts)).values()] == [0] * 5
    for start in starts:
        await add_an_event(small_api, start)
    for seconds, renewed in ((0, 0), (3_600, RENEWED_MAX), (0, 5), (0, 5)):
        clock.advance(seconds)
        found = await tallies.read(1, "source", starts)
        assert [len(counts) for counts in found.values()] == [1] * renewed + [0] * (5 - renewed)


async def test_what_pages_ask_for_is_read_ahead(small_api: Api) -> None:
    await add_source(small_api)
    clock = half_past()
    hour = clock.ms() // HOUR_MS * HOUR_MS
    await add_an_event(small_api, hour - HOUR_MS)
    tallies = Tallies(gateway_of(small_api).engine, clock)
    tallies.start([1])
    with anyio.fail_after(60):
        while len(tallies) < 2 * (72 + 28 + 30):
            await anyio.sleep(0.01)
    await tallies.close()
    await add_an_event(small_api, hour - 2 * HOUR_MS)
    found = await tallies.totals(1, "source", RANGES["7d"].starts(clock.ms()))
    assert found == {1: {"event.email.delivered": 1}}
    tallies.forget()
    found = await tallies.totals(1, "source", RANGES["7d"].starts(clock.ms()))
    assert found == {1: {"event.email.delivered": 2}}
