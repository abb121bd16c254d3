"""Following the live stream of a gateway, over broken connections and restarts."""

import time
from collections import deque
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from app.cli.client import Client
from app.cli.errors import Disconnected
from app.cli.output import say

PATH = "/api/stream"
WAITS_S = (0.5, 1, 2, 4, 8, 15)
SEEN_MAX = 10_000
"""Ids that are remembered: of several nodes' events, the last may come again after a connection broke."""

_DROPPED = "dropped"


class Event(NamedTuple):
    """An event as subscribers receive it."""

    id: str
    type: str
    body: bytes


def follow(client: Client, query: Mapping[str, str | None]) -> Iterator[Event]:
    """Events as they come, without end and each once. Raises GatewayRefused when they cannot be had at all."""
    position, seen = query.get("after"), deque[str](maxlen=SEEN_MAX)
    asked = {**query, "after": None}
    failed = 0
    while True:
        headers = {"Last-Event-ID": position} if position else {}
        try:
            for event in _events(client.lines(PATH, asked, headers)):
                failed = 0
                position = event.id or position
                if event.type and event.id not in seen:
                    seen.append(event.id)
                    yield event
        except Disconnected as broken:
            if position is None:
                raise
            wait_s = WAITS_S[min(failed, len(WAITS_S) - 1)]
            say(f"{broken}; connecting again in {wait_s:g} s")
            failed += 1
            time.sleep(wait_s)


def _events(lines: Iterator[bytes]) -> Iterator[Event]:
    """Server-sent events, and ids without an event, whose type and body are empty. Raises Disconnected at the end."""
    fields: dict[bytes, bytes] = {}
    for line in lines:
        name, _, value = line.partition(b":")
        if name:
            fields[name] = value.removeprefix(b" ")
        elif not line and fields:
            if fields.get(b"event") == _DROPPED.encode():
                raise Disconnected(f"the gateway ended the stream: {fields[b'data'].decode()}")
            yield Event(fields.get(b"id", b"").decode(), fields.get(b"event", b"").decode(), fields.get(b"data", b""))
            fields = {}
    raise Disconnected("the stream has ended")
