"""What is done and said once the gateway is open."""

import gc
import sys

from app.cli.links import LOG_IN, LOGS_IN_ONCE, dashboard_url, host_in_url, login_url
from app.gateway import Gateway
from app.settings import Settings, without_password
from app.store.sessions import create_link

SWITCH_INTERVAL_S = 0.001
"""How long a thread that wants the interpreter is kept waiting by a busy one; five times as long unless told.

The thread that commits wants it several times for each commit, and somebody waits for the 200 meanwhile.
"""


def settle_down() -> None:
    """To be called when all is made: the start is over, and others begin to wait for us."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    _spare_the_collector()


def _spare_the_collector() -> None:
    """What the start has made stays for good, so that the garbage collector need not walk through it again and again.

    Its full rounds took 40 to 230 ms, in which nothing else runs; one at the end of the start would find next to
    nothing.
    """
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
    gc.enable()


async def banner(gateway: Gateway) -> str:
    """What the person who started it needs to know: the address, and at the first start how to get in."""
    link = await create_link(gateway.engine, gateway.clock.now()) if gateway.is_first_start else None
    return _banner(gateway.settings, gateway.first_key, link)


def _banner(settings: Settings, first_key: str | None, link: str | None) -> str:
    lines = [
        f"Mailweir serves on http://{host_in_url(settings.host)}:{settings.port}",
        f"  database     {without_password(settings.database_url)}",
    ]
    if settings.public_url:
        lines.insert(1, f"  public URL   {settings.base_url}")
    if link:
        lines += [f"  dashboard    {login_url(settings, link)}", f"               {LOGS_IN_ONCE}"]
    else:
        lines += [f"  dashboard    {dashboard_url(settings)}", f"               {LOG_IN}"]
    if first_key:
        lines += [
            f"  admin key    {first_key}",
            "               shown once, stored hashed: keep it",
            "  next         export MAILWEIR_API_KEY=<the key>, then: mailweir sources add --help",
        ]
    return "\n".join(lines)
