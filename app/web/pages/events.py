"""The log of events: the list with its filters, and sending a selection of them again."""

from typing import Any

from litestar import get, post
from litestar.response import Redirect, Template

from adapters.events import EVENT_TYPES
from app.store import log
from app.store.ids import EVENT
from app.store.log import EventFilter
from app.store.sources import list_sources
from app.web.context import gateway_of, known_id, principal_of
from app.web.log import EventQuery, found_event
from app.web.pages.event import EVENT_PAGES
from app.web.pages.forms import ROWS_MAX, Given, read_filters, read_many, stream_of
from app.web.pages.rendering import local_path, page, redirect
from app.web.paging import LIMIT_MAX, cursor_text
from app.web.problems import AnyRequest, Problem
from app.web.resending import replay_to_all

LIST = "/events"


@get(LIST)
async def show_events(request: AnyRequest) -> Template:
    """Events, newest first; the filters are those of `GET /api/events`."""
    query, given = read_filters(request, EventQuery), Given(request)
    gateway, environment_id = gateway_of(request), principal_of(request).environment_id
    limit = min(query.limit, ROWS_MAX)
    found = await log.list_events(gateway.engine, environment_id, query.wanted(EventFilter), query.span(), limit)
    return page(
        request,
        "events.html",
        events=found.rows,
        states=await log.list_states(gateway.engine, found.rows),
        next_cursor=cursor_text(found.next_cursor),
        given=given,
        stream=stream_of(given),
        sources=[source.name for source in await list_sources(gateway.engine, gateway.vault, environment_id)],
        types=list(EVENT_TYPES),
    )


@post("/events/replay")
async def replay_selection(request: AnyRequest) -> Redirect:
    """Sends the ticked events again, each to all endpoints that ask for it now."""
    gateway, environment_id = gateway_of(request), principal_of(request).environment_id
    chosen = dict.fromkeys(await read_many(request, "id"))
    if len(chosen) > LIMIT_MAX:
        raise Problem(422, f"No more than {LIMIT_MAX} events at once; a job sends any number: mailweir replay.")
    bodies = {known_id(EVENT, text, "event"): await _body(request, text) for text in chosen}
    made = await replay_to_all(gateway, environment_id, bodies)
    return _told(request, len(chosen), made, local_path(await _came_from(request), LIST))


EVENTS: list[Any] = [show_events, replay_selection, *EVENT_PAGES]


async def _body(request: AnyRequest, event_id: str) -> bytes:
    return bytes((await found_event(request, event_id)).event)


async def _came_from(request: AnyRequest) -> str | None:
    return next(iter(await read_many(request, "next")), None)


def _told(request: AnyRequest, events: int, deliveries: int, path: str) -> Redirect:
    if not events:
        return redirect(request, path, "Tick the events to send again first.", tone="bad")
    if not deliveries:
        return redirect(request, path, "No endpoint asks for such events; nothing was sent.", tone="bad")
    ways = "1 delivery is" if deliveries == 1 else f"{deliveries} deliveries are"
    return redirect(request, path, f"{ways} on the way, of {events} event{'' if events == 1 else 's'}.")
