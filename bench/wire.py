"""The little HTTP/1.1 that generator and sink need: whole messages with a Content-Length, on connections kept alive."""

import asyncio
import re
from abc import ABC, abstractmethod
from typing import cast

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_HEAD_END = b"\r\n\r\n"


class WireError(Exception):
    """The other side sent what this reader does not know, or hung up too early."""


class MessageProtocol(asyncio.Protocol, ABC):
    """Cuts what arrives into messages and hands each, head and body, to `message_received`."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Called by the event loop with whatever has come."""
        self._buffer = self._buffer + data if self._buffer else data
        while self._buffer:
            head_bytes = self._buffer.find(_HEAD_END)
            if head_bytes < 0:
                return
            ends_at = head_bytes + len(_HEAD_END) + self._body_bytes(head_bytes)
            if len(self._buffer) < ends_at:
                return
            message, self._buffer = self._buffer[:ends_at], self._buffer[ends_at:]
            self.message_received(message)

    @abstractmethod
    def message_received(self, message: bytes) -> None:
        """One whole message."""

    def _body_bytes(self, head_bytes: int) -> int:
        found = _LENGTH.search(self._buffer, 0, head_bytes)
        if found is None:
            raise WireError(f"a message without Content-Length: {self._buffer[:200]!r}")
        return int(found[1])


def status_of(answer: bytes) -> int:
    """The status of an HTTP/1.1 answer."""
    return int(answer[9:12])
