"""The log of events: the list with its filters, and one event with all that became of it."""

from litestar import get
from litestar.response import Template

from adapters.events import EVENT_TYPES
from app.store import log
from app.store.log import EventFilter
from app.store.sources import list_sources
from app.web.context import gateway_of, principal_of
from app.web.log import EventQuery
from app.web.pages.forms import Given, read_filters
from app.web.pages.rendering import page
from app.web.paging import cursor_text
from app.web.problems import AnyRequest


@get("/events")
async def show_events(request: AnyRequest) -> Template:
    """Events, newest first; the filters are those of `GET /api/events`."""
    query = read_filters(request, EventQuery)
    gateway, environment_id = gateway_of(request), principal_of(request).environment_id
    found = await log.list_events(gateway.engine, environment_id, query.wanted(EventFilter), query.span(), query.limit)
    return page(
        request,
        "events.html",
        events=found.rows,
        next_cursor=cursor_text(found.next_cursor),
        given=Given(request),
        sources=[source.name for source in await list_sources(gateway.engine, gateway.vault, environment_id)],
        types=list(EVENT_TYPES),
    )


EVENTS = [show_events]
