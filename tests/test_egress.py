import asyncio
import gzip
import socket
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from app.egress import BODY_BYTES_MAX, BODY_DRAIN_BYTES_MAX, Egress, Guard, PostOutcome
from tests.servers import Answer, deaf_server, redirect_to, self_signed, sink

BODY = b'{"id":"evt_01K"}'
HEADERS = {"Content-Type": "application/json", "webhook-id": "evt_01K"}
LOOPBACK = ("127.0.0.0/8", "::1/128")
USER_AGENT = "Mailweir/test"

BACKENDS = [
    pytest.param(("asyncio", {"use_uvloop": False}), id="asyncio"),
    pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop"),
]

pytestmark = pytest.mark.anyio


@pytest.fixture(params=BACKENDS)
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    return request.param


@pytest.fixture
async def egress() -> AsyncIterator[Egress]:
    async with opened(Guard(LOOPBACK)) as door:
        yield door


def opened(guard: Guard, **options: Any) -> aclosing[Egress]:
    return aclosing(Egress(guard, user_agent=USER_AGENT, **options))


async def post(egress: Egress, url: str, timeout_s: float = 10.0, **headers: str) -> PostOutcome:
    return await egress.post(url, headers=HEADERS | headers, body=BODY, timeout_s=timeout_s)


def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Names:
    """A resolver whose answers a test may change: {"name": ["address", …]}."""

    def __init__(self, **addresses: list[str]) -> None:
        self.addresses = addresses
        self.asked = 0

    async def resolve(self, host: str, _port: int) -> list[str]:
        self.asked += 1
        if host.partition(".")[0] not in self.addresses:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return self.addresses[host.partition(".")[0]]


# What goes out and what comes back


async def test_the_subscriber_gets_the_body_and_the_headers_as_they_are(egress: Egress) -> None:
    async with sink() as subscriber:
        await post(egress, subscriber.url_for("127.0.0.1", "/hook?a=b%20c"))
    (received,) = subscriber.requests
    assert (received.method, received.target, received.body) == ("POST", "/hook?a=b%20c", BODY)
    assert received.headers["host"] == f"127.0.0.1:{subscriber.port}"
    assert received.headers["content-length"] == str(len(BODY))
    assert received.headers["content-type"] == "application/json"
    assert received.headers["webhook-id"] == "evt_01K"
    assert received.headers["user-agent"] == USER_AGENT
    assert received.headers["accept-encoding"] == "identity"


async def test_an_empty_body_is_sent_as_one(egress: Egress) -> None:
    async with sink() as subscriber:
        await egress.post(subscriber.url, headers={}, body=b"", timeout_s=10)
    assert subscriber.requests[0].headers["content-length"] == "0"


async def test_the_answer_comes_back_with_status_headers_and_body(egress: Egress) -> None:
    async with sink(Answer(201, {"X-Seen": "yes", "Server": "caf\xe9"}, b"made")) as subscriber:
        outcome = await post(egress, subscriber.url)
    assert (outcome.status, outcome.body, outcome.truncated) == (201, b"made", False)
    assert (outcome.error, outcome.error_kind) == (None, None)
    assert ("X-Seen", "yes") in outcome.headers
    assert ("Server", "caf\xe9") in outcome.headers


@pytest.mark.parametrize("status", [204, 304, 400, 410, 429, 500, 503])
async def test_every_status_is_an_answer_and_not_an_error(egress: Egress, status: int) -> None:
    body = b"" if status in (204, 304) else b"sorry"
    async with sink(Answer(status, {"Retry-After": "7"}, body)) as subscriber:
        outcome = await post(egress, subscriber.url)
    assert (outcome.status, outcome.body, outcome.error) == (status, body, None)


async def test_headers_given_at_the_call_win_over_the_defaults(egress: Egress) -> None:
    async with sink() as subscriber:
        await post(egress, subscriber.url, **{"User-Agent": "Mailweir/9", "X-Name": "Grüße"})
    assert subscriber.requests[0].headers["user-agent"] == "Mailweir/9"
    assert subscriber.requests[0].headers["x-name"].encode("latin-1").decode() == "Grüße"


async def test_headers_that_frame_the_message_cannot_be_set(egress: Egress) -> None:
    framing = {"Host": "internal", "content-length": "1", "Transfer-Encoding": "chunked", "Connection": "upgrade"}
    async with sink() as subscriber:
        outcome = await post(egress, subscriber.url, **framing)
    assert outcome.status == 200
    assert subscriber.requests[0].headers["host"] == f"127.0.0.1:{subscriber.port}"
    assert subscriber.requests[0].body == BODY


async def test_a_line_break_in_a_header_is_an_error_and_sends_nothing(egress: Egress) -> None:
    async with sink() as subscriber:
        outcome = await post(egress, subscriber.url, **{"X-Name": "a\r\nX-Admin: yes"})
    assert outcome.error_kind == "protocol"
    assert subscriber.requests == []


async def test_cookies_are_not_kept(egress: Egress) -> None:
    async with sink(Answer(200, {"Set-Cookie": "session=1"})) as subscriber:
        await post(egress, subscriber.url)
        await post(egress, subscriber.url)
    assert "cookie" not in subscriber.requests[1].headers


async def test_a_compressed_body_stays_compressed(egress: Egress) -> None:
    bomb = gzip.compress(bytes(10_000_000))
    async with sink(Answer(200, {"Content-Encoding": "gzip"}, bomb)) as subscriber:
        outcome = await post(egress, subscriber.url)
    assert outcome.body == bomb[:BODY_BYTES_MAX]


async def test_an_outcome_can_be_stored_as_json(egress: Egress) -> None:
    async with sink() as subscriber:
        outcome = await post(egress, subscriber.url)
    assert msgspec.json.decode(msgspec.json.encode(outcome), type=PostOutcome) == outcome


# Connections


async def test_one_connection_serves_post_after_post(egress: Egress) -> None:
    async with sink() as subscriber:
        first = await post(egress, subscriber.url)
        rest = [await post(egress, subscriber.url) for _ in range(4)]
    assert (len(subscriber.requests), subscriber.connections) == (5, 1)
    assert first.timing.connect_ms is not None
    assert {outcome.timing.connect_ms for outcome in rest} == {None}


async def test_timing_says_where_the_time_went(egress: Egress) -> None:
    async with sink(Answer(delay_s=0.05)) as subscriber:
        timing = (await post(egress, subscriber.url_for("localhost"))).timing
    assert timing.dns_ms is not None
    assert timing.connect_ms is not None
    assert timing.tls_ms is None
    assert timing.wait_ms is not None
    assert timing.read_ms is not None
    assert timing.wait_ms >= 45
    assert timing.total_ms >= timing.dns_ms + timing.connect_ms + timing.wait_ms + timing.read_ms


async def test_a_kept_connection_that_has_died_is_replaced_without_an_error(egress: Egress) -> None:
    async with sink(Answer(), Answer(then="drop"), Answer(202)) as subscriber:
        await post(egress, subscriber.url)
        outcome = await post(egress, subscriber.url)
    assert outcome.status == 202
    assert subscriber.connections == 2
    assert outcome.timing.connect_ms is not None


async def test_a_new_connection_that_is_dropped_is_an_error_at_once(egress: Egress) -> None:
    async with sink(Answer(then="drop")) as subscriber:
        outcome = await post(egress, subscriber.url)
    assert outcome.error == f"127.0.0.1:{subscriber.port} closed the connection without an answer"
    assert outcome.error_kind == "connect"
    assert len(subscriber.requests) == 1


async def test_idle_connections_closed_by_the_subscriber_do_no_harm(egress: Egress) -> None:
    async with sink() as subscriber:
        await post(egress, subscriber.url)
        subscriber.drop_connections()
        assert (await post(egress, subscriber.url)).status == 200
    assert subscriber.connections == 2


async def test_no_more_connections_are_open_than_the_limit() -> None:
    async with opened(Guard(LOOPBACK), connections_max=2) as egress, sink(Answer(delay_s=0.01)) as subscriber:
        outcomes = await asyncio.gather(*(post(egress, subscriber.url) for _ in range(8)))
    assert {outcome.status for outcome in outcomes} == {200}
    assert subscriber.connections == 2


async def test_closing_twice_or_before_the_first_post_is_fine() -> None:
    egress = Egress(Guard(), user_agent=USER_AGENT)
    await egress.aclose()
    await egress.aclose()


async def test_a_post_under_way_when_the_door_closes_ends_with_an_error(egress: Egress) -> None:
    async with sink(Answer(), Answer(then="hang")) as subscriber:
        await post(egress, subscriber.url)
        under_way = asyncio.ensure_future(post(egress, subscriber.url))
        await subscriber.arrived(2)
        await egress.aclose()
        outcome = await under_way
    assert (outcome.status, outcome.error_kind) == (None, "connect")
    assert len(subscriber.requests) == 2


# Subscribers that misbehave


async def test_a_subscriber_that_hangs_is_left_at_the_timeout(egress: Egress) -> None:
    async with sink(Answer(then="hang")) as subscriber:
        outcome = await post(egress, subscriber.url, timeout_s=0.1)
    assert (outcome.status, outcome.error, outcome.error_kind) == (None, "no answer within 0.1 s", "timeout")
    assert outcome.timing.connect_ms is not None
    assert outcome.timing.wait_ms is None
    assert outcome.timing.total_ms >= 99


async def test_a_body_that_trickles_is_cut_at_the_timeout_and_the_status_counts(egress: Egress) -> None:
    async with sink(Answer(then="trickle", body=b"")) as subscriber:
        outcome = await post(egress, subscriber.url, timeout_s=1)
        await asyncio.wait_for(asyncio.gather(*subscriber.tasks), 10)
    assert (outcome.status, outcome.error, outcome.truncated) == (200, None, True)
    assert 1 <= len(outcome.body) <= 51


async def test_an_endless_body_is_cut_at_the_limit_and_its_connection_closed(egress: Egress) -> None:
    async with sink(Answer(then="endless")) as subscriber:
        outcome = await post(egress, subscriber.url)
        await asyncio.wait_for(asyncio.gather(*subscriber.tasks), 10)
    assert (outcome.status, len(outcome.body), outcome.truncated) == (200, BODY_BYTES_MAX, True)
    assert outcome.error is None


async def test_an_endless_body_over_tls_is_cut_just_so(tmp_path: Path) -> None:
    tls, certificate = self_signed(tmp_path)
    trusting = opened(Guard(LOOPBACK), extra_ca_file=str(certificate))
    async with trusting as egress, sink(Answer(then="endless"), tls=tls) as subscriber:
        outcome = await post(egress, subscriber.url)
        await asyncio.wait_for(asyncio.gather(*subscriber.tasks), 10)
    assert (outcome.status, len(outcome.body), outcome.truncated) == (200, BODY_BYTES_MAX, True)


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * BODY_DRAIN_BYTES_MAX * 2])
async def test_a_tls_connection_is_dropped_without_waiting_for_a_goodbye(tmp_path: Path, answer: bytes) -> None:
    tls, certificate = self_signed(tmp_path)
    with deaf_server(tls, answer) as subscriber:
        async with opened(Guard(LOOPBACK), extra_ca_file=str(certificate)) as egress:
            await post(egress, subscriber.url, timeout_s=0.3)
            assert await asyncio.to_thread(subscriber.left.wait, 10)


@pytest.mark.parametrize(
    ("size", "truncated", "connections"),
    [
        (BODY_BYTES_MAX, False, 1),
        (BODY_BYTES_MAX + 1, True, 1),
        (BODY_DRAIN_BYTES_MAX, True, 1),
        (BODY_DRAIN_BYTES_MAX * 4, True, 2),
    ],
)
async def test_a_long_body_costs_the_connection_only_when_much_is_left(
    egress: Egress, size: int, truncated: bool, connections: int
) -> None:
    async with sink(Answer(body=b"x" * size)) as subscriber:
        outcome = await post(egress, subscriber.url)
        await post(egress, subscriber.url)
    assert outcome.body == b"x" * BODY_BYTES_MAX
    assert outcome.truncated is truncated
    assert subscriber.connections == connections


async def test_a_body_that_breaks_off_leaves_the_status_and_what_there_was(egress: Egress) -> None:
    async with sink(Answer(200, body=b"0123456789", then="cut")) as subscriber:
        outcome = await post(egress, subscriber.url)
    assert (outcome.status, outcome.body, outcome.truncated, outcome.error) == (200, b"01234", True, None)


@pytest.mark.parametrize("raw", [b"220 mail.example.com ESMTP\r\n\r\n", b"\x00\x01\x02\r\n\r\n"])
async def test_what_is_not_http_is_called_so(egress: Egress, raw: bytes) -> None:
    async with sink(Answer(body=raw, then="raw")) as subscriber:
        outcome = await post(egress, subscriber.url)
    assert outcome.error is not None
    assert outcome.error.startswith("the answer is not valid HTTP: ")
    assert outcome.error_kind == "protocol"
    assert len(outcome.error) <= 300


async def test_of_many_headers_the_first_are_kept(egress: Egress) -> None:
    async with sink(Answer(200, {f"X-Long-{n}": "x" * 4000 for n in range(10)})) as subscriber:
        outcome = await post(egress, subscriber.url)
    assert outcome.status == 200
    assert [name for name, _ in outcome.headers][-1] == "X-Long-3"


async def test_headers_beyond_all_measure_are_refused(egress: Egress) -> None:
    async with sink(Answer(200, {"X-Long": "x" * 100_000})) as subscriber:
        outcome = await post(egress, subscriber.url)
    assert (outcome.error, outcome.error_kind) == ("the headers of the answer are too large", "too_large")


async def test_a_refused_connection_is_named(egress: Egress) -> None:
    port = unused_port()
    outcome = await post(egress, f"http://127.0.0.1:{port}/")
    assert (outcome.error, outcome.error_kind) == (f"connection refused by 127.0.0.1:{port}", "connect")
    assert outcome.timing.wait_ms is None


async def test_cancellation_passes_through(egress: Egress) -> None:
    async with sink(Answer(then="hang")) as subscriber:
        under_way = asyncio.ensure_future(post(egress, subscriber.url))
        await subscriber.arrived(1)
        under_way.cancel()
        with pytest.raises(asyncio.CancelledError):
            await under_way


# Where posts may not go


async def test_a_redirect_is_not_followed(egress: Egress) -> None:
    async with sink() as inside, sink(redirect_to(inside.url, 307)) as subscriber:
        outcome = await post(egress, subscriber.url)
    assert outcome.status == 307
    assert ("Location", inside.url) in outcome.headers
    assert inside.connections == 0


@pytest.mark.parametrize("url", ["https://127.0.0.1:{}/", "https://[::ffff:127.0.0.1]:{}/", "https://localhost:{}/"])
async def test_a_refused_address_gets_no_connection(url: str) -> None:
    async with opened(Guard()) as egress, sink() as inside:
        outcome = await post(egress, url.format(inside.port))
    assert outcome.error_kind == "refused_address"
    assert outcome.error is not None
    assert "allow it with MAILWEIR_ALLOW_NETWORKS" in outcome.error
    assert inside.connections == 0


async def test_a_url_that_is_none_is_a_refusal_too(egress: Egress) -> None:
    outcome = await post(egress, "gopher://example.com/")
    assert (outcome.error_kind, outcome.status) == ("refused_address", None)


async def test_a_name_that_turns_to_a_private_address_is_refused_on_the_next_connection() -> None:
    names = Names(hooks=["8.8.8.8"])
    guard = Guard(resolve=names.resolve)
    async with opened(guard) as egress, sink() as inside:
        url = f"https://hooks.example.com:{inside.port}/"
        await guard.resolve_and_check(url)
        names.addresses["hooks"] = ["127.0.0.1"]
        outcome = await post(egress, url)
    assert outcome.error == "127.0.0.1 is a loopback address; allow it with MAILWEIR_ALLOW_NETWORKS"
    assert outcome.error_kind == "refused_address"
    assert inside.connections == 0


async def test_a_name_that_is_partly_private_is_refused_whole() -> None:
    names = Names(hooks=["127.0.0.1", "10.0.0.5"])
    async with opened(Guard(LOOPBACK, resolve=names.resolve)) as egress, sink() as subscriber:
        outcome = await post(egress, subscriber.url_for("hooks.example.com"))
    assert outcome.error == "10.0.0.5 is a private address; allow it with MAILWEIR_ALLOW_NETWORKS"
    assert subscriber.connections == 0


async def test_plain_http_to_a_public_address_stops_at_the_socket() -> None:
    names = Names(hooks=["8.8.8.8"], more=["8.8.8.8", "8.8.4.4", "2001:4860:4860::8888"])
    async with opened(Guard(LOOPBACK, resolve=names.resolve)) as egress:
        for host in ("hooks.example.com", "more.example.com"):
            outcome = await post(egress, f"http://{host}/")
            assert outcome.error_kind == "refused_address"
            assert outcome.error is not None
            assert outcome.error.startswith("plain http goes only to networks in MAILWEIR_ALLOW_NETWORKS")


async def test_a_name_that_does_not_resolve_is_named() -> None:
    async with opened(Guard(resolve=Names().resolve)) as egress:
        outcome = await post(egress, "https://nowhere.example.com/")
    assert outcome.error == "the name nowhere.example.com does not resolve (Name or service not known)"
    assert outcome.error_kind == "dns"


async def test_a_name_server_that_hangs_counts_towards_the_timeout() -> None:
    async def never(host: str, port: int) -> list[str]:
        await asyncio.Event().wait()
        return []

    async with opened(Guard(resolve=never)) as egress:
        outcome = await post(egress, "https://hooks.example.com/", timeout_s=0.1)
    assert outcome.error == "no connection to hooks.example.com:443 within 0.1 s"


async def test_a_name_is_looked_up_once_for_many_connections() -> None:
    names = Names(hooks=["127.0.0.1"])
    async with opened(Guard(LOOPBACK, resolve=names.resolve)) as egress, sink(Answer(delay_s=0.01)) as subscriber:
        await asyncio.gather(*(post(egress, subscriber.url_for("hooks.example.com")) for _ in range(4)))
    assert (subscriber.connections, names.asked) == (4, 1)


async def test_the_proxies_of_the_environment_are_ignored(egress: Egress, monkeypatch: pytest.MonkeyPatch) -> None:
    async with sink() as proxy, sink() as subscriber:
        for variable in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(variable, proxy.url)
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        outcome = await post(egress, subscriber.url)
    assert (outcome.status, proxy.connections) == (200, 0)


# TLS


async def test_a_self_signed_certificate_is_refused(egress: Egress, tmp_path: Path) -> None:
    tls, _ = self_signed(tmp_path)
    async with sink(tls=tls) as subscriber:
        outcome = await post(egress, subscriber.url)
    assert outcome.error == "certificate verify failed: self-signed certificate"
    assert outcome.error_kind == "tls"
    assert subscriber.requests == []


async def test_a_certificate_of_a_trusted_authority_passes_and_the_handshake_is_timed(tmp_path: Path) -> None:
    tls, certificate = self_signed(tmp_path, "hooks.example.com")
    guard = Guard(LOOPBACK, resolve=Names(hooks=["127.0.0.1"]).resolve)
    async with opened(guard, extra_ca_file=str(certificate)) as egress, sink(tls=tls) as subscriber:
        outcome = await post(egress, subscriber.url_for("hooks.example.com"))
        again = await post(egress, subscriber.url_for("hooks.example.com"))
    assert outcome.status == 200
    assert outcome.timing.tls_ms is not None
    assert outcome.timing.connect_ms is not None
    assert again.timing.tls_ms is None
    assert subscriber.connections == 1


@pytest.mark.parametrize(
    ("name", "valid_for", "reason"),
    [
        ("127.0.0.1", timedelta(days=-1), "certificate has expired"),
        ("other.example.com", timedelta(days=1), "IP address mismatch"),
    ],
)
async def test_an_expired_or_foreign_certificate_is_refused_with_its_reason(
    tmp_path: Path, name: str, valid_for: timedelta, reason: str
) -> None:
    tls, certificate = self_signed(tmp_path, name, valid_for=valid_for)
    async with opened(Guard(LOOPBACK), extra_ca_file=str(certificate)) as egress, sink(tls=tls) as subscriber:
        outcome = await post(egress, subscriber.url)
    assert outcome.error is not None
    assert outcome.error.startswith(f"certificate verify failed: {reason}")
    assert outcome.error_kind == "tls"


async def test_a_server_without_tls_at_an_https_url_is_a_tls_error(egress: Egress) -> None:
    def answer_in_plain(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(answer_in_plain, "127.0.0.1", 0)
    try:
        port = server.sockets[0].getsockname()[1]
        outcome = await post(egress, f"https://127.0.0.1:{port}/")
    finally:
        server.close()
    assert outcome.error == f"the TLS handshake with 127.0.0.1:{port} failed: wrong version number"
    assert outcome.error_kind == "tls"


async def test_a_handshake_that_hangs_is_told_from_an_answer_that_is_late(egress: Egress) -> None:
    async with sink() as subscriber:
        outcome = await post(egress, f"https://127.0.0.1:{subscriber.port}/", timeout_s=0.2)
    assert outcome.error == f"no TLS handshake with 127.0.0.1:{subscriber.port} within 0.2 s"
    assert outcome.error_kind == "timeout"
