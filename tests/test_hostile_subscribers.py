"""Real servers that mean no good, and names that move: what they cost is bounded."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager
from itertools import repeat
from pathlib import Path

import pytest

from app import connections
from app.egress import BODY_BYTES_MAX, BODY_DRAIN_BYTES_MAX, Egress, Guard, PostOutcome
from tests.servers import Answer, Sink, self_signed, sink

pytestmark = pytest.mark.anyio

LOOPBACK = ("127.0.0.0/8", "::1/128")
OK = b"HTTP/1.1 200 OK\r\n"
ONE_CHUNK = b"2000\r\n" + b"x" * 0x2000 + b"\r\n"


@pytest.fixture
async def egress() -> AsyncIterator[Egress]:
    async with aclosing(Egress(Guard(LOOPBACK), user_agent="Mailweir/test")) as egress:
        yield egress


async def post(egress: Egress, url: str, timeout_s: float = 10.0) -> PostOutcome:
    return await egress.post(url, headers={}, body=b"{}", timeout_s=timeout_s)


class Talker:
    """A server that says its pieces, whatever it is asked, and notes how many were taken."""

    def __init__(self, pieces: Iterator[bytes], every_s: float) -> None:
        self._pieces = pieces
        self._every_s = every_s
        self.said = 0
        self.left = asyncio.Event()

    async def serve(self, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            for piece in self._pieces:
                writer.write(piece)
                await writer.drain()
                self.said += 1
                await asyncio.sleep(self._every_s)
        except ConnectionError:
            pass
        finally:
            writer.close()
            self.left.set()


@asynccontextmanager
async def talking(first: bytes, piece: bytes, every_s: float = 0.0) -> AsyncIterator[tuple[str, Talker]]:
    """A server that says `first` and then `piece` for ever; its URL."""
    talker = Talker((part for parts in ([first], repeat(piece)) for part in parts), every_s)
    server = await asyncio.start_server(talker.serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", talker
        async with asyncio.timeout(10):
            await talker.left.wait()
    finally:
        server.close()


async def test_headers_that_trickle_are_cut_at_the_timeout(egress: Egress) -> None:
    async with talking(OK + b"X-Slow: ", b"x", every_s=0.02) as (url, _):
        outcome = await post(egress, url, timeout_s=0.3)
    assert (outcome.status, outcome.error_kind) == (None, "timeout")


async def test_headers_that_never_end_are_cut(egress: Egress) -> None:
    async with talking(OK, b"X-More: " + b"x" * 1000 + b"\r\n") as (url, talker):
        outcome = await post(egress, url)
    assert (outcome.status, outcome.error_kind) == (None, "too_large")
    assert talker.said < 10_000


async def test_preliminary_answers_without_end_are_cut(egress: Egress) -> None:
    async with talking(b"", b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n") as (url, _):
        outcome = await post(egress, url, timeout_s=5)
    assert outcome.status is None
    assert outcome.error_kind in ("too_large", "timeout", "protocol")


async def test_chunks_without_end_are_cut_at_the_limit(egress: Egress) -> None:
    async with talking(OK + b"Transfer-Encoding: chunked\r\n\r\n", ONE_CHUNK) as (url, _):
        outcome = await post(egress, url)
    assert (outcome.status, len(outcome.body), outcome.truncated) == (200, BODY_BYTES_MAX, True)


async def test_chunks_that_trickle_are_cut_at_the_timeout(egress: Egress) -> None:
    async with talking(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n", every_s=0.02) as (url, _):
        outcome = await post(egress, url, timeout_s=0.3)
    assert (outcome.status, outcome.error, outcome.truncated) == (200, None, True)


async def test_a_body_longer_than_it_says_it_is_does_no_harm(egress: Egress) -> None:
    said = OK + b"Content-Length: 2\r\n\r\nok"
    async with talking(said, b"HTTP/1.1 200 OK\r\n\r\nforged") as (url, _):
        outcome = await post(egress, url)
        assert (outcome.status, outcome.body) == (200, b"ok")
        await egress.aclose()


async def test_a_content_length_beyond_all_measure_is_only_read_as_far_as_the_limit(egress: Egress) -> None:
    async with talking(OK + b"Content-Length: 99999999999\r\n\r\n", b"x" * 8192) as (url, talker):
        outcome = await post(egress, url)
    assert (outcome.status, outcome.truncated) == (200, True)
    assert talker.said * 8192 < BODY_DRAIN_BYTES_MAX * 200


class Names:
    """A resolver that counts how often it is asked."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = list(addresses)
        self.asked = 0

    async def resolve(self, _host: str, _port: int) -> list[str]:
        self.asked += 1
        return self.addresses


class Stopwatch:
    """A monotonic clock that goes when it is told to."""

    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


@asynccontextmanager
async def asking(names: Names) -> AsyncIterator[tuple[Egress, Sink]]:
    """An egress that resolves by `names`, and a subscriber that closes every connection."""
    async with (
        aclosing(Egress(Guard(LOOPBACK, resolve=names.resolve), user_agent="Mailweir/test")) as egress,
        sink(Answer(headers={"Connection": "close"})) as subscriber,
    ):
        yield egress, subscriber


async def test_addresses_are_kept_no_longer_than_the_shortest_time_to_live(monkeypatch: pytest.MonkeyPatch) -> None:
    stopwatch, names = Stopwatch(), Names("127.0.0.1")
    monkeypatch.setattr(connections, "monotonic", stopwatch)
    async with asking(names) as (egress, subscriber):
        url = subscriber.url_for("hooks.example.com")
        for _ in range(3):
            assert (await post(egress, url)).status == 200
            stopwatch.now_s += 0.33
        assert names.asked == 1
        stopwatch.now_s += 0.01
        names.addresses = ["10.0.0.5"]
        moved = await post(egress, url)
    assert (names.asked, moved.error_kind) == (2, "refused_address")
    assert len(subscriber.requests) == 3


async def test_a_busy_endpoint_that_closes_every_connection_costs_a_look_up_a_second(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stopwatch, names = Stopwatch(), Names("127.0.0.1")
    monkeypatch.setattr(connections, "monotonic", stopwatch)
    async with asking(names) as (egress, subscriber):
        url = subscriber.url_for("hooks.example.com")
        for _ in range(3):
            await asyncio.gather(*(post(egress, url) for _ in range(30)))
            stopwatch.now_s += 1.0
    assert (len(subscriber.requests), subscriber.connections) == (90, 90)
    assert names.asked == 3


async def test_a_certificate_for_another_name_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    tls, certificate = self_signed(tmp_path, "other.example.com", "*.example.net")
    guard = Guard(LOOPBACK, resolve=Names("127.0.0.1").resolve)
    async with (
        aclosing(Egress(guard, user_agent="Mailweir/test", extra_ca_file=str(certificate))) as egress,
        sink(tls=tls) as subscriber,
    ):
        for host in ("hooks.example.com", "a.b.example.net", "127.0.0.1"):
            outcome = await post(egress, subscriber.url_for(host))
            assert (outcome.status, outcome.error_kind) == (None, "tls"), host
            assert "mismatch" in (outcome.error or ""), host
        assert (await post(egress, subscriber.url_for("other.example.com"))).status == 200
        assert len(subscriber.requests) == 1


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"])
async def test_a_proxy_of_the_environment_gets_no_tls_connection_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    tls, certificate = self_signed(tmp_path)
    async with sink() as proxy, sink(tls=tls) as subscriber:
        monkeypatch.setenv(variable, proxy.url)
        async with aclosing(Egress(Guard(LOOPBACK), user_agent="x", extra_ca_file=str(certificate))) as egress:
            outcome = await post(egress, subscriber.url)
        async with aclosing(Egress(Guard(), user_agent="x")) as strict:
            refused = await post(strict, subscriber.url)
    assert (outcome.status, refused.error_kind) == (200, "refused_address")
    assert (proxy.connections, len(subscriber.requests)) == (0, 1)
