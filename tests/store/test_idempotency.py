from datetime import timedelta

import pytest
import sqlalchemy as sa

from app.store import idempotency
from app.store.errors import KeyReused
from app.store.idempotency import Reply, find_reply, keep_reply, prune_replies
from app.store.tables import IdempotentReplyRow, table_of
from tests.store.world import World

pytestmark = pytest.mark.anyio

KEY = "k" * 255
DIGEST = b"\x01" * 32


async def _keep(world: World, key: str = KEY, digest: bytes = DIGEST, body: bytes = b"{}") -> None:
    await keep_reply(world.engine, world.environment_id, key, digest, 201, body, world.clock.now())


async def _find(world: World, key: str = KEY, digest: bytes = DIGEST) -> Reply | None:
    return await find_reply(world.engine, world.environment_id, key, digest, world.clock.now())


async def _count(world: World) -> int:
    async with world.engine.connect() as connection:
        query = sa.select(sa.func.count()).select_from(table_of(IdempotentReplyRow))
        return (await connection.execute(query)).scalar_one()


async def test_a_request_that_comes_again_gets_the_reply_that_was_kept(world: World) -> None:
    assert await _find(world) is None
    await _keep(world, body=b'{"id": 1}')
    assert await _find(world) == Reply(201, b'{"id": 1}')


async def test_one_key_for_two_requests_is_refused(world: World) -> None:
    await _keep(world)
    with pytest.raises(KeyReused):
        await _find(world, digest=b"\x02" * 32)


async def test_the_first_reply_stays(world: World) -> None:
    await _keep(world, body=b"first")
    await _keep(world, body=b"second")
    assert await _find(world) == Reply(201, b"first")


async def test_a_key_is_of_one_environment(world: World, other_world: World) -> None:
    await _keep(world)
    assert await _find(other_world, digest=b"another") is None
    await _keep(other_world, body=b"theirs")
    assert await _find(world) == Reply(201, b"{}")


async def test_a_reply_is_forgotten_after_a_day(world: World) -> None:
    await _keep(world)
    world.clock.advance(timedelta(hours=24).total_seconds() - 1)
    assert await _find(world) is not None
    world.clock.advance(1)
    assert await _find(world, digest=b"another") is None
    await _keep(world, digest=b"another", body=b"new")
    assert await _find(world, digest=b"another") == Reply(201, b"new")


async def test_expired_replies_are_pruned_some_at_a_time(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idempotency, "PRUNED_MAX", 2)
    for number in range(3):
        await _keep(world, key=f"old {number}")
    world.clock.advance(days=1)
    await _keep(world, key="new")
    assert await prune_replies(world.engine, world.clock.now()) == 2
    assert await prune_replies(world.engine, world.clock.now()) == 1
    assert await prune_replies(world.engine, world.clock.now()) == 0
    assert await _count(world) == 1
