"""A whole gateway for tests: real store, real sockets, a provider that signs, and short waits."""

import itertools
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from adapters.request import NativeRequest
from app.clock import Clock
from app.gateway import Gateway
from app.ingest import Answer
from app.settings import Settings, load_settings
from app.signer import generate_secret
from app.store.endpoints import NewEndpoint, create_endpoint
from app.store.sources import NewSource, create_source

LOOPBACK = ("127.0.0.0/8", "::1/128")
ENVIRONMENT = 1


def settings_for(database_url: str, folder: Path, **others: Any) -> Settings:
    """Settings of a gateway that may send to loopback and looks for due work every 20 ms."""
    return load_settings(
        **{
            "database_url": database_url,
            "data_dir": folder,
            "allow_networks": LOOPBACK,
            "poll_interval_s": 0.02,
            "api_key": "mw_live_for_the_tests",
            **others,
        }
    )


@asynccontextmanager
async def opened(settings: Settings, clock: Clock | None = None) -> AsyncIterator[Gateway]:
    """The gateway, closed at the end."""
    gateway = await Gateway.open(settings, clock)
    try:
        yield gateway
    finally:
        await gateway.close()


class Account:
    """A simulated provider account and the source that receives from it."""

    def __init__(self, gateway: Gateway, provider: str, name: str, signing: Mapping[str, str]) -> None:
        self._gateway = gateway
        self._adapter = gateway.catalog.get(provider)
        self._name = name
        self.signing = signing
        self._numbers = itertools.count(1)

    def request(self, *native_types: str, recipient: str = "ada@example.com", at: float | None = None) -> NativeRequest:
        """A native, signed request; each call has fresh ids."""
        return self._adapter.sample_request(
            native_types,
            signing=self.signing,
            url=f"http://127.0.0.1:8420/api/webhooks/{self._name}",
            at=at if at is not None else self._gateway.clock.ms() / 1000,
            recipient=recipient,
            unique=lambda: f"{next(self._numbers):012d}",
        )

    async def post(self, *native_types: str, recipient: str = "ada@example.com") -> Answer:
        """Sends such a request to the gateway's inbound flow."""
        return await self.send(self.request(*native_types, recipient=recipient))

    async def send(self, request: NativeRequest) -> Answer:
        """Sends that request."""
        return await self._gateway.ingest.receive(self._name, request)


async def add_account(gateway: Gateway, provider: str, name: str | None = None) -> Account:
    """Adds a source for the provider with a key made for it."""
    stored, signing = gateway.catalog.get(provider).verification.generate()
    name = name or provider
    secrets = {secret: [text] for secret, text in stored.items()}
    source = NewSource(name=name, provider=provider, secrets=secrets, options={}, verification="required")
    await create_source(gateway.engine, gateway.vault, ENVIRONMENT, source, gateway.clock.now())
    await gateway.registry.reload()
    return Account(gateway, provider, name, signing)


async def add_endpoint(gateway: Gateway, url: str, events: str = "*", **others: Any) -> tuple[int, str]:
    """Adds an endpoint; its id and secret."""
    secret = generate_secret()
    new = NewEndpoint(url=url, events=events, secrets=[secret], **others)
    endpoint = await create_endpoint(gateway.engine, gateway.vault, ENVIRONMENT, new, gateway.clock.now())
    await gateway.registry.reload()
    return endpoint.id, secret
