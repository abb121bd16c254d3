"""All pages: what the navigation names, in its order, and the routes behind it. A new page gets its line here."""

from collections.abc import Sequence
from typing import NamedTuple

from litestar import Router
from litestar.plugins.jinja import JinjaTemplateEngine
from litestar.template import TemplateConfig
from litestar.types import ControllerRouterHandler

from app.web.pages.alerts import ALERT_PAGES
from app.web.pages.assets import static_file
from app.web.pages.deliveries import DELIVERIES
from app.web.pages.endpoint_editing import ENDPOINT_EDITING
from app.web.pages.endpoints import ENDPOINTS
from app.web.pages.entrance import Entrance
from app.web.pages.errors import PAGE_EXCEPTION_HANDLERS
from app.web.pages.events import EVENTS
from app.web.pages.login import LOGIN
from app.web.pages.messages import MESSAGES
from app.web.pages.overview import OVERVIEW
from app.web.pages.playground import PLAYGROUND
from app.web.pages.receipts import RECEIPTS
from app.web.pages.recoveries import RECOVERIES
from app.web.pages.reference import REFERENCE
from app.web.pages.rendering import PAGE_HEADERS, NavigationEntry, template_engine
from app.web.pages.settings import SETTINGS
from app.web.pages.sources import SOURCE_PAGES
from app.web.pages.waiting import WAITING
from app.web.pages.wizard import WIZARD


class Pages(NamedTuple):
    """One entry of the navigation and all routes behind it."""

    label: str
    path: str
    routes: Sequence[ControllerRouterHandler]


PAGES = [
    Pages("Overview", "/", OVERVIEW),
    Pages("Events", "/events", EVENTS),
    Pages("Messages", "/messages", MESSAGES),
    Pages("Deliveries", "/deliveries", DELIVERIES),
    Pages("Endpoints", "/endpoints", [*ENDPOINTS, *ENDPOINT_EDITING, *RECOVERIES]),
    Pages("Sources", "/sources", [*SOURCE_PAGES, *WIZARD, *WAITING]),
    Pages("Receipts", "/receipts", RECEIPTS),
    Pages("Alerts", "/alerts", ALERT_PAGES),
    Pages("Playground", "/playground", PLAYGROUND),
    Pages("Settings", "/settings", SETTINGS),
    Pages("API reference", "/docs", REFERENCE),
]

DASHBOARD = Router(
    "/",
    route_handlers=[*LOGIN, *(route for pages in PAGES for route in pages.routes)],
    include_in_schema=False,
    response_headers=PAGE_HEADERS,
    middleware=[Entrance()],
    exception_handlers=PAGE_EXCEPTION_HANDLERS,
)
STATIC_FILES = static_file
_ENGINE = template_engine([NavigationEntry(pages.label, pages.path) for pages in PAGES])
TEMPLATES = TemplateConfig[JinjaTemplateEngine](instance=_ENGINE)
_FIRST_PAGE = ("parts.html", "base.html", "overview.html")


def compile_first_page() -> None:
    """Reads what the overview is made of, which takes longer than making it; for a thread of its own."""
    for name in _FIRST_PAGE:
        _ENGINE.get_template(name)
