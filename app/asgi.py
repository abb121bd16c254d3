"""The composition root: one gateway, its routes, one application."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from litestar import Litestar, Router
from litestar.datastructures import State
from litestar.plugins import PluginProtocol

from app.gateway import Gateway
from app.intercom import REVOKED
from app.place import ALONE, Place
from app.settings import Settings, load_settings
from app.web.alerts import ALERTS
from app.web.auth import Authentication, KeyRing
from app.web.drift import DRIFT
from app.web.endpoints import ENDPOINTS
from app.web.event_types import list_event_types
from app.web.health import health, metrics, ready
from app.web.idempotency import IdempotentPosts
from app.web.inbound import inbound_source, receive_webhook
from app.web.jobs import JOBS
from app.web.keys import KEYS
from app.web.log import DELIVERIES, EVENTS
from app.web.mappings import MAPPINGS
from app.web.openapi import openapi_json
from app.web.options import AllowedMethods
from app.web.pages.dashboard import DASHBOARD, STATIC_FILES, TEMPLATES, compile_first_page
from app.web.pages.errors import EXCEPTION_HANDLERS
from app.web.receipts import RECEIPTS
from app.web.recipients import RECIPIENTS
from app.web.request_log import RequestLog
from app.web.sockets import SocketProblems
from app.web.sources import SOURCES
from app.web.stats import STATS
from app.web.stream import STREAM
from app.web.timelines import get_message, get_recipient
from app.web.wrong_keys import WrongKeys


class Mailweir(Litestar):
    """The application. What providers post is taken before the framework's routing, which would be half its cost."""

    @staticmethod
    def _get_default_plugins(plugins: list[PluginProtocol]) -> list[PluginProtocol]:
        """None: no route takes or gives what pydantic or attrs made, and what is for that loads much."""
        return plugins

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answers one request, or runs the lifespan."""
        is_inbound, source = inbound_source(scope["path"]) if scope["type"] == "http" else (False, None)
        if is_inbound:
            await receive_webhook(self.state.gateway, source, scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


def create_app(settings: Settings | None = None, place: Place = ALONE) -> Litestar:
    """The application with `settings`, else with those in force; the gateway opens and closes with its lifespan."""
    api = Router(
        "/api",
        route_handlers=[
            ENDPOINTS,
            SOURCES,
            DRIFT,
            EVENTS,
            DELIVERIES,
            RECEIPTS,
            JOBS,
            RECIPIENTS,
            STREAM,
            MAPPINGS,
            KEYS,
            ALERTS,
            *STATS,
            get_message,
            get_recipient,
            list_event_types,
        ],
        # Some answers hold a secret, and all of them are JSON.
        response_headers={"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"},
        middleware=[SocketProblems(), AllowedMethods(), RequestLog(), Authentication(), IdempotentPosts()],
    )
    in_force = settings or load_settings()
    return Mailweir(
        route_handlers=[api, DASHBOARD, STATIC_FILES, health, ready, metrics, openapi_json],
        lifespan=[_open_gateway],
        state=State({"settings": in_force, "place": place}, deep_copy=False),
        exception_handlers=EXCEPTION_HANDLERS,
        template_config=TEMPLATES,
        request_max_body_size=in_force.api_body_bytes_max,
        openapi_config=None,
        logging_config=None,
    )


@asynccontextmanager
async def _open_gateway(app: Litestar) -> AsyncGenerator[None, None]:
    """The lifespan: the gateway, and the keys that were looked up, in the application's state."""
    gateway = await Gateway.open(app.state.settings, place=app.state.place)
    app.state.gateway = gateway
    ring = KeyRing(gateway.engine, gateway.clock, tell_others=partial(gateway.intercom.tell, REVOKED))
    gateway.intercom.on(REVOKED, lambda _: ring.look_up_anew())
    app.state.key_ring = ring
    app.state.wrong_keys = WrongKeys(gateway.clock)
    preparing = None if gateway.is_first_start else asyncio.create_task(asyncio.to_thread(compile_first_page))
    try:
        yield
    finally:
        if preparing is not None:
            await preparing
        await gateway.close()
