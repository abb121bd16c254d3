import asyncio
import json
import socket
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus

from app.web import wires
from tests.web.gateways import ADMIN_KEY, with_key
from tests.web.live import WITHIN_S, Live, Sent, SentEvents, live

pytestmark = pytest.mark.anyio


def ids(events: list[Sent]) -> list[str]:
    return [event.id for event in events]


def emails(events: list[Sent]) -> list[str]:
    return [event.data["data"]["email_id"] for event in events]


def over_websocket(running: Live, query: str = "", key: str | None = ADMIN_KEY) -> connect:
    url = running.url.replace("http://", "ws://")
    return connect(f"{url}/api/stream/ws?{query}", additional_headers=with_key(key))


async def received(socket: ClientConnection) -> Any:
    async with asyncio.timeout(WITHIN_S):
        return json.loads(await socket.recv())


async def close_of(socket: ClientConnection) -> tuple[int, str]:
    async with asyncio.timeout(WITHIN_S):
        await socket.wait_closed()
    assert socket.close_code is not None
    return socket.close_code, socket.close_reason or ""


async def test_an_event_comes_with_its_id_and_type_as_subscribers_receive_it(database_url: str, tmp_path: Path) -> None:
    async with live(database_url, tmp_path) as running:
        await running.add_source()
        async with running.stream() as stream:
            assert stream.headers["content-type"] == "text/event-stream; charset=utf-8"
            assert stream.headers["x-accel-buffering"] == "no"
            assert (await stream.block()).retry == "2000"
            await running.post("m1")
            event = await stream.event()
    stored = event.data
    assert (event.id, event.type) == (stored["id"], "email.delivered")
    assert stored["data"]["email_id"] == "m1"
    assert stored["data"]["provider"]["source"] == "shop"


@pytest.mark.parametrize(
    "query",
    [
        {"type": "bounce"},
        {"provider": "generic", "type": "email.bounced"},
        {"source": "mail"},
        {"recipient": "eve@example.com"},
        {"email_id": "wanted"},
        {"q": "EVE@ex"},
        {"q": "wanted"},
    ],
)
async def test_a_filter_lets_through_what_the_list_of_events_finds(
    sqlite_url: str, tmp_path: Path, query: dict[str, str]
) -> None:
    async with live(sqlite_url, tmp_path) as running:
        await running.add_source("shop")
        await running.add_source("mail")
        async with running.stream(**query) as stream:
            await running.post("other")
            await running.post("wanted", "email.bounced", "mail", recipient="eve@example.com")
            await running.post("another", "email.open")
            assert emails([await stream.event()]) == ["wanted"]
        listed = (await running.api.get("/api/events", params=query)).json()["data"]
        assert [event["email_id"] for event in listed] == ["wanted"]
        async with running.stream(**query, after="evt_000000000000000") as stream:
            assert emails([await stream.event()]) == ["wanted"]


async def test_a_client_resumes_across_a_restart_without_loss_or_doubles(database_url: str, tmp_path: Path) -> None:
    seen = list[Sent]()
    async with live(database_url, tmp_path) as running:
        await running.add_source()
        async with running.stream() as stream:
            await asyncio.gather(*(running.post(f"a{number}") for number in range(20)))
            seen += await stream.events(7)
        await running.post("while nobody followed")
    async with live(database_url, tmp_path) as running:
        await running.post("before it came again")
        async with running.stream({"Last-Event-ID": seen[-1].id}) as stream:
            posting = asyncio.gather(*(running.post(f"b{number}") for number in range(20)))
            seen += await stream.events(35)
            await posting
        listed = (await running.api.get("/api/events", params={"limit": 200})).json()["data"]
    assert sorted(ids(seen)) == sorted(event["id"] for event in listed)
    assert len(set(ids(seen))) == 42


async def test_a_client_is_told_where_to_resume_before_any_event_came(database_url: str, tmp_path: Path) -> None:
    async with live(database_url, tmp_path) as running:
        await running.add_source()
        await running.post("before")
        async with running.stream() as stream:
            start = await stream.block()
        await running.post("meanwhile")
        async with running.stream({"Last-Event-ID": start.id}) as stream:
            assert emails([await stream.event()]) == ["meanwhile"]


async def test_a_quiet_stream_shows_that_it_lives_and_moves_on(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wires, "HEARTBEAT_S", 0.2)
    async with live(sqlite_url, tmp_path) as running:
        await running.add_source()
        async with running.stream(type="bounce") as stream:
            start = await stream.block()
            await running.post("not asked for")
            beat = await stream.block()
            while beat.id == start.id:
                beat = await stream.block()
            assert (beat.comment, beat.type) == ("still here", "")
            (only,) = (await running.api.get("/api/events")).json()["data"]
            assert beat.id == only["id"]


async def test_a_slow_reader_is_dropped_with_a_reason_while_others_go_on(sqlite_url: str, tmp_path: Path) -> None:
    async with live(sqlite_url, tmp_path, stream_waiting_max=20) as running:
        await running.add_source()
        with socket.socket() as slow:
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            await asyncio.to_thread(_ask_and_read_nothing, slow, running.url)
            async with running.stream() as stream:
                await stream.block()
                await _flood(running, stream)
            answer = await asyncio.to_thread(_read_all, slow)
    *_, last = answer.strip().rpartition(b"\n\n")
    assert b"event: dropped" in answer[-400:]
    assert b'{"reason":"slow","detail":"More than 20 events waited for this client to read them."}' in last


async def _flood(running: Live, stream: SentEvents) -> None:
    """More than the buffers between here and a client hold; this one reads along."""
    for start in range(0, 200, 10):
        await asyncio.gather(*(running.post(f"m{start + more}", subject="x" * 100_000) for more in range(10)))
        assert len(set(emails(await stream.events(10)))) == 10


_UPGRADE = (
    "/ws HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
)


def _ask_and_read_nothing(slow: socket.socket, url: str, how: str = " HTTP/1.1") -> None:
    slow.settimeout(WITHIN_S)
    slow.connect(("127.0.0.1", urlsplit(url).port))
    slow.sendall(f"GET /api/stream{how}\r\nHost: x\r\nAuthorization: Bearer {ADMIN_KEY}\r\n\r\n".encode())
    assert slow.recv(12) in (b"HTTP/1.1 200", b"HTTP/1.1 101")


def _read_upto(slow: socket.socket, end: bytes) -> bytes:
    answer = b""
    while not answer.endswith(end):
        part = slow.recv(1 << 20)
        assert part, answer[-300:]
        answer = answer[-1_000:] + part
    return answer


def _read_all(slow: socket.socket) -> bytes:
    """Up to the end of the chunked answer."""
    answer = b""
    while not answer.endswith(b"\r\n0\r\n\r\n"):
        part = slow.recv(1 << 20)
        assert part, answer[-300:]
        answer += part
    return answer.removesuffix(b"\r\n0\r\n\r\n")


async def test_a_reader_that_takes_nothing_any_more_is_cut_off(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wires, "TAKE_S", 0.2)
    async with live(sqlite_url, tmp_path, stream_waiting_max=20) as running:
        await running.add_source()
        with socket.socket() as slow:
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            await asyncio.to_thread(_ask_and_read_nothing, slow, running.url)
            async with running.stream() as stream:
                await _flood(running, stream)
                async with asyncio.timeout(WITHIN_S):
                    while "mailweir_stream_clients 1.0" not in (await running.api.get("/metrics")).text:
                        await asyncio.sleep(0.05)


async def test_a_slow_reader_of_a_websocket_is_closed_with_a_code(sqlite_url: str, tmp_path: Path) -> None:
    reason = b"slow: More than 20 events waited for this client to read them."
    async with live(sqlite_url, tmp_path, stream_waiting_max=20) as running:
        await running.add_source()
        with socket.socket() as slow:
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            await asyncio.to_thread(_ask_and_read_nothing, slow, running.url, _UPGRADE)
            async with running.stream() as stream:
                await _flood(running, stream)
            last = await asyncio.to_thread(_read_upto, slow, reason)
    assert last.endswith(b"\x88" + bytes([2 + len(reason)]) + (1013).to_bytes(2) + reason)


async def test_the_end_of_the_gateway_ends_the_stream_in_words(sqlite_url: str, tmp_path: Path) -> None:
    async with live(sqlite_url, tmp_path) as running:
        async with running.stream() as stream, over_websocket(running) as socket:
            await running.gateway.stream.close()
            last = await stream.event()
            assert (last.type, last.data["reason"], last.id) == ("dropped", "ending", "")
            code, reason = await close_of(socket)
            assert (code, reason.partition(":")[0]) == (1012, "ending")
        refused = await running.api.get("/api/stream")
        assert refused.status_code == 503


async def test_no_more_follow_than_the_setting_allows(sqlite_url: str, tmp_path: Path) -> None:
    async with live(sqlite_url, tmp_path, stream_clients_max=2) as running:
        async with running.stream(), over_websocket(running):
            refused = await running.api.get("/api/stream")
            assert refused.status_code == 503
            assert "MAILWEIR_STREAM_CLIENTS_MAX" in refused.json()["detail"]
            assert refused.headers["retry-after"] == "5"
        async with asyncio.timeout(WITHIN_S):
            while "mailweir_stream_clients 0.0" not in (await running.api.get("/metrics")).text:
                await asyncio.sleep(0.02)
        async with running.stream() as stream:
            assert (await stream.block()).retry


async def test_a_stream_ends_when_its_key_is_revoked(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wires, "HEARTBEAT_S", 0.05)
    async with live(sqlite_url, tmp_path) as running:
        made = (await running.api.post("/api/keys", json={"name": "tail", "role": "read"})).json()
        headers = with_key(made["key"])
        async with running.stream(headers) as stream, over_websocket(running, key=made["key"]) as socket:
            await running.api.delete(f"/api/keys/{made['id']}")
            assert (await stream.event()).data["reason"] == "revoked"
            assert (await close_of(socket))[0] == 1008


@pytest.mark.parametrize(
    ("query", "key", "status"),
    [
        ("", None, 401),
        ("", "mw_live_wrong", 401),
        ("type=bouncy", ADMIN_KEY, 422),
        ("after=evt_1", ADMIN_KEY, 422),
        ("limit=5", ADMIN_KEY, 422),
    ],
)
async def test_what_is_refused_is_refused_on_both_ways_in_the_same_words(
    sqlite_url: str, tmp_path: Path, query: str, key: str | None, status: int
) -> None:
    async with live(sqlite_url, tmp_path) as running:
        refused = await running.api.get(f"/api/stream?{query}", headers=with_key(key))
        assert refused.status_code == status
        with pytest.raises(InvalidStatus) as over:
            await over_websocket(running, query, key)
        assert over.value.response.status_code == status
        assert over.value.response.headers["content-type"] == "application/problem+json"
        assert json.loads(over.value.response.body or b"") == refused.json()


async def test_a_broken_last_event_id_is_refused(sqlite_url: str, tmp_path: Path) -> None:
    async with live(sqlite_url, tmp_path) as running:
        refused = await running.api.get("/api/stream", headers={"Last-Event-ID": "42"})
        assert refused.status_code == 422
        assert refused.json()["errors"][0]["field"] == "Last-Event-ID"


async def test_events_come_over_a_websocket_filtered_and_resumed(database_url: str, tmp_path: Path) -> None:
    async with live(database_url, tmp_path) as running:
        await running.add_source()
        async with over_websocket(running, "type=bounce") as socket:
            await socket.send("what clients say is not listened to")
            await running.post("m1")
            await running.post("m2", "email.bounced")
            first = await received(socket)
        assert (first["type"], first["data"]["email_id"]) == ("email.bounced", "m2")
        await running.post("m3", "email.bounced")
        async with over_websocket(running, f"type=bounce&after={first['id']}") as socket:
            assert (await received(socket))["data"]["email_id"] == "m3"
            await running.post("m4", "email.bounced")
            assert (await received(socket))["data"]["email_id"] == "m4"


async def test_a_follower_sees_no_other_environment(database_url: str, tmp_path: Path) -> None:
    from app.store.log import EventFilter

    async with live(database_url, tmp_path) as running:
        await running.add_source()
        other = await running.gateway.stream.follow(2, EventFilter())
        resuming = await running.gateway.stream.follow(2, EventFilter(), after=0)
        async with running.stream() as stream:
            await running.post("ours")
            await stream.event()
        for follower in (other, resuming):
            assert not await follower.events(0.05)
            follower.leave()
