import asyncio

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from app.store.accounts import create_key, first_start, revoke_key
from app.store.sessions import (
    LINK_FOR,
    SESSION_FOR,
    create_link,
    create_session,
    end_session,
    find_session,
    follow_link,
)
from app.store.tables import LoginLinkRow, WebSessionRow, table_of
from tests.conftest import FrozenClock

pytestmark = pytest.mark.anyio


@pytest.fixture
async def started(engine: AsyncEngine, clock: FrozenClock) -> AsyncEngine:
    """A database with its first admin key, number 1."""
    await first_start(engine, clock, None)
    return engine


async def test_a_link_becomes_a_session_of_the_oldest_admin_key(started: AsyncEngine, clock: FrozenClock) -> None:
    await create_key(started, 1, "later", "admin", clock.now())
    link = await create_link(started, clock.now())
    session = await follow_link(started, link or "", clock.now())
    found = await find_session(started, session or "", clock.now())
    assert found is not None
    assert (found.key_id, found.role, found.environment_id) == (1, "admin", 1)


async def test_of_two_who_follow_a_link_at_once_one_gets_in(started: AsyncEngine, clock: FrozenClock) -> None:
    link = await create_link(started, clock.now()) or ""
    sessions = await asyncio.gather(*(follow_link(started, link, clock.now()) for _ in range(4)))
    assert len([session for session in sessions if session]) == 1


async def test_links_and_sessions_end_by_themselves_and_their_rows_go(started: AsyncEngine, clock: FrozenClock) -> None:
    link = await create_link(started, clock.now()) or ""
    session = await create_session(started, 1, clock.now())
    clock.advance(LINK_FOR.total_seconds())
    assert await follow_link(started, link, clock.now()) is None
    assert await find_session(started, session, clock.now()) is not None
    clock.advance(SESSION_FOR.total_seconds())
    assert await find_session(started, session, clock.now()) is None
    await create_link(started, clock.now())
    await create_session(started, 1, clock.now())
    assert await counts(started) == [1, 1]


async def test_a_session_ends_with_its_key_or_when_it_is_told_to(started: AsyncEngine, clock: FrozenClock) -> None:
    key, _ = await create_key(started, 1, "reader", "read", clock.now())
    of_reader, mine = await create_session(started, key.id, clock.now()), await create_session(started, 1, clock.now())
    await revoke_key(started, 1, key.id, clock.now())
    assert await find_session(started, of_reader, clock.now()) is None
    await end_session(started, mine)
    assert await find_session(started, mine, clock.now()) is None


async def test_of_links_and_sessions_only_digests_are_kept(started: AsyncEngine, clock: FrozenClock) -> None:
    tokens = [await create_link(started, clock.now()) or "", await create_session(started, 1, clock.now())]
    async with started.connect() as connection:
        rows = [*await connection.execute(sa.select(table_of(LoginLinkRow)))]
        rows += [*await connection.execute(sa.select(table_of(WebSessionRow)))]
    assert len(rows) == 2
    assert not any(token.encode() in row.digest or token in str(row) for row in rows for token in tokens)


async def test_without_an_admin_key_there_is_no_link(engine: AsyncEngine, clock: FrozenClock) -> None:
    assert await create_link(engine, clock.now()) is None


async def counts(engine: AsyncEngine) -> list[int]:
    async with engine.connect() as connection:
        tables = (table_of(LoginLinkRow), table_of(WebSessionRow))
        counted = [await connection.scalar(sa.select(sa.func.count()).select_from(table)) for table in tables]
    return [number or 0 for number in counted]
