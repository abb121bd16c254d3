"""What is in memory: opened once, as the rows are now, and no row's fault is another's."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import structlog

from app.gateway import Gateway
from app.registry import Endpoint
from app.store.endpoints import EndpointChange, change_endpoint
from app.store.sources import list_sources
from app.store.tables import EndpointRow, EnvironmentRow, SourceRow, table_of
from app.vault import Vault
from tests.gateways import Account, add_account, add_endpoint, opened, settings_for

pytestmark = pytest.mark.anyio

NOWHERE = "http://127.0.0.1:9/"
"""Nobody listens at the discard port."""


@pytest.fixture
async def gateway(database_url: str, tmp_path: Path) -> AsyncIterator[Gateway]:
    async with opened(settings_for(database_url, tmp_path)) as gateway:
        yield gateway


async def _spoil(gateway: Gateway, row: Any, **fields: Any) -> None:
    """Changes the rows of a table behind everybody's back."""
    environment = table_of(EnvironmentRow)
    async with gateway.engine.begin() as connection:
        await connection.execute(sa.update(environment).values(config_version=environment.c.config_version + 1))
        await connection.execute(sa.update(table_of(row)).values(fields))


def _known(gateway: Gateway, endpoint_id: int) -> Endpoint:
    endpoint = gateway.registry.endpoint(endpoint_id)
    assert endpoint is not None
    return endpoint


async def test_only_a_changed_endpoint_is_opened_anew(gateway: Gateway) -> None:
    first, _ = await add_endpoint(gateway, NOWHERE, filter="type")
    second, _ = await add_endpoint(gateway, NOWHERE, filter="type")
    before = {number: _known(gateway, number) for number in (first, second)}
    change = EndpointChange(headers={"X-Tenant": "7"})
    await change_endpoint(gateway.engine, gateway.vault, 1, second, change, gateway.clock.now())
    await gateway.registry.reload()
    assert _known(gateway, first) is before[first]
    assert _known(gateway, second) is not before[second]
    assert _known(gateway, second).headers == {"X-Tenant": "7"}


async def test_the_log_of_attempts_keeps_an_endpoints_own_headers_by_name(gateway: Gateway) -> None:
    number, _ = await add_endpoint(gateway, NOWHERE, headers={"Authorization": "Bearer SUPERSECRET"})
    shown = _known(gateway, number).shown_headers({"webhook-id": "evt_1"})
    assert shown == {"Authorization": "(hidden)", "webhook-id": "evt_1"}


async def test_an_endpoint_whose_filter_cannot_be_read_stands_still_alone(gateway: Gateway) -> None:
    account = await add_account(gateway, "sendgrid")
    number, _ = await add_endpoint(gateway, NOWHERE, "open")
    with structlog.testing.capture_logs() as lines:
        await _spoil(gateway, EndpointRow, filter="a ||")
        assert (await account.post("open")).status == 200
        await add_account(gateway, "resend")
    assert not _known(gateway, number).active
    assert "the endpoint cannot be used" in _known(gateway, number).why_held
    told = [line for line in lines if line["event"] == "endpoint.unreadable"]
    assert [line["endpoint_id"] for line in told] == [number]
    change = EndpointChange(filter=None)
    await change_endpoint(
        gateway.engine, gateway.vault, 1, number, change, gateway.clock.now(), gateway.registry.reload
    )
    assert _known(gateway, number).active


async def test_an_endpoint_whose_secret_cannot_be_opened_stands_still_alone(gateway: Gateway) -> None:
    account = await add_account(gateway, "sendgrid")
    number, _ = await add_endpoint(gateway, NOWHERE, "open")
    await _spoil(gateway, EndpointRow, secrets_sealed=Vault(["another key"]).seal(["whsec_1"]))
    assert (await account.post("open")).status == 200
    assert not _known(gateway, number).active
    assert "MAILWEIR_SECRET_KEY" in _known(gateway, number).why_held


async def test_a_source_whose_secrets_cannot_be_opened_asks_to_come_again_alone(gateway: Gateway) -> None:
    account = await add_account(gateway, "sendgrid")
    await _spoil(gateway, SourceRow, secrets_sealed=Vault(["another key"]).seal({"public_key": ["x"]}))
    other = await add_account(gateway, "resend")
    assert (await account.post("open")).status == 503
    assert (await _post_by_shape(gateway, account)).status == 503
    assert (await other.post("email.bounced")).status == 200
    listed = await list_sources(gateway.engine, gateway.vault, 1)
    assert [source.secrets for source in listed] == [{"signing_secret": "set"}, {"(unreadable)": "set"}]


async def test_a_readable_source_of_the_same_shape_goes_first(gateway: Gateway) -> None:
    await add_account(gateway, "sendgrid", "broken")
    await _spoil(gateway, SourceRow, secrets_sealed=Vault(["another key"]).seal({"public_key": ["x"]}))
    account = await add_account(gateway, "sendgrid", "whole")
    assert (await _post_by_shape(gateway, account)).status == 200


async def _post_by_shape(gateway: Gateway, account: Account):
    return await gateway.ingest.receive(None, account.request("open"))
