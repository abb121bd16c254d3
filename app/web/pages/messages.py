"""What happened to one message, and to one address, across all providers."""

from urllib.parse import urlencode

import msgspec
from litestar import get
from litestar.response import Redirect, Template

from app.web.pages.forms import ROWS_MAX, Given, read_filters
from app.web.pages.rendering import page
from app.web.problems import AnyRequest
from app.web.timelines import TimelineQuery, message_timeline, recipient_timeline

REASONS = {
    "hard_bounce": "Mail to this address bounced for good, and none was delivered since.",
    "suppressed": "A provider has this address on its suppression list.",
    "complaint": "The recipient marked a message as spam.",
    "unsubscribe": "The recipient unsubscribed from everything.",
}
"""Why not to write to an address, as a sentence."""


class MessageQuery(TimelineQuery, kw_only=True, forbid_unknown_fields=True):
    """Which message."""

    id: str = ""


class RecipientQuery(TimelineQuery, kw_only=True, forbid_unknown_fields=True):
    """Which address."""

    address: str = ""


class Search(msgspec.Struct, forbid_unknown_fields=True):
    """What somebody looks for."""

    q: str = ""


@get("/messages")
async def search_messages(request: AnyRequest) -> Template | Redirect:
    """The way to a message or an address by what one knows of it."""
    wanted = read_filters(request, Search).q
    if wanted and await message_timeline(request, wanted, TimelineQuery(limit=1)):
        return Redirect(f"/messages/one?{urlencode({'id': wanted})}", status_code=303)
    if "@" in wanted:
        return Redirect(f"/recipients?{urlencode({'address': wanted})}", status_code=303)
    return page(request, "messages.html", given=Given(request))


@get("/messages/one")
async def show_message(request: AnyRequest) -> Template:
    """The timeline of one message, in the order in which things happened."""
    query = read_filters(request, MessageQuery)
    found = await message_timeline(request, query.id, _bounded(query))
    given = Given(request)
    return page(request, "message.html", message=found, given=given, status=200 if found else 404)


@get("/recipients")
async def show_recipient(request: AnyRequest) -> Template | Redirect:
    """The timeline of one address, and whether to write to it."""
    query = read_filters(request, RecipientQuery)
    if not query.address:
        return Redirect("/messages", status_code=303)
    found = await recipient_timeline(request, query.address, _bounded(query))
    return page(request, "recipient.html", recipient=found, sentences=REASONS, given=Given(request))


def _bounded(query: TimelineQuery) -> TimelineQuery:
    return msgspec.structs.replace(query, limit=min(query.limit, ROWS_MAX))


MESSAGES = [search_messages, show_message, show_recipient]
