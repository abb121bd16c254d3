import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.http1 import BODY_DRAIN_BYTES_MAX, HEAD_BYTES_MAX, Answer, Connection, Disconnected, HeadTooLarge

pytestmark = pytest.mark.anyio

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
REQUEST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"


@asynccontextmanager
async def connected(*answers: bytes, hang_up: bool = False) -> AsyncIterator[Connection]:
    """A connection to a server that says the n-th of `answers` to the n-th request, in the pieces it is given in."""
    waiting = list(answers)
    served = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while waiting and await reader.read(65536):
                writer.write(waiting.pop(0))
                await writer.drain()
            if not hang_up:
                await reader.read()
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
        served.set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        _, connection = await asyncio.get_running_loop().create_connection(Connection, "127.0.0.1", port)
        try:
            yield connection
        finally:
            connection.abort()
            await served.wait()


async def exchange(connection: Connection, body_bytes_max: int = 1_000) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    answer = Answer(body_bytes_max)
    await connection.ask(REQUEST, answer)
    assert answer.status is not None
    return answer.status, answer.headers, answer.body


async def test_one_connection_serves_exchange_after_exchange() -> None:
    async with connected(OK, OK, OK) as connection:
        for _ in range(3):
            assert await exchange(connection) == (200, [(b"Content-Length", b"2")], b"ok")
            assert connection.reusable


async def test_an_interim_answer_is_not_the_answer() -> None:
    interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
    async with connected(interim + OK) as connection:
        assert await exchange(connection) == (200, [(b"Content-Length", b"2")], b"ok")
        assert connection.reusable


async def test_a_body_in_chunks_ends_with_its_last_one_and_trailers_are_no_headers() -> None:
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n3\r\ncde\r\n0\r\nX-Sum: 1\r\n\r\n"
    async with connected(chunked, OK) as connection:
        assert await exchange(connection) == (200, [(b"Transfer-Encoding", b"chunked")], b"abcde")
        assert (await exchange(connection))[0] == 200


async def test_a_body_without_a_length_ends_with_its_connection() -> None:
    async with connected(b"HTTP/1.1 200 OK\r\n\r\nall of it", hang_up=True) as connection:
        assert await exchange(connection) == (200, [], b"all of it")
        assert not connection.reusable


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
async def test_some_answers_have_no_body(status: bytes) -> None:
    async with connected(b"HTTP/1.1 " + status + b"\r\n\r\n", OK) as connection:
        assert (await exchange(connection))[2] == b""
        assert (await exchange(connection))[0] == 200


@pytest.mark.parametrize(
    "last",
    [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    ],
)
async def test_a_connection_that_the_other_side_will_close_is_not_used_again(last: bytes) -> None:
    async with connected(last) as connection:
        assert (await exchange(connection))[0] == 200
        assert not connection.reusable


async def test_a_second_answer_that_nobody_asked_for_is_not_taken_for_the_next() -> None:
    async with connected(OK + b"HTTP/1.1 500 Odd\r\nContent-Length: 3\r\n\r\nodd") as connection:
        assert await exchange(connection) == (200, [(b"Content-Length", b"2")], b"ok")
        assert not connection.reusable


async def test_bytes_on_an_idle_connection_end_it() -> None:
    async with connected(OK) as connection:
        await exchange(connection)
        connection.data_received(b"HTTP/1.1 408 Request Timeout\r\n\r\n")
        assert not connection.reusable


async def test_a_change_of_protocol_is_refused() -> None:
    switching = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
    async with connected(switching) as connection:
        with pytest.raises(httpx.RemoteProtocolError):
            await exchange(connection)


async def test_a_connection_that_ends_before_the_answer_is_told_from_one_that_breaks_off_in_it() -> None:
    async with connected(b"", hang_up=True) as connection:
        with pytest.raises(Disconnected):
            await exchange(connection)
    async with connected(b"HTTP/1.1 200 OK\r\nContent-Le", hang_up=True) as connection:
        with pytest.raises(httpx.ReadError):
            await exchange(connection)


async def test_a_body_shorter_than_its_length_is_an_error_after_what_there_was() -> None:
    async with connected(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", hang_up=True) as connection:
        answer = Answer(100)
        with pytest.raises(httpx.ReadError):
            await connection.ask(REQUEST, answer)
        assert (answer.status, answer.body, answer.truncated) == (200, b"half", True)


@pytest.mark.parametrize("line", [b"X: " + b"x" * HEAD_BYTES_MAX, b"X: y\r\n" * HEAD_BYTES_MAX])
async def test_headers_without_end_are_refused(line: bytes) -> None:
    async with connected(b"HTTP/1.1 200 OK\r\n" + line) as connection:
        with pytest.raises(HeadTooLarge):
            await exchange(connection)


async def test_of_a_body_longer_than_is_wanted_the_first_bytes_are_kept() -> None:
    said = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n123456789"
    async with connected(said) as connection:
        answer = Answer(4)
        await connection.ask(REQUEST, answer)
        assert (answer.body, answer.truncated, connection.reusable) == (b"1234", True, True)


async def test_a_body_longer_than_is_taken_costs_the_connection() -> None:
    size = 5_000_000
    async with connected(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size) as connection:
        answer = Answer(4)
        await connection.ask(REQUEST, answer)
        assert size > BODY_DRAIN_BYTES_MAX
        assert (answer.status, answer.body, answer.truncated, connection.reusable) == (200, b"xxxx", True, False)


pieces = st.lists(
    st.binary(max_size=60) | st.sampled_from([OK, OK[:20], b"\r\n", b"HTTP/1.1 ", b"Content-Length: 5\r\n"]), max_size=8
)


@given(pieces)
def test_whatever_comes_gives_an_answer_or_one_of_two_errors(pieces: list[bytes]) -> None:
    async def receive() -> None:
        async with connected(b"".join(pieces), hang_up=True) as connection:
            with suppress(httpx.ReadError, httpx.RemoteProtocolError):
                await exchange(connection)

    asyncio.run(receive())
