"""Links into the dashboard."""

from app.cli.database import opened_database
from app.clock import Clock
from app.settings import Settings
from app.store.sessions import create_link

LOGS_IN_ONCE = "logs in once, within the hour; mailweir login makes another"
LOG_IN = "log in with an API key, or by the link that mailweir login makes"
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - not to listen on


async def new_link(settings: Settings) -> str | None:
    """What logs in as the oldest admin key; None where there is no such key."""
    async with opened_database(settings.database_url) as engine:
        return await create_link(engine, Clock().now())


def login_url(settings: Settings, link: str) -> str:
    """The address that logs in."""
    return f"{dashboard_url(settings)}?login={link}"


def dashboard_url(settings: Settings) -> str:
    """Where the dashboard is: under the public URL, or on this machine where there is none."""
    local = f"http://{host_in_url(_EVERYWHERE.get(settings.host, settings.host))}:{settings.port}"
    return f"{settings.base_url if settings.public_url else local}/"


def host_in_url(host: str) -> str:
    """An address as it stands in a URL."""
    return f"[{host}]" if ":" in host else host
