"""Small real HTTP servers on loopback: they stand for the far side of the network, record requests, follow a script."""

import asyncio
import contextlib
import json
import os
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Literal

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

CHUNK = b"x" * 8192
PLAIN = ssl.create_default_context()
"""Plain HTTP needs none, but every httpx client makes one of its own unless told, which takes 50 ms."""


@dataclass(frozen=True)
class Received:
    """One request as it arrived; header names in lower case."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Answer:
    """What the server does with one request.

    `then` says how it goes on after the head: "body" sends the body whole, "trickle" a byte of it every 20 ms for ever,
    "endless" as much as the client takes, "cut" half of it before it drops the connection. Without an answer at all:
    "hang" never says anything, "drop" closes the connection, "raw" sends `body` as the bytes of the whole answer.
    """

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict[str, str])
    body: bytes = b"ok"
    then: Literal["body", "trickle", "endless", "cut", "hang", "drop", "raw"] = "body"
    delay_s: float = 0.0


OK = Answer()


class Sink:
    """A subscriber's server. Answers come in the order of the script, the last one again and again."""

    def __init__(self, script: Sequence[Answer], scheme: str) -> None:
        self.script = list(script) or [OK]
        self.scheme = scheme
        self.port = 0
        self.requests: list[Received] = []
        self.connections = 0
        self.open_max = 0
        """The most connections that were open at once."""
        self.bytes_sent = 0
        self.decide: Callable[[Received], Answer] | None = None
        """Gives the answer to a request instead of the script."""
        self.tasks: set[asyncio.Task[None]] = set()
        self.writers: set[asyncio.StreamWriter] = set()
        self._arrival = asyncio.Event()

    @property
    def url(self) -> str:
        return self.url_for("127.0.0.1")

    def url_for(self, host: str, path: str = "/hook") -> str:
        return f"{self.scheme}://{host}:{self.port}{path}"

    async def arrived(self, count: int, within_s: float = 10.0) -> list[Received]:
        """The requests, once there are `count` of them."""
        async with asyncio.timeout(within_s):
            while len(self.requests) < count:
                self._arrival.clear()
                await self._arrival.wait()
        return self.requests

    def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writers.add(writer)
        self.open_max = max(self.open_max, len(self.writers))
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def drop_connections(self) -> None:
        """Closes the open connections, as a server does with idle ones."""
        for writer in self.writers:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while request := await _read_request(reader):
                self.requests.append(request)
                self._arrival.set()
                answer = self._next_answer(request)
                if answer.then == "hang":
                    await reader.read()  # until the client has had enough
                if not await self._answer(answer, writer):
                    break
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        except RuntimeError as closed:
            if "closed" not in str(closed):  # uvloop's word for a connection that the client has left
                raise
        finally:
            self.writers.discard(writer)
            writer.close()

    def _next_answer(self, request: Received) -> Answer:
        if self.decide is not None:
            return self.decide(request)
        return self.script.pop(0) if len(self.script) > 1 else self.script[0]

    async def _answer(self, answer: Answer, writer: asyncio.StreamWriter) -> bool:
        """Acts as the script says; True when the connection may be used again."""
        await asyncio.sleep(answer.delay_s)
        if answer.then in ("hang", "drop"):
            return False
        if answer.then == "raw":
            return await self._send(writer, answer.body) < 0
        await self._send(writer, _head(answer))
        if answer.then == "cut":
            return await self._send(writer, answer.body[: len(answer.body) // 2]) < 0
        if answer.then != "body":
            await self._send_for_ever(answer, writer)
        await self._send(writer, answer.body)
        return True

    async def _send_for_ever(self, answer: Answer, writer: asyncio.StreamWriter) -> None:
        while True:
            await self._send(writer, b"x" if answer.then == "trickle" else CHUNK)
            await asyncio.sleep(0.02 if answer.then == "trickle" else 0)

    async def _send(self, writer: asyncio.StreamWriter, raw: bytes) -> int:
        writer.write(raw)
        await writer.drain()
        self.bytes_sent += len(raw)
        return len(raw)


@contextlib.asynccontextmanager
async def sink(*script: Answer, tls: ssl.SSLContext | None = None, port: int = 0) -> AsyncIterator[Sink]:
    """A running server that answers by `script` (200 to everything when there is none)."""
    here = Sink(script, "https" if tls else "http")
    server = await asyncio.start_server(here.connected, "127.0.0.1", port, ssl=tls)
    here.port = server.sockets[0].getsockname()[1]
    try:
        yield here
    finally:
        server.close()
        tasks = list(here.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def redirect_to(url: str, status: int = 302) -> Answer:
    return Answer(status, {"Location": url}, b"moved")


class DeafServer:
    """A TLS server for one connection: sends `answer` to the first request and does not care for goodbyes."""

    def __init__(self, tls: ssl.SSLContext, answer: bytes) -> None:
        self._tls = tls
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(20)
        self.url = f"https://127.0.0.1:{self._listener.getsockname()[1]}/hook"
        self.left = threading.Event()
        """Set when the connection itself is gone."""

    def serve(self) -> None:
        with contextlib.suppress(OSError), self._listener:
            connection, _ = self._listener.accept()
            connection.settimeout(20)
            with self._tls.wrap_socket(connection, server_side=True) as secure:
                secure.recv(65_536)
                secure.sendall(self._answer)
                self._wait_below_tls(secure)

    def _wait_below_tls(self, secure: ssl.SSLSocket) -> None:
        with socket.socket(fileno=os.dup(secure.fileno())) as raw:
            raw.settimeout(20)
            try:
                while raw.recv(65_536):
                    pass
            except ConnectionError:
                pass
        self.left.set()


@contextlib.contextmanager
def deaf_server(tls: ssl.SSLContext, answer: bytes = b"") -> Iterator[DeafServer]:
    """A running DeafServer; without an `answer` it is dumb as well."""
    server = DeafServer(tls, answer)
    thread = threading.Thread(target=server.serve)
    thread.start()
    yield server
    thread.join()


def self_signed(folder: Path, *names: str, valid_for: timedelta = timedelta(days=1)) -> tuple[ssl.SSLContext, Path]:
    """A server's TLS context with a certificate of its own for `names`, and the PEM file to trust it by."""
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _certificate(key, names or ("127.0.0.1",), valid_for)
    certificate_file, key_file = folder / "certificate.pem", folder / "key.pem"
    certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    unencrypted = serialization.NoEncryption()
    key_file.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, unencrypted))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate_file, key_file)
    return context, certificate_file


def _certificate(key: ec.EllipticCurvePrivateKey, names: Sequence[str], valid_for: timedelta) -> x509.Certificate:
    until = datetime.now(UTC) + valid_for
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(until - timedelta(days=3))
        .not_valid_after(until)
        .add_extension(x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=False)
        .sign(key, hashes.SHA256())
    )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


async def _read_request(reader: asyncio.StreamReader) -> Received | None:
    """The next request of a connection, or None when the client has closed it."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    request_line, *lines = head.decode("latin-1").strip().split("\r\n")
    method, target, _ = request_line.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return Received(method, target, headers, await reader.readexactly(int(headers.get("content-length", "0"))))


def _head(answer: Answer) -> bytes:
    counted = {"Content-Length": str(len(answer.body))} if answer.then in ("body", "cut") else {"Connection": "close"}
    fields = "".join(f"{name}: {value}\r\n" for name, value in (counted | answer.headers).items())
    return f"HTTP/1.1 {answer.status} Scripted\r\n{fields}\r\n".encode("latin-1")
