"""Who sends mail through which provider, who gets it, and who subscribes to what became of it."""

from collections.abc import Mapping
from random import Random
from typing import Any, NamedTuple

_NAMES = """
    ada alan anna barbara ben carla chen clara david donald edsger
    ella emil farid fatima frances grace hana hedy ines ivan jean
    jonas karen kofi lars leila linus lucia mai margaret maria mehmet
    nadia niklaus nina olga omar paul pia priya radia rosa sam
    sofia tim tomas vera wanda yusuf zoe
""".split()  # noqa: SIM905 - a list of so many literals would fill the page
_DOMAINS = {"example.com": 6, "example.net": 3, "example.org": 2, "mail.example.com": 2, "inbox.example.net": 1}


class Sender(NamedTuple):
    """A provider account, and which part of the mail goes through it."""

    source: str
    provider: str
    share: float


SENDERS = (
    Sender("newsletter", "sendgrid", 0.45),
    Sender("shop", "resend", 0.25),
    Sender("receipts", "postmark", 0.18),
    Sender("alerts", "mailgun", 0.12),
)
SILENT = Sender("old-shop", "postmark", 0.0)
"""It sent until some hours ago, and then no more."""


class Subscriber(NamedTuple):
    """A registration: where it listens, what for, and how it answers at first."""

    path: str
    description: str
    events: str
    status: int = 200
    latency_ms: float | None = None
    """None: whatever the command line says."""
    more: Mapping[str, Any] = {}
    """Other fields of the registration."""


CRM, ANALYTICS, PIPELINE, BILLING, OLD_CRM, OPERATIONS = "crm", "analytics", "pipeline", "billing", "old-crm", "ops"

SUBSCRIBERS = (
    Subscriber(CRM, "CRM", "bounce,complaint,unsubscribe,dropped"),
    Subscriber(
        ANALYTICS,
        "Product analytics, people only",
        "open,click",
        more={"filter": "data.client.machine != `true`"},
    ),
    Subscriber(PIPELINE, "Data pipeline", "*", latency_ms=120),
    Subscriber(
        BILLING,
        "Billing: down since this morning",
        "delivered,bounce",
        status=503,
        more={"retry_schedule_s": [30, 120]},
    ),
    Subscriber(OLD_CRM, "Old CRM: paused for its migration", "bounce,complaint,delivered", more={"active": False}),
    Subscriber(
        OPERATIONS,
        "On-call channel",
        "endpoint.failing,endpoint.disabled,endpoint.recovered,source.silent,alert.fired,alert.resolved",
    ),
)
DOWN_FOR_S, PAUSED_FOR_S, SILENT_FOR_S = 3 * 3_600, 2 * 3_600, 4 * 3_600
"""How long BILLING has been down, OLD_CRM paused and SILENT silent when the demo begins."""


def recipient(dice: Random) -> str:
    """Somebody's address; some people get more than one mail."""
    (domain,) = dice.choices(list(_DOMAINS), list(_DOMAINS.values()))
    return f"{dice.choice(_NAMES)}.{dice.choice(_NAMES)}@{domain}"


def unique(dice: Random) -> str:
    """Other each time."""
    return f"{dice.getrandbits(64):016x}"
