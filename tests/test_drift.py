"""What a provider sends that its mapping does not name: counted, shown, and read again when the mapping was mended."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from adapters.reader import Unnamed
from app import drift, mapping_files
from app.drift import SAMPLE_CHARS_MAX
from app.store.drift import NAMES_MAX
from tests.servers import sink as serve
from tests.web.gateways import Api, add_endpoint, gateway_of, serving, with_key

pytestmark = pytest.mark.anyio

ACME = """provider: acme
verify: none
native_type: type
fields: {recipient: to, timestamp: at}
types: {gone: email.bounced}
"""
GONE = {"type": "gone", "to": "ann@example.com", "at": 1_772_525_700}


@pytest.fixture
async def api(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Api]:
    """A gateway with a source of a mapping of our own, in a folder that is looked at often."""
    monkeypatch.setattr(mapping_files, "LOOK_INTERVAL_S", 0.02)
    own = tmp_path / "own"
    own.mkdir()
    (own / "acme.yaml").write_text(ACME)
    async with serving(database_url, tmp_path, mappings_dir=own) as client:
        added = await client.post("/api/sources", json={"name": "shop", "provider": "acme", "verification": "none"})
        assert added.status_code == 201, added.text
        yield client


async def post(api: Api, *items: dict[str, Any]) -> None:
    answer = await api.post("/api/webhooks/shop", json=[GONE | item for item in items])
    assert answer.status_code == 200, answer.text


async def drift_of(api: Api, source: str = "shop") -> dict[str, dict[str, Any]]:
    answer = await api.get(f"/api/sources/{source}/drift")
    assert answer.status_code == 200, answer.text
    return {line["name"]: line for line in answer.json()["data"]}


async def test_keys_and_types_that_are_not_named_are_counted_with_a_sample(api: Api) -> None:
    await post(api, {"via": "mx1"}, {"to": "bob@example.com", "via": "mx2", "hops": [1, 2]})
    await post(api, {"type": "moved"})
    found = await drift_of(api)
    assert {name: (line["kind"], line["count"]) for name, line in found.items()} == {
        "via": ("key", 2),
        "hops": ("key", 1),
        "moved": ("type", 1),
    }
    assert found["via"]["sample"] == "mx1"
    assert json.loads(found["hops"]["sample"]) == [1, 2]
    assert json.loads(found["moved"]["sample"]) == GONE | {"type": "moved"}
    assert not any(line["named"] for line in found.values())
    receipts = {line["id"] for line in (await api.get("/api/receipts")).json()["data"]}
    assert {line["receipt_id"] for line in found.values()} == receipts
    await post(api, {"to": "cem@example.com", "via": "mx3"})
    assert (await drift_of(api))["via"]["count"] == 3


async def test_what_did_not_verify_is_not_counted(api: Api) -> None:
    secret = {"signing_secret": "a key of some length"}
    await api.post("/api/sources", json={"name": "forged", "provider": "generic", "secrets": secret})
    answer = await api.post("/api/webhooks/forged", json=[{"type": "made.up"}], headers=with_key(None))
    assert answer.status_code == 401
    assert await drift_of(api, "forged") == {}


async def test_a_source_that_is_not_there_has_no_drift(api: Api) -> None:
    for name in ("other", "%00", "Shop"):
        assert (await api.get(f"/api/sources/{name}/drift")).status_code == 404


async def test_long_and_odd_names_and_values_are_cut_and_stored(api: Api) -> None:
    long = "k" * 150
    await post(api, {long: "v" * 1000, "nul\0key": "a\0b", "deep": {"list": ["x" * 400, "y" * 400]}})
    found = await drift_of(api)
    assert found.keys() == {"k" * 100, "nulkey", "deep"}
    assert (len(found["k" * 100]["sample"]), found["nulkey"]["sample"]) == (SAMPLE_CHARS_MAX, "ab")
    assert len(found["deep"]["sample"]) == SAMPLE_CHARS_MAX


async def test_a_flood_of_names_is_bounded(api: Api) -> None:
    for start in range(0, 3 * NAMES_MAX, NAMES_MAX):
        await post(api, {"to": f"{start}@example.com", **{f"k{start + number}": 1 for number in range(NAMES_MAX)}})
        assert len(await drift_of(api)) == NAMES_MAX


async def test_tallies_are_written_now_and_then_and_at_the_end(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, api: Api
) -> None:
    drifts = gateway_of(api).drifts
    await post(api, {"via": "mx1"})
    monkeypatch.setattr(drift, "WRITE_INTERVAL_S", 0.01)
    drifts.start()
    async with asyncio.timeout(10):
        while drifts._tallies:  # pyright: ignore[reportPrivateUsage]
            await asyncio.sleep(0.01)
    assert (await drift_of(api))["via"]["count"] == 1


async def test_what_is_being_written_is_not_lost_with_who_asked_for_it(api: Api) -> None:
    gateway = gateway_of(api)
    for turns in range(4):
        gateway.drifts.note(1, gateway.ids.next(), [Unnamed(0, None, ["via"], {"via": "mx1"})])
        asking = asyncio.create_task(gateway.drifts.write())
        for _ in range(turns):
            await asyncio.sleep(0)
        asking.cancel()
        await asyncio.wait({asking})
    assert (await drift_of(api))["via"]["count"] == 4


async def test_a_key_costs_one_addition_when_it_comes_again(api: Api) -> None:
    gateway = gateway_of(api)
    gateway.drifts.note(1, gateway.ids.next(), [Unnamed(0, None, ["via"], {"via": "mx1"})] * 1000)
    assert (await drift_of(api))["via"]["count"] == 1000


async def test_a_mended_mapping_turns_what_was_quarantined_into_events(api: Api, tmp_path: Path) -> None:
    async with serve() as subscriber:
        await add_endpoint(api, url=subscriber.url)
        await post(api, {"type": "moved"})
        (receipt,) = (await api.get("/api/receipts?status=quarantined")).json()["data"]
        assert (await drift_of(api))["moved"]["receipt_id"] == receipt["id"]
        (tmp_path / "own" / "acme.yaml").write_text(ACME.replace("{gone:", "{moved: email.bounced, gone:"))
        async with asyncio.timeout(10):
            while not (await drift_of(api))["moved"]["named"]:
                await asyncio.sleep(0.01)
        done = (await api.post("/api/receipts/reprocess", json={"source": "shop"})).json()
        assert done == {"receipts": 1, "events": 1, "quarantined": 0, "skipped": 0, "next_cursor": None}
        (request,) = await subscriber.arrived(1)
        event = request.json()
        assert (event["type"], event["data"]["provider"]["event_type"]) == ("email.bounced", "moved")
        assert (await api.get("/api/receipts?status=quarantined")).json()["data"] == []
