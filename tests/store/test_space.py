import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from app.store import retention
from app.store.engine import open_engine
from app.store.ids import first_id_at
from app.store.migrate import migrate
from app.store.retention import remove_older, write_with
from app.store.space import Room, give_back, room_in
from tests.store.world import World

pytestmark = pytest.mark.anyio

on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "PAUSE_S", 0.0)
    monkeypatch.setattr(retention, "PAUSE_SHARE", 0.0)


async def room_of(world: World) -> Room | None:
    async with world.engine.connect() as connection:
        return await connection.run_sync(room_in)


async def empty_out(world: World) -> None:
    """Two megabytes of receipts come and go."""
    source_id = await world.source()
    for _ in range(20):
        await world.receipt(source_id, body=b"x" * 100_000)
    world.clock.advance(1)
    await remove_older(write_with(world.engine), first_id_at(world.clock.ms()), lambda _step: None)


@on_sqlite
async def test_a_new_file_gives_back_what_is_free_except_for_a_share(world: World) -> None:
    await empty_out(world)
    before = await room_of(world)
    assert before is not None
    assert before.can_shrink
    assert before.free_bytes > 2_000_000
    assert await give_back(write_with(world.engine)) > 1_000_000
    after = await room_of(world)
    assert after is not None
    assert 0 < after.free <= after.pages * 0.25 < before.free
    await give_back(write_with(world.engine), kept_share=0.0)
    async with world.engine.connect() as connection:
        await connection.execute(sa.text("PRAGMA wal_checkpoint(TRUNCATE)"))
    assert os.stat(world.engine.url.database or "").st_size < 500_000  # noqa: PTH116 - one quick look


@on_sqlite
async def test_a_file_from_before_stays_as_large_until_it_is_rebuilt(world: World) -> None:
    path = Path(world.engine.url.database or "")
    await world.engine.dispose()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA auto_vacuum=NONE")
        connection.execute("VACUUM")
    await empty_out(world)
    room = await room_of(world)
    assert room is not None
    assert not room.can_shrink
    assert room.free_bytes > 2_000_000
    assert await give_back(write_with(world.engine)) == 0
    await world.engine.dispose()
    with closing(sqlite3.connect(path)) as connection:  # what docs/operating.md advises
        connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
        connection.execute("VACUUM")
    rebuilt = await room_of(world)
    assert rebuilt is not None
    assert rebuilt.can_shrink
    assert rebuilt.free == 0


async def test_a_database_made_by_a_first_start_can_shrink(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite+aiosqlite:///{tmp_path}/mailweir.db")
    await migrate(engine)
    async with engine.connect() as connection:
        room = await connection.run_sync(room_in)
    await engine.dispose()
    assert room is not None
    assert room.can_shrink


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_postgresql_is_left_to_itself(world: World) -> None:
    await empty_out(world)
    assert await room_of(world) is None
    assert await give_back(write_with(world.engine)) == 0
