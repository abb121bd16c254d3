import pytest

from app.store.endpoints import endpoint_secrets
from app.store.migrate import reseal_secrets
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
