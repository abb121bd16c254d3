"""Inbound mail that answers a message which the gateway has seen: `email.received` becomes `email.replied`."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.reader import MappedEvent
from app.store.replies import seen_messages

RECEIVED, REPLIED = "email.received", "email.replied"

MESSAGE_IDS_MAX = 50
"""Of one inbound message. References begins with the oldest message of a thread and ends with the one answered."""
MESSAGE_ID_CHARACTERS_MAX = 998  # a line of a header, RFC 5322 section 2.1.1
LOCAL_PART_CHARACTERS_MIN = 16

_MESSAGE_ID = re.compile(r"[^\s<>,]+@[^\s<>,]+")


async def mark_replies(engine: AsyncEngine, environment_id: int, events: Sequence[MappedEvent]) -> None:
    """Changes the type of those that answer a known message; asks the store once, and only for inbound mail."""
    answered = [(event, names_of(event.data.metadata)) for event in events if event.type == RECEIVED]
    asked = {name for _, names in answered for name in names}
    if not asked:
        return
    seen = await seen_messages(engine, environment_id, asked)
    for event, names in answered:
        if not seen.isdisjoint(names):
            event.type = REPLIED


def names_of(metadata: Mapping[str, Any]) -> set[str]:
    """All names by which the log may know the messages in `in_reply_to` and `references`.

    Some providers make the Message-ID of their own id and a domain (Postmark, Amazon SES), and say only the former in
    their events; so the part before the @ counts too, where it is as long as such ids are.
    """
    found = [name for key in ("references", "in_reply_to") for name in _message_ids(metadata.get(key))]
    latest = [
        name for name in found[-MESSAGE_IDS_MAX:] if len(name) <= MESSAGE_ID_CHARACTERS_MAX and name.isprintable()
    ]
    local_parts = {name.rpartition("@")[0] for name in latest}
    return {*latest, *(part for part in local_parts if len(part) >= LOCAL_PART_CHARACTERS_MIN)}


def _message_ids(header: Any) -> Iterator[str]:
    """The Message-IDs in a header's text, or in a list of such texts."""
    texts = cast("list[Any]", header) if isinstance(header, list) else [header]
    for text in texts:
        if isinstance(text, str):
            yield from _MESSAGE_ID.findall(text)
