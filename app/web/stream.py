"""The live stream: `/api/stream` (server-sent events) and `/api/stream/ws` (WebSocket)."""

from typing import Annotated, Any

import msgspec
from litestar import Router, WebSocket, get, websocket
from litestar.datastructures import State
from litestar.types import Receive, Scope, Send
from msgspec import UNSET, Meta, UnsetType

from app.store.ids import EVENT, parse_id
from app.store.ledger import STORE_ERRORS
from app.store.log import EventFilter
from app.stream import Follower, TooManyFollowers
from app.web.context import ApiConnection, ApiRequest, gateway_of, principal_of
from app.web.input import read_query
from app.web.paging import Text, wanted
from app.web.problems import FieldError, Problem, invalid, store_unavailable
from app.web.sockets import refuse
from app.web.wires import MEDIA_TYPE, EventStreamWire, SocketWire, serve

RETRY_AFTER_S = "5"
_RESUMES_AFTER = "last-event-id"


class StreamQuery(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Which events, and after which; without `after` those that come from now on."""

    after: Annotated[Text, Meta(description="Resume after this event: evt_…")] | UnsetType = UNSET
    type: Annotated[Text, Meta(description="In short or long form: bounce, email.bounced.")] | UnsetType = UNSET
    provider: Text | UnsetType = UNSET
    source: Text | UnsetType = UNSET
    recipient: Text | UnsetType = UNSET
    email_id: Text | UnsetType = UNSET
    q: Annotated[Text, Meta(description="A part of recipient, email id or type, or a whole event id.")] | UnsetType = (
        UNSET
    )


class EventStream:
    """The answer that goes on: events as they come."""

    def __init__(self, request: ApiRequest, follower: Follower) -> None:
        self._request = request
        self._follower = follower

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's signature
        """Sends until the client goes or is dropped."""
        await serve(self._request, self._follower, EventStreamWire(send), receive)


@get("/", operation_id="streamEvents", media_type=MEDIA_TYPE, opt={"query": StreamQuery})
async def stream_events(request: ApiRequest) -> EventStream:
    """Follow the events as they come in, as server-sent events; resumes after Last-Event-ID."""
    query = read_query(request, StreamQuery)
    return EventStream(request, await _follow(request, query, resume_after=request.headers.get(_RESUMES_AFTER)))


@websocket("/ws")
async def stream_over_websocket(socket: WebSocket[Any, Any, State]) -> None:
    """The same over a WebSocket, one event in each message."""
    try:
        follower = await _follow(socket, read_query(socket, StreamQuery))
    except Problem as problem:
        return await refuse(socket.scope, socket.send, problem)
    except STORE_ERRORS:
        return await refuse(socket.scope, socket.send, store_unavailable())
    return await serve(socket, follower, SocketWire(socket.send), socket.receive)


STREAM = Router("/stream", route_handlers=[stream_events, stream_over_websocket], tags=["Events"])


async def _follow(connection: ApiConnection, query: StreamQuery, *, resume_after: str | None = None) -> Follower:
    """Raises Problem 422 for a query that does not fit, and 503 where too many follow."""
    filter_ = wanted(query, EventFilter)
    after = _known_event(resume_after, "Last-Event-ID") if resume_after else _known_event(query.after, "after")
    try:
        return await gateway_of(connection).stream.follow(principal_of(connection).environment_id, filter_, after)
    except TooManyFollowers as refusal:
        raise Problem(503, str(refusal), headers={"Retry-After": RETRY_AFTER_S}) from refusal


def _known_event(text: str | UnsetType, field: str) -> int | None:
    if text is UNSET:
        return None
    number = parse_id(EVENT, text)
    if number is None:
        raise invalid([FieldError(field, "is not the id of an event; take one of this stream or of GET /api/events.")])
    return number
