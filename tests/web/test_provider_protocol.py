"""What providers post, byte for byte: the short way through the server, and what goes the framework's way."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.web.gateways import ADMIN_KEY
from tests.web.live import Live, live

pytestmark = pytest.mark.anyio

WITHIN_S = 10.0
BODY_BYTES_MAX = 4_096
EVENT = {"type": "email.open", "email_id": "m1", "recipient": "a@example.com", "timestamp": "2026-03-03T08:15:00Z"}


class Reply(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


class Client:
    """A provider that writes its bytes as it likes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer

    def post(self, body: bytes, *lines: str, path: str = "/api/webhooks/own", version: str = "1.1") -> None:
        length = [] if any(line.startswith("Transfer-Encoding") for line in lines) else [f"Content-Length: {len(body)}"]
        head = [f"POST {path} HTTP/{version}", "Host: x", "Content-Type: application/json", *length, *lines]
        self.writer.write("\r\n".join([*head, f"Authorization: Bearer {ADMIN_KEY}", "", ""]).encode() + body)

    async def reply(self) -> Reply:
        async with asyncio.timeout(WITHIN_S):
            head = await self._reader.readuntil(b"\r\n\r\n")
            first, *lines = head.decode("latin-1").strip().split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            body = await self._reader.readexactly(int(headers.get("content-length", "0")))
        return Reply(int(first.split()[1]), headers, body)

    async def ended(self) -> bool:
        async with asyncio.timeout(WITHIN_S):
            return await self._reader.read() == b""


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Live]:
    database_url = f"sqlite+aiosqlite:///{tmp_path}/m.db"
    async with live(database_url, tmp_path, body_bytes_max=BODY_BYTES_MAX, keep_alive_s=1) as serving:
        source = {"name": "own", "provider": "generic", "secrets": {}, "verification": "required"}
        assert (await serving.api.post("/api/sources", json=source)).status_code == 201
        yield serving


@asynccontextmanager
async def connected(gateway: Live) -> AsyncIterator[Client]:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(gateway.url.rpartition(":")[2]))
    try:
        yield Client(reader, writer)
    finally:
        writer.close()


def event(number: int) -> bytes:
    return json.dumps({**EVENT, "email_id": f"m{number}"}).encode()


async def stored(gateway: Live) -> set[str]:
    listed = (await gateway.api.get("/api/events")).json()["data"]
    return {found["email_id"] for found in listed}


async def test_one_connection_posts_again_and_again(gateway: Live) -> None:
    async with connected(gateway) as client:
        for number in range(3):
            client.post(event(number))
            reply = await client.reply()
            assert (reply.status, json.loads(reply.body)) == (200, {"received": True})
            assert reply.headers["content-type"] == "application/json"
            assert "date" in reply.headers
            assert "connection" not in reply.headers
    assert await stored(gateway) == {"m0", "m1", "m2"}


async def test_requests_that_do_not_wait_for_answers_are_answered_in_their_order(gateway: Live) -> None:
    async with connected(gateway) as client:
        client.post(event(1))
        client.post(b"{}", path="/api/webhooks/nobody")
        client.post(event(2))
        client.writer.write(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        client.post(event(3))
        replies = [await client.reply() for _ in range(5)]
    assert [reply.status for reply in replies] == [200, 404, 200, 200, 200]
    assert json.loads(replies[1].body)["title"] == "Unknown source"
    assert await stored(gateway) == {"m1", "m2", "m3"}


async def test_a_request_may_come_byte_by_byte(gateway: Live) -> None:
    async with connected(gateway) as client:
        sent = bytearray()
        client.writer.write = sent.extend  # type: ignore[method-assign]
        client.post(event(1))
        del client.writer.write
        for byte in sent:
            client.writer.write(bytes((byte,)))
            await asyncio.sleep(0)
        assert (await client.reply()).status == 200
    assert await stored(gateway) == {"m1"}


async def test_a_body_may_come_in_chunks(gateway: Live) -> None:
    body = event(7)
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:9], body[9:])) + b"0\r\n\r\n"
    async with connected(gateway) as client:
        client.post(chunks, "Transfer-Encoding: chunked")
        assert (await client.reply()).status == 200
    assert await stored(gateway) == {"m7"}


@pytest.mark.parametrize("announced", [True, False])
async def test_a_body_that_is_too_large_is_refused_and_the_connection_goes_on(gateway: Live, announced: bool) -> None:
    large = b"x" * (BODY_BYTES_MAX + 1)
    async with connected(gateway) as client:
        if announced:
            client.post(large)
        else:
            client.post(b"%x\r\n%s\r\n0\r\n\r\n" % (len(large), large), "Transfer-Encoding: chunked")
        reply = await client.reply()
        assert reply.status == 413
        assert "MAILWEIR_BODY_BYTES_MAX" in json.loads(reply.body)["detail"]
        client.post(event(1))
        assert (await client.reply()).status == 200


@pytest.mark.parametrize(("version", "line"), [("1.0", "X-A: b"), ("1.1", "Connection: close")])
async def test_who_wants_to_be_left_is_left(gateway: Live, version: str, line: str) -> None:
    async with connected(gateway) as client:
        client.post(event(1), line, version=version)
        reply = await client.reply()
        assert (reply.status, reply.headers["connection"]) == (200, "close")
        assert await client.ended()


async def test_who_asks_first_is_told_to_go_on(gateway: Live) -> None:
    async with connected(gateway) as client:
        client.post(event(1), "Expect: 100-continue")
        assert (await client.reply()).status == 100
        assert (await client.reply()).status == 200


async def test_what_is_no_providers_request_goes_to_the_api(gateway: Live) -> None:
    async with connected(gateway) as client:
        client.post(b"{}", path="/api/webhooks/manage")
        assert (await client.reply()).status == 422
        client.post(b"{}", path="/api/webhooks-else")
        assert (await client.reply()).status == 404
        client.post(event(1), path="/api/webhooks/%6Fwn?a=b")
        assert (await client.reply()).status == 200
        client.writer.write(b"DELETE /api/webhooks/own HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await client.reply()).status == 405


async def test_what_is_not_http_is_refused(gateway: Live) -> None:
    async with connected(gateway) as client:
        client.writer.write(b"POST /api/webhooks/own HTTP/1.1\r\nContent-Length: many\r\n\r\n{}")
        assert (await client.reply()).status == 400
        assert await client.ended()


@pytest.mark.parametrize("url", [b"//[/api/webhooks", b"/api/webhooks/%", b"/api/webhooks/\xff\xfe", b"*"])
async def test_odd_urls_are_answered(gateway: Live, url: bytes) -> None:
    async with connected(gateway) as client:
        client.writer.write(b"POST " + url + b" HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}")
        assert 400 <= (await client.reply()).status < 500


async def test_who_hangs_up_leaves_nothing_behind(gateway: Live) -> None:
    async with connected(gateway) as client:
        client.writer.write(b"POST /api/webhooks/own HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
        await client.writer.drain()
    async with connected(gateway) as client:
        client.post(event(1))
    async with connected(gateway) as client:
        client.post(event(2))
        assert (await client.reply()).status == 200
    assert "m2" in await stored(gateway)


async def test_a_connection_is_closed_when_nothing_has_come_for_long(gateway: Live) -> None:
    async with connected(gateway) as client:
        for number in range(3):
            client.post(event(number))
            assert (await client.reply()).status == 200
            await asyncio.sleep(0.6)
        assert await client.ended()


async def test_a_request_under_way_keeps_its_connection(gateway: Live) -> None:
    async with connected(gateway) as client:
        client.post(event(1))
        assert (await client.reply()).status == 200
        client.writer.write(b"POST /api/webhooks/nobody HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{")
        await asyncio.sleep(1.5)
        client.writer.write(b"}")
        assert (await client.reply()).status == 404
