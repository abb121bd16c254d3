"""Mappings that change while the gateway runs."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from adapters.catalog import FILE_BYTES_MAX
from adapters.errors import MappingInvalid
from app import mapping_files
from app.mapping_files import MappingFiles
from tests.web.gateways import Api, gateway_of, serving

pytestmark = pytest.mark.anyio

ACME = """provider: acme
title: {title}
verify: none
native_type: type
fields: {{recipient: to, timestamp: at}}
types: {{gone: email.bounced}}
"""
GONE = {"type": "gone", "to": "ann@example.com", "at": 1_772_525_700}


def acme(title: str = "first") -> str:
    return ACME.format(title=title)


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the user's own mappings, looked at often."""
    monkeypatch.setattr(mapping_files, "LOOK_INTERVAL_S", 0.02)
    folder = tmp_path / "own"
    folder.mkdir()
    return folder


@pytest.fixture
async def api(sqlite_url: str, tmp_path: Path, own: Path) -> AsyncIterator[Api]:
    (own / "acme.yaml").write_text(acme())
    async with serving(sqlite_url, tmp_path, mappings_dir=own) as client:
        yield client


async def until(is_so: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(10):
        while not await is_so():
            await asyncio.sleep(0.01)


async def shown(api: Api, provider: str = "acme") -> dict[str, Any]:
    return (await api.get(f"/api/mappings/{provider}")).json()


async def until_shown(api: Api, title: str, provider: str = "acme") -> None:
    async def is_so() -> bool:
        return (await shown(api, provider)).get("title") == title

    await until(is_so)


async def until_broken(api: Api, *files: str) -> list[dict[str, Any]]:
    """The mistakes, once these files are the broken ones."""
    errors: list[dict[str, Any]] = []

    async def is_so() -> bool:
        errors[:] = (await api.get("/api/mappings")).json()["errors"]
        return [Path(error["file"]).name for error in errors] == list(files)

    await until(is_so)
    return errors


async def test_a_changed_mapping_reads_what_comes_in_from_then_on(api: Api, own: Path) -> None:
    added = await api.post("/api/sources", json={"name": "shop", "provider": "acme", "verification": "none"})
    assert added.status_code == 201, added.text
    await api.post("/api/webhooks/shop", json=GONE)
    (own / "acme.yaml").write_text(acme("second").replace("email.bounced", "email.dropped"))
    await until_shown(api, "second")
    await api.post("/api/webhooks/shop", json=GONE | {"to": "bob@example.com"})
    events = (await api.get("/api/events")).json()["data"]
    assert [event["type"] for event in events] == ["email.dropped", "email.bounced"]


async def test_an_added_mapping_can_be_used_and_a_removed_one_is_gone(api: Api, own: Path) -> None:
    (own / "brand.yaml").write_text(acme().replace("acme", "brand"))
    await until_shown(api, "first", "brand")
    added = await api.post("/api/sources", json={"name": "fresh", "provider": "brand", "verification": "none"})
    assert added.status_code == 201, added.text
    (own / "brand.yaml").unlink()

    async def is_gone() -> bool:
        return (await api.get("/api/mappings/brand")).status_code == 404

    await until(is_gone)
    answer = await api.post("/api/webhooks/fresh", json=GONE)
    assert answer.status_code == 503  # the provider is to come again, when the mapping is back


async def test_a_shipped_mapping_comes_back_when_the_file_in_its_stead_is_removed(api: Api, own: Path) -> None:
    (own / "resend.yaml").write_text(acme("ours").replace("acme", "resend"))
    await until_shown(api, "ours", "resend")
    (own / "resend.yaml").unlink()
    await until_shown(api, "Resend", "resend")


@pytest.mark.parametrize("provider", ["acme", "resend"])
async def test_a_broken_file_leaves_in_force_what_was_and_is_shown(api: Api, own: Path, provider: str) -> None:
    before = await shown(api, provider)
    broken = acme("third").replace("acme", provider).replace("email.bounced", "email.bouncd")
    with capture_logs() as logs:
        (own / f"{provider}.yaml").write_text(broken)
        (error,) = await until_broken(api, f"{provider}.yaml")
        await asyncio.sleep(0.1)
    assert (error["line"], error["key"]) == (6, "types.gone")
    assert "email.bounced" in error["message"]
    assert await shown(api, provider) == before | {"error": error}
    assert [line["file"] for line in logs if line["event"] == "mapping.broken"] == [f"{provider}.yaml"]
    (own / f"{provider}.yaml").write_text(acme("fourth").replace("acme", provider))
    await until_shown(api, "fourth", provider)
    assert (await shown(api, provider))["error"] is None
    assert await until_broken(api) == []


async def test_a_second_file_of_a_provider_waits_until_the_first_is_gone(api: Api, own: Path) -> None:
    (own / "acme.yml").write_text(acme("second"))
    errors = await until_broken(api, "acme.yml")
    assert "acme.yaml is beside it" in errors[0]["message"]
    assert (await shown(api))["title"] == "first"
    (own / "acme.yaml").unlink()
    await until_shown(api, "second")
    assert await until_broken(api) == []


async def test_a_broken_file_of_a_new_provider_is_shown_as_well(api: Api, own: Path) -> None:
    (own / "brand.yaml").write_text("provider: other\n")
    (own / "late.yaml").write_bytes(b"\xff")
    errors = await until_broken(api, "brand.yaml", "late.yaml")
    assert ["verify" in errors[0]["message"], "not UTF-8" in errors[1]["message"]] == [True, True]
    assert (await api.get("/api/mappings/brand")).status_code == 404


async def test_a_mapping_that_cannot_read_its_own_samples_is_broken(api: Api, own: Path) -> None:
    (own / "acme.yaml").write_text(acme("fifth") + "samples: {events: {gone: {type: gone}}}\n")
    (error,) = await until_broken(api, "acme.yaml")
    assert error["key"] == "samples.events.gone"
    assert (await shown(api))["title"] == "first"


async def test_a_folder_that_is_gone_takes_nothing_out_of_force(api: Api, own: Path) -> None:
    elsewhere = own.with_name("elsewhere")
    await asyncio.to_thread(own.rename, elsewhere)
    await asyncio.sleep(0.1)
    assert (await shown(api))["title"] == "first"
    await asyncio.to_thread(elsewhere.rename, own)
    (own / "acme.yaml").write_text(acme("sixth"))
    await until_shown(api, "sixth")


async def test_the_gateway_hands_out_one_catalog(api: Api, own: Path) -> None:
    (own / "acme.yaml").write_text(acme("seventh"))
    await until_shown(api, "seventh")
    gateway = gateway_of(api)
    assert gateway.catalog is gateway.mapping_files.catalog


@pytest.mark.parametrize("wrong", ["provider: acme\n", acme() + "samples: {events: {gone: {type: gone}}}\n"])
def test_at_the_start_a_broken_file_is_refused(own: Path, wrong: str) -> None:
    (own / "acme.yaml").write_text(wrong)
    with pytest.raises(MappingInvalid, match=r"acme\.yaml"):
        MappingFiles(own)


async def test_what_is_no_file_does_not_stop_the_watch(api: Api, own: Path) -> None:
    os.mkfifo(own / "pipe.yaml")
    (own / "folder.yaml").mkdir()
    (own / "zero.yaml").symlink_to("/dev/zero")
    (own / "acme.yaml").write_text(acme("second"))
    await until_shown(api, "second")
    assert (await api.get("/api/mappings")).json()["errors"] == []


async def test_a_file_that_is_too_large_is_told(api: Api, own: Path) -> None:
    (own / "huge.yaml").write_bytes(b"#" * (FILE_BYTES_MAX + 1))

    async def is_told() -> bool:
        return [each["message"] for each in (await api.get("/api/mappings")).json()["errors"]] == [
            f"larger than {FILE_BYTES_MAX} bytes"
        ]

    await until(is_told)
