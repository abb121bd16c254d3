"""The subscribers: one small server, whose answers can be changed while it runs.

`POST /crm` takes a webhook as the subscriber called crm, verifies it and answers as that is to behave. `GET /control`
shows how each behaves and what it has had; `POST /control/crm` with `{"status", "latency_ms", "failure_rate"}`, any of
them, changes it, and `/control/all` changes all.
"""

import asyncio
import time
from collections.abc import Iterable, Mapping
from random import Random
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from app.cli.demo.world import Subscriber
from app.proof import Webhook, examine

BODY_BYTES_MAX = 1_000_000
CONTROL, ALL = "control", "all"

Status = Annotated[int, Meta(ge=200, le=599)]
Latency = Annotated[float, Meta(ge=0, le=60_000)]
Rate = Annotated[float, Meta(ge=0, le=1)]


class Behaviour(msgspec.Struct):
    """How a subscriber answers: with `status` after some `latency_ms`, and a part of the time with 503 instead."""

    status: Status = 200
    latency_ms: Latency = 30.0
    failure_rate: Rate = 0.0


class BehaviourChange(msgspec.Struct, forbid_unknown_fields=True):
    """What is to be different from now on."""

    status: Status | UnsetType = UNSET
    latency_ms: Latency | UnsetType = UNSET
    failure_rate: Rate | UnsetType = UNSET


class Received(msgspec.Struct):
    """What a subscriber has had: webhooks, how many of them were authentic, and what it answered, by status."""

    webhooks: int = 0
    authentic: int = 0
    answers: dict[str, int] = {}


class Shown(msgspec.Struct):
    """A subscriber under /control."""

    behaviour: Behaviour
    received: Received


class Subscribers:
    """The ASGI application."""

    def __init__(self, subscribers: Iterable[Subscriber], usual: Behaviour, dice: Random) -> None:
        self.shown = {one.path: Shown(_behaviour(one, usual), Received()) for one in subscribers}
        self.secrets: dict[str, str] = {}
        """Of each, by its path; filled in once it is registered."""
        self._dice = dice

    async def __call__(self, scope: Mapping[str, Any], receive: Any, send: Any) -> None:
        """Answers one request."""
        if scope["type"] != "http":
            return
        status, answer = await self._answer(scope, await _body(receive))
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": msgspec.json.encode(answer)})

    async def _answer(self, scope: Mapping[str, Any], body: bytes) -> tuple[int, Any]:
        room, _, name = scope["path"].strip("/").partition("/")
        if scope["method"] == "GET" and room == CONTROL:
            return 200, self.shown
        if scope["method"] != "POST":
            return 405, {"error": "POST webhooks, GET /control"}
        if room == CONTROL:
            return self._change(name, body)
        if room not in self.shown:
            return 404, {"error": f"there are {', '.join(self.shown)}"}
        return await self._take(room, scope, body)

    async def _take(self, name: str, scope: Mapping[str, Any], body: bytes) -> tuple[int, Any]:
        behaviour, received = self.shown[name].behaviour, self.shown[name].received
        received.webhooks += 1
        received.authentic += self._is_authentic(name, scope, body)
        await asyncio.sleep(behaviour.latency_ms / 1000 * self._dice.uniform(0.6, 1.6))
        status = 503 if self._dice.random() < behaviour.failure_rate else behaviour.status
        received.answers[str(status)] = received.answers.get(str(status), 0) + 1
        return status, {"ok": True} if status < 300 else {"error": "out of order"}

    def _is_authentic(self, name: str, scope: Mapping[str, Any], body: bytes) -> bool:
        headers = {key.decode().lower(): value.decode("latin-1") for key, value in scope["headers"]}
        return examine(Webhook(headers, body), [self.secrets.get(name, "")], time.time()).valid

    def _change(self, name: str, body: bytes) -> tuple[int, Any]:
        chosen = self.shown if name == ALL else {name: self.shown[name]} if name in self.shown else {}
        if not chosen:
            return 404, {"error": f"there are {', '.join(self.shown)}, and {ALL}"}
        try:
            change = msgspec.json.decode(body, type=BehaviourChange)
        except msgspec.MsgspecError as mistake:
            return 422, {"error": str(mistake)}
        for field in BehaviourChange.__struct_fields__:
            if (value := getattr(change, field)) is not UNSET:
                for one in chosen.values():
                    setattr(one.behaviour, field, value)
        return 200, chosen


def _behaviour(subscriber: Subscriber, usual: Behaviour) -> Behaviour:
    if subscriber.status != 200:
        return Behaviour(status=subscriber.status, latency_ms=usual.latency_ms)
    latency_ms = usual.latency_ms if subscriber.latency_ms is None else subscriber.latency_ms
    return Behaviour(usual.status, latency_ms, usual.failure_rate)


async def _body(receive: Any) -> bytes:
    parts = bytearray()
    while True:
        message = await receive()
        parts += message.get("body", b"")
        if not message.get("more_body") or len(parts) > BODY_BYTES_MAX:
            return bytes(parts)
