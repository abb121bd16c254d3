import pytest

from app.store import sealing
from app.store.endpoints import endpoint_secrets
from app.store.idempotency import find_reply, keep_reply
from app.store.sealing import reseal_replies, reseal_secrets
from app.store.sources import source_secrets
from app.store.tables import EndpointRow, SourceRow, table_of
from app.store.transactions import writing
from app.vault import Vault, VaultError
from tests.store.world import World

pytestmark = pytest.mark.anyio


async def test_after_a_rotation_the_old_key_is_not_needed_any_more(world: World) -> None:
    old, both, new = Vault(["old"]), Vault(["new", "old"]), Vault(["new"])
    world = world._replace(vault=old)
    await world.source("prod")
    await world.endpoint(secrets=["whsec_1"], headers={"X-Token": "t"})
    assert await source_secrets(world.engine, both, 1, "prod") == {"signing_secret": ["whsec_1"]}
    assert await reseal_secrets(world.engine, both) == 3
    assert await source_secrets(world.engine, new, 1, "prod") == {"signing_secret": ["whsec_1"]}
    assert await endpoint_secrets(world.engine, new, 1, 1) == ["whsec_1"]
    assert new.open((await world.row(EndpointRow)).headers["X-Token"].encode()) == "t"
    assert await reseal_secrets(world.engine, both) == 0


async def test_a_wrong_key_changes_nothing(world: World) -> None:
    await world.source("prod")
    before = await world.row(SourceRow)
    with pytest.raises(VaultError, match="MAILWEIR_SECRET_KEY"):
        await reseal_secrets(world.engine, Vault(["another"]))
    assert await world.row(SourceRow) == before


async def test_headers_that_were_kept_unsealed_are_sealed(world: World) -> None:
    await world.endpoint()
    async with writing(world.engine) as connection:
        await connection.execute(table_of(EndpointRow).update().values(headers={"X-Token": "t"}))
    assert await reseal_secrets(world.engine, world.vault) == 1
    assert world.vault.open((await world.row(EndpointRow)).headers["X-Token"].encode()) == "t"
    assert await reseal_secrets(world.engine, world.vault) == 0


async def test_an_empty_database_has_nothing_to_seal(world: World) -> None:
    assert await reseal_secrets(world.engine, world.vault) == 0


async def test_answers_kept_for_repeated_posts_are_sealed_anew_some_at_a_time(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sealing, "STEP_REPLIES", 2)
    old, both, new = Vault(["old"]), Vault(["new", "old"]), Vault(["new"])
    now = world.clock.now()
    for number in range(5):
        await keep_reply(world.engine, 1, f"key {number}", b"digest", 201, old.seal(f"answer {number}"), now)
    await keep_reply(world.engine, 1, "key of nobody", b"digest", 201, Vault(["lost"]).seal("answer"), now)
    assert await reseal_replies(world.engine, both) == 5
    for number in range(5):
        reply = await find_reply(world.engine, 1, f"key {number}", b"digest", now)
        assert reply is not None
        assert new.open(reply.body) == f"answer {number}"
    assert await reseal_replies(world.engine, both) == 0
