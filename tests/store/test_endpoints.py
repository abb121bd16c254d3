from typing import Any

import pytest

from app.store.endpoints import (
    EndpointChange,
    change_endpoint,
    delete_endpoint,
    drop_held,
    enable_endpoint,
    endpoint_secrets,
    get_endpoint,
    list_endpoints,
)
from app.store.tables import DELIVERY_STATUSES, DeliveryRow, EndpointRow, table_of
from app.vault import Vault, VaultError
from tests.store.world import World

pytestmark = pytest.mark.anyio


async def _change(world: World, endpoint_id: int, **fields: Any):
    change = EndpointChange(**fields)
    return await change_endpoint(world.engine, world.vault, 1, endpoint_id, change, world.clock.now())


async def _one_of_each(world: World, endpoint_id: int) -> dict[str, int]:
    event_id = await world.event()
    return {status: await world.delivery(event_id, endpoint_id, status) for status in DELIVERY_STATUSES}


async def _statuses(world: World, deliveries: dict[str, int]) -> dict[str, str]:
    return {before: await world.status(delivery_id) for before, delivery_id in deliveries.items()}


async def test_an_endpoint_is_shown_as_it_was_given_but_for_its_secrets(world: World) -> None:
    created = await world.endpoint(
        events="open,Bounced",
        secrets=["whsec_new", "whsec_old"],
        filter="type == 'email.open'",
        headers={"X-Tenant": "a"},
        retry_schedule_s=[1, 2.5],
        rate_limit_per_s=0.5,
    )
    assert (created.id, created.events, created.active) == (1, "open,Bounced", True)
    assert (created.headers, created.retry_schedule_s, created.timeout_s) == ({"X-Tenant": "(hidden)"}, [1, 2.5], None)
    assert created.created_at == "2026-03-03T08:15:00.000Z"
    assert await get_endpoint(world.engine, 1, 1) == created
    assert await endpoint_secrets(world.engine, world.vault, 1, 1) == ["whsec_new", "whsec_old"]
    assert "whsec" not in repr(created)


async def test_secrets_are_sealed_in_the_database(world: World) -> None:
    await world.endpoint(secrets=["whsec_new"])
    assert b"whsec" not in (await world.row(EndpointRow)).secrets_sealed
    with pytest.raises(VaultError):
        await endpoint_secrets(world.engine, Vault(["another key"]), 1, 1)


async def test_endpoints_are_listed_oldest_first(world: World) -> None:
    for name in ("c", "a", "b"):
        await world.endpoint(f"https://{name}.example.com/")
    assert [endpoint.id for endpoint in await list_endpoints(world.engine, 1)] == [1, 2, 3]


async def test_a_change_touches_what_it_names_and_nothing_else(world: World) -> None:
    created = await world.endpoint(filter="type", timeout_s=3)
    world.clock.advance(1)
    changed = await _change(world, 1, timeout_s=None, secrets=["whsec_2", "whsec_1"])
    assert changed is not None
    assert (changed.timeout_s, changed.filter, changed.url) == (None, "type", created.url)
    assert changed.updated_at == "2026-03-03T08:15:01.000Z"
    assert await endpoint_secrets(world.engine, world.vault, 1, 1) == ["whsec_2", "whsec_1"]


async def test_an_endpoint_added_inactive_says_that_it_is_paused(world: World) -> None:
    created = await world.endpoint(active=False)
    assert (created.active, created.disabled_reason) == (False, "paused")


async def test_a_paused_endpoint_keeps_what_it_is_owed_and_gets_it_when_enabled(world: World) -> None:
    await world.endpoint()
    await world.endpoint("https://other.example.com/")
    deliveries = await _one_of_each(world, 1)
    others = await _one_of_each(world, 2)
    paused = await world.pause(1)
    assert paused is not None
    assert (paused.active, paused.disabled_reason) == (False, "paused")
    same = {status: status for status in DELIVERY_STATUSES}
    assert await _statuses(world, deliveries) == same | {"pending": "held"}
    assert await _statuses(world, others) == same
    held = await world.row(DeliveryRow, table_of(DeliveryRow).c.id == deliveries["pending"])
    assert held.error == "the endpoint is not active"

    world.clock.advance(days=1)
    enabled = await enable_endpoint(world.engine, 1, 1, world.clock.now())
    assert enabled is not None
    assert (enabled.active, enabled.disabled_reason) == (True, None)
    assert await _statuses(world, deliveries) == same | {"held": "pending", "queued": "pending"}
    row = await world.row(DeliveryRow, table_of(DeliveryRow).c.id == deliveries["held"])
    assert (row.due_at, row.error) == (world.clock.now(), None)


async def test_dropping_cancels_what_an_inactive_endpoint_was_owed(world: World) -> None:
    await world.endpoint(active=False)
    await world.endpoint("https://other.example.com/")
    deliveries, others = await _one_of_each(world, 1), await _one_of_each(world, 2)
    world.clock.advance(1)
    assert await drop_held(world.engine, 1, 1, world.clock.now()) == 3
    same = {status: status for status in DELIVERY_STATUSES}
    assert await _statuses(world, deliveries) == same | dict.fromkeys(("queued", "pending", "held"), "cancelled")
    assert await _statuses(world, others) == same
    row = await world.row(DeliveryRow, table_of(DeliveryRow).c.id == deliveries["held"])
    assert (row.error, row.finished_at) == ("dropped when the endpoint was enabled", world.clock.now())


async def test_dropping_leaves_what_an_active_endpoint_is_about_to_get(world: World) -> None:
    await world.endpoint()
    deliveries = await _one_of_each(world, 1)
    assert await drop_held(world.engine, 1, 1, world.clock.now()) == 1
    assert (await world.status(deliveries["pending"]), await world.status(deliveries["held"])) == (
        "pending",
        "cancelled",
    )


async def test_dropping_leaves_what_came_after_the_call(world: World) -> None:
    await world.endpoint(active=False)
    called_at = world.clock.now()
    world.clock.advance(1)
    deliveries = await _one_of_each(world, 1)
    assert await drop_held(world.engine, 1, 1, called_at) == 0
    assert await world.status(deliveries["held"]) == "held"


async def test_a_change_of_active_pauses_and_resumes(world: World) -> None:
    await world.endpoint()
    delivery_id = await world.delivery(await world.event(), 1)
    paused = await _change(world, 1, active=False)
    assert paused is not None
    assert (paused.disabled_reason, await world.status(delivery_id)) == ("paused", "held")
    await _change(world, 1, active=True)
    assert await world.status(delivery_id) == "pending"


async def test_deleting_an_endpoint_cancels_what_it_is_owed_and_forgets_its_secrets(world: World) -> None:
    await world.endpoint()
    deliveries = await _one_of_each(world, 1)
    assert await delete_endpoint(world.engine, world.vault, 1, 1, world.clock.now())
    assert await get_endpoint(world.engine, 1, 1) is None
    assert await list_endpoints(world.engine, 1) == []
    same = {status: status for status in DELIVERY_STATUSES}
    cancelled = dict.fromkeys(("queued", "pending", "sending", "held"), "cancelled")
    assert await _statuses(world, deliveries) == same | cancelled
    assert world.vault.open((await world.row(EndpointRow)).secrets_sealed) == []
    row = await world.row(DeliveryRow, table_of(DeliveryRow).c.id == deliveries["sending"])
    assert (row.lease_node, row.lease_until, row.finished_at) == (None, None, world.clock.now())
    assert not await delete_endpoint(world.engine, world.vault, 1, 1, world.clock.now())
    assert await enable_endpoint(world.engine, 1, 1, world.clock.now()) is None


async def test_who_sends_knows_of_a_change_before_deliveries_move(world: World) -> None:
    await world.endpoint(active=False)
    delivery_id = await world.delivery(await world.event(), 1, "held")
    seen = list[tuple[bool, str]]()

    async def look() -> None:
        endpoint = await get_endpoint(world.engine, 1, 1)
        seen.append((endpoint is not None and endpoint.active, await world.status(delivery_id)))

    now = world.clock.now()
    await enable_endpoint(world.engine, 1, 1, now, look)
    await world.pause(1, look)
    await change_endpoint(world.engine, world.vault, 1, 1, EndpointChange(active=True), now, look)
    await delete_endpoint(world.engine, world.vault, 1, 1, now, look)
    assert seen == [(True, "held"), (False, "pending"), (True, "held"), (False, "pending")]
    assert await world.status(delivery_id) == "cancelled"


async def test_the_values_of_headers_are_sealed_and_not_shown(world: World) -> None:
    created = await world.endpoint(headers={"Authorization": "Bearer SUPERSECRET"})
    assert created.headers == {"Authorization": "(hidden)"}
    row = await world.row(EndpointRow)
    assert "SUPERSECRET" not in repr(row)
    assert world.vault.open(row.headers["Authorization"].encode()) == "Bearer SUPERSECRET"
    await delete_endpoint(world.engine, world.vault, 1, 1, world.clock.now())
    assert (await world.row(EndpointRow)).headers == {}


async def test_every_change_raises_the_config_version(world: World) -> None:
    before = await world.config_version()
    await world.endpoint()
    await _change(world, 1, description="x")
    await world.pause(1)
    await enable_endpoint(world.engine, 1, 1, world.clock.now())
    await delete_endpoint(world.engine, world.vault, 1, 1, world.clock.now())
    assert await world.config_version() == before + 5


async def test_another_environments_endpoint_is_not_there(world: World, other_world: World) -> None:
    theirs = await other_world.endpoint()
    now = world.clock.now()
    assert await get_endpoint(world.engine, 1, theirs.id) is None
    assert await list_endpoints(world.engine, 1) == []
    assert await endpoint_secrets(world.engine, world.vault, 1, theirs.id) is None
    assert await _change(world, theirs.id, active=False) is None
    assert await enable_endpoint(world.engine, 1, theirs.id, now) is None
    assert not await delete_endpoint(world.engine, world.vault, 1, theirs.id, now)
    assert await get_endpoint(world.engine, 2, theirs.id) == theirs
