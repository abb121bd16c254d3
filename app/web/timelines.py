"""What happened to a message, and to an address, and what follows from it: `/api/messages`, `/api/recipients`."""

from collections.abc import Sequence
from typing import Annotated
from urllib.parse import unquote

import msgspec
from litestar import get
from msgspec import UNSET, Meta, UnsetType

from app.standing import (
    STOPPING_TYPES,
    Fact,
    LeftList,
    MessageState,
    Reason,
    common_state,
    message_states,
    standing,
)
from app.store.log import timelines
from app.store.views import TimelineEvent
from app.web.context import ApiRequest, gateway_of, principal_of
from app.web.input import read_query
from app.web.paging import LIMIT_DEFAULT, LIMIT_MAX, Cursor, cursor_number, cursor_text
from app.web.problems import PRIVATE_PATH, AnyRequest, not_found

_facts = msgspec.json.Decoder(Fact)


class TimelineQuery(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Which stretch of the timeline."""

    limit: Annotated[int, Meta(ge=1, le=LIMIT_MAX)] = LIMIT_DEFAULT
    cursor: Cursor | UnsetType = UNSET


class MessageTimeline(msgspec.Struct):
    """A message: its state, and its events in the order in which they happened.

    A page has the events that arrived last; `next_cursor` leads to those that arrived before.
    """

    email_id: str
    state: str
    """That of all recipients, or "mixed"."""
    recipients: Sequence[MessageState]
    complete: bool
    """False when the state follows from a part of the events, because there are so many."""
    events: Sequence[TimelineEvent]
    next_cursor: str | None


class RecipientTimeline(msgspec.Struct):
    """An address: whether to write to it, and what happened to what was written, in that order.

    A page has the events that arrived last; `next_cursor` leads to those that arrived before.
    """

    address: str
    send: bool
    """False while there is a reason to write to it no more."""
    reasons: Sequence[Reason]
    left_lists: Sequence[LeftList]
    complete: bool
    events: Sequence[TimelineEvent]
    next_cursor: str | None


@get("/messages/{email_id:path}", operation_id="getMessage", opt={"query": TimelineQuery}, tags=["Messages"])
async def get_message(request: ApiRequest) -> MessageTimeline:
    """Show what happened to a message at whichever provider, and its state; by its email_id or its Message-ID."""
    email_id = _after(request, "/messages/")
    found = await message_timeline(request, email_id, read_query(request, TimelineQuery))
    if found is None:
        raise not_found("message", email_id[:100])
    return found


@get(
    "/recipients/{address:path}",
    operation_id="getRecipient",
    opt={"query": TimelineQuery, PRIVATE_PATH: True},
    tags=["Recipients"],
)
async def get_recipient(request: ApiRequest) -> RecipientTimeline:
    """Show what happened to an address at whichever provider, and whether to write to it; an unknown one may be."""
    return await recipient_timeline(request, _after(request, "/recipients/"), read_query(request, TimelineQuery))


def _after(request: ApiRequest, place: str) -> str:
    """The rest of the path as it was sent: ids and addresses may hold slashes, and routing makes one of several."""
    return unquote(request.scope["raw_path"].decode("ascii", "replace").partition(place)[2])


async def message_timeline(request: AnyRequest, email_id: str, query: TimelineQuery) -> MessageTimeline | None:
    """A page of what happened to the message; None when nothing has."""
    engine = gateway_of(request).engine
    subject = timelines.message(principal_of(request).environment_id, email_id)
    bodies, complete = await timelines.read_facts(engine, subject)
    if not bodies:
        return None
    page = await timelines.read_timeline(engine, subject, cursor_number(query.cursor), query.limit)
    states = message_states(map(_facts.decode, bodies))
    return MessageTimeline(
        email_id=email_id,
        state=common_state(states),
        recipients=states,
        complete=complete,
        events=page.rows,
        next_cursor=cursor_text(page.next_cursor),
    )


async def recipient_timeline(request: AnyRequest, address: str, query: TimelineQuery) -> RecipientTimeline:
    """A page of what happened to the address, and how it stands."""
    engine = gateway_of(request).engine
    subject = timelines.address(principal_of(request).environment_id, address)
    stopping, complete = await timelines.read_facts(engine, subject, STOPPING_TYPES)
    delivered = await timelines.read_delivered(engine, subject)
    page = await timelines.read_timeline(engine, subject, cursor_number(query.cursor), query.limit)
    stands = standing(map(_facts.decode, [*stopping, *delivered]))
    return RecipientTimeline(
        address=address,
        send=stands.send,
        reasons=stands.reasons,
        left_lists=stands.left_lists,
        complete=complete,
        events=page.rows,
        next_cursor=cursor_text(page.next_cursor),
    )
