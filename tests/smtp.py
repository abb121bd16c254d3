"""A mail server on loopback, as much of one as takes mails or refuses them."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Sequence
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import cast


class MailSink:
    """Keeps what it takes. The script gives its replies to the ends of messages, the last one again and again."""

    def __init__(self, script: Sequence[str], scheme: str) -> None:
        self.port = 0
        self._scheme = scheme
        self.mails: list[tuple[list[str], EmailMessage]] = []
        self.tried = 0
        self._script = list(script) or ["250 taken"]
        self._arrival = asyncio.Event()

    @property
    def url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self.port}"

    async def tries(self, count: int) -> None:
        """Returns once so many messages were sent to it."""
        async with asyncio.timeout(10):
            while self.tried < count:
                self._arrival.clear()
                await self._arrival.wait()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        recipients: list[str] = []
        writer.write(b"220 sink\r\n")
        while line := (await reader.readline()).decode().strip():
            verb, _, _ = line.upper().partition(" ")
            if verb == "RCPT":
                recipients.append(line.partition("<")[2].rstrip(">"))
            if verb == "DATA":
                writer.write(b"354 go on\r\n")
                raw = await reader.readuntil(b"\r\n.\r\n")
                reply = self._reply(recipients, raw[:-3])
                recipients = []
            else:
                reply = {"EHLO": "250-sink\r\n250 8BITMIME", "QUIT": "221 bye"}.get(verb, "250 fine")
            writer.write(f"{reply}\r\n".encode())
            await writer.drain()
            if verb == "QUIT":
                break
        writer.close()

    def _reply(self, recipients: list[str], raw: bytes) -> str:
        reply = self._script.pop(0) if len(self._script) > 1 else self._script[0]
        if reply.startswith("250"):
            self.mails.append((recipients, cast("EmailMessage", message_from_bytes(raw, policy=default))))
        self.tried += 1
        self._arrival.set()
        return reply


@contextlib.asynccontextmanager
async def mail_sink(*script: str, tls: ssl.SSLContext | None = None) -> AsyncIterator[MailSink]:
    """A running server."""
    sink = MailSink(script, "smtps" if tls else "smtp")
    server = await asyncio.start_server(sink.serve, "127.0.0.1", 0, ssl=tls)
    sink.port = server.sockets[0].getsockname()[1]
    try:
        yield sink
    finally:
        server.close()
