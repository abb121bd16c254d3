"""Endpoints that a person enables or moves: forgotten is how they fared, and told that it is over."""

from typing import Any

import pytest
import sqlalchemy as sa

from app.retry import BREAKER_FAILURES, DISABLE_FAILURES
from app.store.endpoints import EndpointChange, change_endpoint
from app.store.health import DISABLED, ENABLED, FAILING, MOVED, RECOVERED, Health, health_of, news_told
from app.store.tables import EndpointHealthRow, EndpointRow, table_of
from tests.store.world import World

pytestmark = pytest.mark.anyio

HEALTH, ENDPOINT = table_of(EndpointHealthRow), table_of(EndpointRow)


async def fares(world: World, **health: Any) -> None:
    """Endpoint 1, and what is known of it."""
    await world.endpoint()
    await world.add(EndpointHealthRow, {"endpoint_id": 1, "failures": 0, "reason": "answered 500"} | health)


async def disabled(world: World, reason: str) -> None:
    async with world.engine.begin() as connection:
        await connection.execute(sa.update(ENDPOINT).values(active=False, disabled_reason=reason))


async def change(world: World, **fields: Any) -> Health:
    """What is known after the change."""
    wanted = EndpointChange(**fields)
    await change_endpoint(world.engine, world.vault, 1, 1, wanted, world.clock.now())
    return await health_of(world.engine, 1)


async def trace(world: World) -> int:
    async with world.engine.connect() as connection:
        return (await connection.execute(sa.select(sa.func.count()).select_from(HEALTH))).scalar_one()


async def test_news_of_a_failure_that_nobody_was_told_of_become_news_of_its_end(world: World) -> None:
    since = world.clock.ms() - 60_000
    for news in (FAILING, DISABLED):
        await fares(world, failures=BREAKER_FAILURES, failing_since=since, news=news, news_at=since)
        untold = await health_of(world.engine, 1)
        begun = await change(world, active=True)
        assert begun == Health(news=ENABLED, news_at=world.clock.ms(), failing_since=since)
        async with world.engine.begin() as connection:
            assert not await connection.run_sync(news_told, 1, untold), "both would be told"
            assert await connection.run_sync(news_told, 1, begun)
            assert not await connection.run_sync(news_told, 1, begun), "it would be told twice"
            await connection.execute(sa.delete(HEALTH))


async def test_a_recovery_that_nobody_was_told_of_stays_news(world: World) -> None:
    at = world.clock.ms() - 1_000
    await fares(world, failures=2, resume_at=at, news=RECOVERED, news_at=at, failing_since=at)
    assert await change(world, active=True) == Health(news=RECOVERED, news_at=at, failing_since=at)
    assert await change(world, url="https://new.example.com/") == Health(news=RECOVERED, news_at=at, failing_since=at)


@pytest.mark.parametrize(
    ("failures", "reason", "news"),
    [
        (1, "answered 410 Gone", ENABLED),
        (DISABLE_FAILURES, f"{DISABLE_FAILURES} attempts in a row have failed", ENABLED),
        (BREAKER_FAILURES, "paused", ENABLED),
        (BREAKER_FAILURES - 1, "paused", None),
    ],
)
async def test_enabling_is_news_where_others_were_told_that_it_does_not_work(
    world: World, failures: int, reason: str, news: str | None
) -> None:
    await fares(world, failures=failures)
    await disabled(world, reason)
    assert (await change(world, active=True)).news == news
    assert await trace(world) == (0 if news is None else 1)


async def test_another_url_begins_anew_and_the_same_one_does_not(world: World) -> None:
    await fares(world, failures=BREAKER_FAILURES)
    same = await change(world, url="https://example.com/hook", description="as the form of the dashboard sends it")
    assert same.failing
    assert (await change(world, url="https://new.example.com/hook")).news == MOVED


async def test_an_endpoint_at_rest_is_not_said_to_be_sent_to_again(world: World) -> None:
    await fares(world, failures=DISABLE_FAILURES, news=DISABLED, news_at=world.clock.ms())
    await disabled(world, "50 attempts in a row have failed")
    moved = await change(world, url="https://new.example.com/hook")
    assert (moved.news, moved.failures) == (DISABLED, DISABLE_FAILURES)
    assert (await change(world, active=True)).news == ENABLED
