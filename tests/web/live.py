"""A gateway on a real port in the tests' own event loop, and clients that follow its stream."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from app.gateway import Gateway
from app.settings import load_settings
from app.web.provider_protocol import ProviderProtocol
from tests.servers import PLAIN
from tests.web.gateways import ADMIN_KEY, application, with_key

WITHIN_S = 20.0


@dataclass
class Live:
    """The running gateway, and a client with the admin key."""

    url: str
    gateway: Gateway
    api: httpx.AsyncClient

    async def add_source(self, name: str = "shop", provider: str = "generic") -> None:
        source = {"name": name, "provider": provider, "verification": "none"}
        added = await self.api.post("/api/sources", json=source)
        assert added.status_code == 201, added.text

    async def post(self, email_id: str, type_: str = "email.delivered", source: str = "shop", **fields: Any) -> None:
        """One event through the inbound route."""
        event = {"recipient": "ann@example.com", "timestamp": "2026-03-03T08:15:00Z", **fields}
        posted = await self.api.post(
            f"/api/webhooks/{source}", json={"type": type_, "email_id": email_id, "id": email_id, **event}
        )
        assert posted.status_code == 200, posted.text

    @asynccontextmanager
    async def stream(self, headers: Mapping[str, str] | None = None, **query: Any) -> AsyncIterator["SentEvents"]:
        """The events that a client gets that asks for the stream."""
        async with self.api.stream("GET", "/api/stream", params=query, headers=headers) as answer:
            assert answer.status_code == 200, await answer.aread()
            yield SentEvents(answer)


@dataclass
class Sent:
    """One server-sent event; `type` is empty where it is only an id or a comment."""

    id: str = ""
    type: str = ""
    data: Any = None
    retry: str = ""
    comment: str = ""


class SentEvents:
    """An independent reader of server-sent events."""

    def __init__(self, answer: httpx.Response) -> None:
        self.headers = answer.headers
        self._lines = answer.aiter_lines()

    async def block(self) -> Sent:
        """Everything up to the next empty line."""
        sent = Sent()
        async with asyncio.timeout(WITHIN_S):
            async for line in self._lines:
                if not line:
                    return sent
                name, _, value = line.partition(":")
                value = value.removeprefix(" ")
                match name:
                    case "":
                        sent.comment = value
                    case "event":
                        sent.type = value
                    case "data":
                        sent.data = json.loads(value)
                    case _:
                        setattr(sent, name, value)
        raise EOFError

    async def event(self) -> Sent:
        """The next with data."""
        while not (sent := await self.block()).type:
            pass
        return sent

    async def events(self, count: int) -> list[Sent]:
        return [await self.event() for _ in range(count)]


@asynccontextmanager
async def live(database_url: str, folder: Path, *, keep_alive_s: int = 5, **settings: Any) -> AsyncIterator[Live]:
    """A gateway that answers on a port of its own."""
    chosen = {"allow_networks": "127.0.0.0/8", "data_dir": folder, "api_key": ADMIN_KEY, "poll_interval_s": 0.1}
    with application(load_settings(database_url=database_url, **chosen | settings)) as app:
        protocol: Any = partial(ProviderProtocol, gateway=lambda: app.state.gateway)
        config = uvicorn.Config(
            app,
            http=protocol,
            lifespan="on",
            log_config=None,
            ws="websockets-sansio",
            timeout_graceful_shutdown=2,
            timeout_keep_alive=keep_alive_s,
        )
        server = uvicorn.Server(config)
        listener = socket.create_server(("127.0.0.1", 0))
        serving = asyncio.create_task(server.serve([listener]))
        while not server.started:
            assert not serving.done(), serving.result()
            await asyncio.sleep(0.01)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        try:
            headers = with_key(ADMIN_KEY)
            async with httpx.AsyncClient(base_url=url, headers=headers, timeout=WITHIN_S, verify=PLAIN) as api:
                yield Live(url, app.state.gateway, api)
        finally:
            await app.state.gateway.stream.close()
            server.should_exit = True
            await serving
