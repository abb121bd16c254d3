"""What a client may send before anything looks at it."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import uvicorn

from app.web import front
from app.web.front import HEAD_BYTES_MAX, Front

pytestmark = pytest.mark.anyio


async def answer_ok(scope: Any, receive: Any, send: Any) -> None:
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})


@pytest.fixture
async def port() -> AsyncIterator[int]:
    config = uvicorn.Config(answer_ok, port=0, http=Front, ws="none", lifespan="off", log_config=None)
    server = uvicorn.Server(config)
    config.load()
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    yield server.servers[0].sockets[0].getsockname()[1]
    await server.shutdown()


async def said(port: int, *parts: bytes) -> bytes:
    """The first line of what is answered."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0.01)
        return await reader.readline()
    finally:
        writer.close()


async def test_a_head_that_does_not_end_is_cut(port: int) -> None:
    for endless in (b"x-a: " + b"a" * HEAD_BYTES_MAX, b"x-a: a\r\n" * (HEAD_BYTES_MAX // 8)):
        assert b" 400 " in await said(port, b"POST / HTTP/1.1\r\nhost: x\r\n", endless)


async def test_long_bodies_are_no_head(port: int) -> None:
    post = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 300000\r\n\r\n"
    for _ in range(2):
        assert b" 200 " in await said(port, post, *[b"b" * 100_000] * 3)


async def test_more_connections_than_there_may_be_are_told_to_come_again(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(front, "CONNECTIONS_MAX", 1)
    _, first = await asyncio.open_connection("127.0.0.1", port)
    assert b" 503 " in await said(port)
    first.close()
    await asyncio.sleep(0.05)
    assert b" 200 " in await said(port, b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
