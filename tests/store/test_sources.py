import pytest

from app.store.errors import NameTaken
from app.store.sources import (
    NewSource,
    SourceChange,
    change_source,
    changed_secrets,
    create_source,
    delete_source,
    get_source,
    list_sources,
    source_secrets,
)
from app.store.tables import SourceRow
from app.vault import Vault, VaultError
from tests.store.world import World

pytestmark = pytest.mark.anyio

NEW = NewSource(
    name="prod", provider="ses", secrets={"signing_secret": ["secret-1", "secret-2"]}, options={"topic_arns": ["arn"]}
)


async def _create(world: World, new: NewSource = NEW):
    return await create_source(world.engine, world.vault, world.environment_id, new, world.clock.now())


async def _change(world: World, change: SourceChange, name: str = "prod"):
    return await change_source(world.engine, world.vault, world.environment_id, name, change, world.clock.now())


async def _secrets(world: World, name: str = "prod"):
    return await source_secrets(world.engine, world.vault, world.environment_id, name)


async def test_a_source_is_shown_without_its_secrets(world: World) -> None:
    created = await _create(world)
    assert created.secrets == {"signing_secret": "set (2)"}
    assert created.options == {"topic_arns": ["arn"]}
    assert created.verification == "required"
    assert created.created_at == "2026-03-03T08:15:00.000Z"
    assert await get_source(world.engine, world.vault, 1, "prod") == created
    assert await list_sources(world.engine, world.vault, 1) == [created]
    assert await _secrets(world) == NEW.secrets


async def test_secrets_are_sealed_in_the_database(world: World) -> None:
    await _create(world)
    row = await world.row(SourceRow)
    assert b"secret-1" not in row.secrets_sealed
    with pytest.raises(VaultError, match="MAILWEIR_SECRET_KEY"):
        await source_secrets(world.engine, Vault(["another key"]), 1, "prod")


async def test_a_source_whose_secrets_cannot_be_opened_is_listed_and_not_changed(world: World) -> None:
    await _create(world)
    other = Vault(["another key"])
    listed = await list_sources(world.engine, other, 1)
    assert [source.secrets for source in listed] == [{"(unreadable)": "set"}]
    change = SourceChange(secrets={"token": ["another"]})
    with pytest.raises(VaultError, match="MAILWEIR_SECRET_KEY"):
        await change_source(world.engine, other, 1, "prod", change, world.clock.now())
    assert await _secrets(world) == NEW.secrets


async def test_a_name_is_taken_once_over_all_environments(world: World, other_world: World) -> None:
    await _create(world)
    with pytest.raises(NameTaken, match="prod"):
        await _create(world)
    with pytest.raises(NameTaken):
        await _create(other_world)


async def test_sources_are_listed_by_name(world: World) -> None:
    for name in ("b", "c", "a"):
        await _create(world, NewSource(name=name, provider="generic"))
    assert [source.name for source in await list_sources(world.engine, world.vault, 1)] == ["a", "b", "c"]


async def test_a_change_touches_what_it_names_and_nothing_else(world: World) -> None:
    created = await _create(world)
    world.clock.advance(60)
    changed = await _change(world, SourceChange(verification="none"))
    assert changed is not None
    assert (changed.verification, changed.options, changed.secrets) == ("none", created.options, created.secrets)
    assert changed.updated_at == "2026-03-03T08:16:00.000Z"
    changed = await _change(world, SourceChange(options={}))
    assert changed is not None
    assert (changed.verification, changed.options) == ("none", {})


async def test_secrets_are_changed_name_by_name(world: World) -> None:
    await _create(world)
    await _change(world, SourceChange(secrets={"basic_auth": ["user:password"]}))
    assert await _secrets(world) == {"signing_secret": ["secret-1", "secret-2"], "basic_auth": ["user:password"]}
    await _change(world, SourceChange(secrets={"signing_secret": None, "basic_auth": ["user:new"]}))
    assert await _secrets(world) == {"basic_auth": ["user:new"]}


def test_an_empty_list_removes_a_secret_too() -> None:
    assert changed_secrets({"token": ["a"]}, {"token": []}) == {}


async def test_a_deleted_source_takes_its_secrets_along_and_frees_its_name(world: World) -> None:
    await world.receipt(await world.source("prod"))
    assert await delete_source(world.engine, world.vault, 1, "prod", world.clock.now())
    assert await get_source(world.engine, world.vault, 1, "prod") is None
    assert await _secrets(world) is None
    assert await list_sources(world.engine, world.vault, 1) == []
    row = await world.row(SourceRow)
    assert world.vault.open(row.secrets_sealed) == {}
    assert not await delete_source(world.engine, world.vault, 1, "prod", world.clock.now())
    assert (await _create(world)).secrets == {"signing_secret": "set (2)"}


async def test_every_change_raises_the_config_version(world: World) -> None:
    before = await world.config_version()
    await _create(world)
    await _change(world, SourceChange(options={}))
    await delete_source(world.engine, world.vault, 1, "prod", world.clock.now())
    assert await world.config_version() == before + 3


async def test_a_refused_source_leaves_the_version_alone(world: World) -> None:
    await _create(world)
    before = await world.config_version()
    with pytest.raises(NameTaken):
        await _create(world)
    assert await world.config_version() == before


async def test_another_environments_source_is_not_there(world: World, other_world: World) -> None:
    await _create(world)
    assert await get_source(world.engine, world.vault, 2, "prod") is None
    assert await _secrets(other_world) is None
    assert await _change(other_world, SourceChange(options={})) is None
    assert not await delete_source(world.engine, world.vault, 2, "prod", world.clock.now())
    assert await list_sources(world.engine, world.vault, 2) == []
    assert await get_source(world.engine, world.vault, 1, "prod") is not None
