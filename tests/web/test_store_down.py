"""A database that goes away under the running application: every answer asks to come again, and no secret is logged."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
import sqlalchemy as sa
import structlog
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from app.store.engine import READERS_MAX
from tests.conftest import END_OTHERS, PostgresServer
from tests.web.gateways import SUBSCRIBER, Api, add_source, gateway_of, post_native, serving

pytestmark = pytest.mark.anyio


class Outage:
    """A way to the server that can be taken away: the folder of its socket, reached through a link."""

    def __init__(self, url: str, link: Path) -> None:
        self._direct = url
        self._link = link
        link.symlink_to(parse_qs(urlsplit(url).query)["host"][0])
        self.url = sa.make_url(url).set(query={"host": str(link)}).render_as_string(hide_password=False)

    async def begin(self) -> None:
        self._link.unlink()
        engine = create_async_engine(self._direct)
        async with engine.connect() as connection:
            await connection.execute(sa.text(END_OTHERS))
        await engine.dispose()


@pytest.fixture
def outage(postgres: PostgresServer, tmp_path: Path) -> Outage:
    postgres.empty()
    return Outage(postgres.url(postgres.MIGRATED), tmp_path / "socket")


@pytest.fixture
async def cut_off(outage: Outage, tmp_path: Path) -> AsyncIterator[Api]:
    """An application that knows its keys and sources, and whose database has just gone."""
    async with serving(outage.url, tmp_path, commit_timeout_s=0.5) as api:
        await add_source(api)
        generic = {"name": "own", "provider": "generic", "secrets": {"signing_secret": "0123456789abcdef" * 2}}
        assert (await api.post("/api/sources", json=generic)).status_code == 201
        await outage.begin()
        yield api


def _assert_asks_to_come_again(answer: httpx.Response) -> None:
    assert answer.status_code == 503, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert int(answer.headers["retry-after"]) > 0


async def test_without_its_database_every_route_asks_to_come_again(cut_off: Api) -> None:
    for path in ("/api/events", "/api/sources", "/api/webhooks/manage", "/api/deliveries", "/api/keys", "/metrics"):
        _assert_asks_to_come_again(await cut_off.get(path))
    _assert_asks_to_come_again(await cut_off.post("/api/webhooks/manage", json={"url": SUBSCRIBER, "events": "*"}))
    cut_off.headers["Authorization"] = "Bearer mw_live_a-key-not-seen-before"
    _assert_asks_to_come_again(await cut_off.get("/api/events"))
    assert (await cut_off.get("/ready")).status_code == 503
    assert (await cut_off.get("/health")).status_code == 200


async def test_without_its_database_every_provider_is_to_post_again(cut_off: Api) -> None:
    _assert_asks_to_come_again(await post_native(cut_off))
    _assert_asks_to_come_again(await cut_off.post("/api/webhooks/unknown", json={}))
    _assert_asks_to_come_again(await cut_off.post("/api/webhooks/own", json={"type": "email.bounced"}))


async def test_a_write_that_fails_logs_no_secret(api: Api) -> None:
    # One connection for both: another one of SQLite's may still have the old name in its cache.
    async with gateway_of(api).engine.connect() as connection:
        await connection.execute(sa.text("ALTER TABLE endpoint RENAME COLUMN description TO other"))
        await connection.commit()
        with structlog.testing.capture_logs() as lines:
            headers = {"Authorization": "Bearer SUPERSECRETTOKEN"}
            answer = await api.post("/api/webhooks/manage", json={"url": SUBSCRIBER, "events": "*", "headers": headers})
        await connection.execute(sa.text("ALTER TABLE endpoint RENAME COLUMN other TO description"))
        await connection.commit()
    assert answer.status_code == 500
    assert "SUPERSECRETTOKEN" not in repr(lines)
    assert [line["statement"][:6] for line in lines if line["event"] == "request.failed"] == ["INSERT"]


async def test_a_full_sqlite_disk_logs_no_secret(small_api: Api) -> None:
    await _fill_the_disk(gateway_of(small_api).engine)
    headers = {f"X-{number}": "SUPERSECRETTOKEN" * 200 for number in range(20)}
    with structlog.testing.capture_logs() as lines:
        answer = await small_api.post(
            "/api/webhooks/manage", json={"url": SUBSCRIBER, "events": "*", "headers": headers}
        )
    _assert_asks_to_come_again(answer)
    assert "SUPERSECRETTOKEN" not in repr(lines)
    assert "full" in repr(lines)


async def _fill_the_disk(engine: AsyncEngine) -> None:
    """No connection may add a page to the file."""
    async with AsyncExitStack() as open_ones:
        for _ in range(READERS_MAX):
            connection = await open_ones.enter_async_context(engine.connect())
            await connection.execute(sa.text("PRAGMA max_page_count=1"))
